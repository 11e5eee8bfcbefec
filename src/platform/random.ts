/** Randomness for names and jitter; not for keys of any secrecy. */
export interface Random {
  /** A number in [0, 1). */
  fraction(): number;
  /** Lower-case hex text of `count` random bytes. */
  hex(count: number): string;
}
