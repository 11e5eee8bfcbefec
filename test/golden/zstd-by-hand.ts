import { concatBytes } from '../../src/base/bytes.ts';

/** A block of a hand-made zstd frame. */
export interface HandBlock {
  /** 0 raw, 1 one byte repeated, 2 compressed, 3 reserved. */
  readonly type: 0 | 1 | 2 | 3;
  /** What the block header states; the body's length when absent. */
  readonly size?: number;
  readonly body: readonly number[];
}

export interface HandFrame {
  readonly blocks: readonly HandBlock[];
  /** Stated in 4 bytes; not at all when absent. */
  readonly contentSize?: number;
  /** The window byte of a frame that is not a single segment; 0x38 is 128 KiB. */
  readonly window?: number;
  /** Further bits of the descriptor. */
  readonly descriptorBits?: number;
  /** Bytes behind the last block. */
  readonly trailer?: readonly number[];
}

/** A zstd frame made byte by byte: what an honest encoder would never write, too. */
export function zstdByHand(frame: HandFrame): Uint8Array {
  const { blocks, contentSize, window, descriptorBits = 0, trailer = [] } = frame;
  const sizeFlag = contentSize === undefined ? 0 : 0x80;
  const single = window === undefined ? 0x20 : 0;
  const head = [0x28, 0xb5, 0x2f, 0xfd, sizeFlag | single | descriptorBits];
  if (window !== undefined) head.push(window);
  const size = new Uint8Array(contentSize === undefined ? 0 : 4);
  if (contentSize !== undefined) new DataView(size.buffer).setUint32(0, contentSize, true);
  const parts = blocks.map((block, i) => blockBytes(block, i === blocks.length - 1));
  return concatBytes([Uint8Array.from(head), size, ...parts, Uint8Array.from(trailer)]);
}

function blockBytes({ type, body, size = body.length }: HandBlock, isLast: boolean): Uint8Array {
  const bits = (size << 3) | (type << 1) | Number(isLast);
  return Uint8Array.from([bits & 255, (bits >> 8) & 255, (bits >> 16) & 255, ...body]);
}
