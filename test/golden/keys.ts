import { goldenText } from './golden.ts';

/** The lines of a kind in the vectors of hashes and keys, without the word for it. */
function linesOf(kind: string): readonly (readonly string[])[] {
  const lines = goldenText('keys-v1', 'vectors.txt').trimEnd().split('\n');
  return lines.map((line) => line.split(' ')).flatMap(([first, ...rest]) =>
    first === kind ? [rest] : [],
  );
}

/** BLAKE3 of the bytes `i mod 251`, by their number. */
export function blake3Vectors(): readonly (readonly [length: number, digest: string])[] {
  return linesOf('blake3').map(([length, digest]) => [Number(length), digest]);
}

/** CRC32C of some bytes. */
export function crc32cVectors(): readonly (readonly [bytes: Uint8Array, crc: number])[] {
  return linesOf('crc32c').map(([hex, crc]) => [
    Uint8Array.from(Buffer.from(hex === '-' ? '' : hex, 'hex')),
    Number.parseInt(crc, 16),
  ]);
}

export interface ChainVector {
  readonly seedInput: string;
  readonly seed: string;
  /** Of the tokens 0, 1, 2, ... in blocks of 128. */
  readonly keys: readonly string[];
}

/** The chain of the contract. */
export function chainVector(): ChainVector {
  const [[seedInput, seed]] = linesOf('seed');
  return { seedInput, seed, keys: linesOf('key').map(([, key]) => key) };
}
