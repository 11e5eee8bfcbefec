/** What a client that is stopped is told to do. */
export interface Order {
  readonly id: number;
  readonly verb: 'load' | 'save';
  /** Its name: blocks of it are made where they are wanted. */
  readonly chain: string;
}

/** Blocks of each chain, and bytes of one: more in all than sockets hold. */
export const stoppedBlocks = 40;
export const stoppedBytes = 1_000_000;
