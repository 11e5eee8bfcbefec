/** Blocks of each save of the clients that are stopped and killed, and bytes of one. */
export const filledBlocks = 10;
export const filledBytes = 700_000;
