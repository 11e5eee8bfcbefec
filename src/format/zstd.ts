// oxlint-disable-next-line import/no-nodejs-modules -- finds the implementation there is, as crc32c.ts does
import { createRequire } from 'node:module';
import { AssertionError, assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { checkZstdFrame, withContentSize } from './zstd-frame.ts';

/**
 * A Zstandard implementation. Both calls block, so they run in worker threads. Inputs may lie in
 * shared memory; outputs are plain arrays in new memory of the caller's.
 */
export interface Zstd {
  /**
   * One frame that states its content size, alone in its buffer, so that it goes between threads
   * as it is; or at the beginning of `target`, where it fits there. Levels go from 1 to 22.
   */
  compress(input: Uint8Array, level: number, target?: Uint8Array): Uint8Array;
  /**
   * The content of a frame that states `byteLength` as its size. Implementors throw for anything
   * else and never take more memory than that for the output. Callers use {@link decompressFrame}.
   */
  decompress(input: Uint8Array, byteLength: number): Uint8Array;
  /** The same on a thread of the system's, which needs no start as a worker does. The input stays as it is meanwhile. */
  decompressLater(input: Uint8Array, byteLength: number): Promise<Uint8Array>;
}

const levelMax = 22;

/**
 * The fastest implementation here: that of `node:zlib` (Node 22.15 and later), else the package
 * `@toondepauw/node-zstd`. All make frames that all read.
 *
 * @throws StoreError `INCOMPATIBLE` saying what to install when there is neither.
 */
export function loadZstd(): Zstd {
  const require = createRequire(import.meta.url);
  // oxlint-disable-next-line import/no-nodejs-modules -- a pure transform, no more of the machine
  const zlib: unknown = require('node:zlib');
  return isNodeZlib(zlib) ? nodeZstd(zlib) : packagedZstd(loadPackage(require));
}

/**
 * The `byteLength` bytes that the frame holds, as new memory. Takes no more memory than that, and
 * the frame's size once, whatever the frame claims.
 *
 * @throws StoreError `CORRUPT` when it is not exactly one frame of that many bytes.
 */
export function decompressFrame(frame: Uint8Array, byteLength: number, zstd: Zstd): Uint8Array {
  const checked = checkedFrame(frame, byteLength);
  try {
    return ofLength(zstd.decompress(checked, byteLength), byteLength);
  } catch (cause) {
    throw corrupt(frame, cause);
  }
}

/** As {@link decompressFrame}, but on a thread of the system's; rejects with what that throws. */
export async function decompressFrameLater(
  frame: Uint8Array,
  byteLength: number,
  zstd: Zstd,
): Promise<Uint8Array> {
  const checked = checkedFrame(frame, byteLength);
  try {
    return ofLength(await zstd.decompressLater(checked, byteLength), byteLength);
  } catch (cause) {
    throw corrupt(frame, cause);
  }
}

/**
 * What may be handed to a decompressor: a frame that states its size.
 *
 * @throws StoreError `CORRUPT` when it is not exactly one frame that can hold that many bytes.
 */
export function checkedFrame(frame: Uint8Array, byteLength: number): Uint8Array {
  assert(byteLength <= limits.payloadBytesMax, `decompressing to ${byteLength} bytes`);
  checkZstdFrame(frame, byteLength);
  return withContentSize(frame, byteLength);
}

function ofLength(content: Uint8Array, byteLength: number): Uint8Array {
  if (content.length === byteLength) return content;
  throw new StoreError('CORRUPT', `zstd frame held ${content.length} of ${byteLength} bytes`);
}

/** What is thrown when a decompressor threw that. */
export function corrupt(frame: Uint8Array, cause: unknown): unknown {
  if (cause instanceof AssertionError || isStoreError(cause)) return cause;
  const message = `zstd frame of ${frame.length} bytes does not decode: ${messageOf(cause)}`;
  return new StoreError('CORRUPT', message, { cause });
}

/** The part of `node:zlib` that Node 20 lacks and its types leave out. */
interface NodeZlib {
  zstdCompressSync(input: Uint8Array, options: ZlibOptions): Uint8Array;
  zstdDecompressSync(input: Uint8Array, options: ZlibOptions): Uint8Array;
  zstdDecompress(
    input: Uint8Array,
    options: ZlibOptions,
    done: (error: Error | null, content: Uint8Array) => void,
  ): void;
  readonly constants: Readonly<Record<string, number>>;
}

interface ZlibOptions {
  readonly params?: Readonly<Record<number, number>>;
  readonly chunkSize?: number;
  readonly maxOutputLength?: number;
}

function isNodeZlib(module: unknown): module is NodeZlib {
  return (
    typeof module === 'object' &&
    module !== null &&
    'zstdCompressSync' in module &&
    'zstdDecompressSync' in module
  );
}

function nodeZstd(zlib: NodeZlib): Zstd {
  const { ZSTD_c_compressionLevel, ZSTD_c_hashLog, ZSTD_c_minMatch } = zlib.constants;
  // Skips a match search that finds next to nothing in shuffled KV: bf16 shrinks to 0.678 instead of
  // 0.688, three times as fast; f16 is as before (payload-codec.bench.ts, Node 22 against Node 20).
  const fastest = { [ZSTD_c_compressionLevel]: 1, [ZSTD_c_hashLog]: 6, [ZSTD_c_minMatch]: 7 };
  return {
    compress(input, level, target) {
      assertLevel(level);
      const params = level === 1 ? fastest : { [ZSTD_c_compressionLevel]: level };
      const frame = zlib.zstdCompressSync(input, {
        params,
        chunkSize: compressBound(input.length),
      });
      return placed(frame, input.length, target);
    },
    decompress: (input, byteLength) =>
      plain(zlib.zstdDecompressSync(input, decompressionOf(byteLength))),
    decompressLater: (input, byteLength) => {
      const content = deferred<Uint8Array>();
      zlib.zstdDecompress(input, decompressionOf(byteLength), (error, bytes) => {
        if (error === null) content.resolve(plain(bytes));
        else content.reject(error);
      });
      return content.promise;
    },
  };
}

function decompressionOf(byteLength: number): ZlibOptions {
  return {
    // One chunk holds it all, and one byte more shows that nothing is left.
    chunkSize: Math.max(64, byteLength + 1),
    maxOutputLength: Math.max(1, byteLength),
  };
}

/** Bytes that no frame of that many input bytes exceeds, by zstd's own rule. */
function compressBound(byteLength: number): number {
  return byteLength + (byteLength >>> 8) + 1024;
}

/** What is used of `@toondepauw/node-zstd`. */
interface ZstdPackage {
  readonly Encoder: new (level: number) => { encodeSync(input: Buffer): Uint8Array };
  readonly Decoder: new () => {
    decodeSync(input: Buffer): Uint8Array;
    decode(input: Buffer): Promise<Uint8Array>;
  };
}

function loadPackage(require: (id: string) => unknown): ZstdPackage {
  let loaded: unknown;
  try {
    loaded = require('@toondepauw/node-zstd');
  } catch (cause) {
    throw new StoreError('INCOMPATIBLE', noZstdMessage, { cause });
  }
  if (!isZstdPackage(loaded)) throw new StoreError('INCOMPATIBLE', noZstdMessage);
  return loaded;
}

const noZstdMessage =
  'zstd is missing: use Node 22.15 or later, or install the package @toondepauw/node-zstd ' +
  'with its binary for this platform (npm install without --omit=optional)';

function isZstdPackage(module: unknown): module is ZstdPackage {
  return (
    typeof module === 'object' && module !== null && 'Encoder' in module && 'Decoder' in module
  );
}

function packagedZstd({ Encoder, Decoder }: ZstdPackage): Zstd {
  const decoder = new Decoder();
  return {
    compress(input, level, target) {
      assertLevel(level);
      // A new encoder costs 1 us. Its frames do not state their size; we know it.
      return placed(new Encoder(level).encodeSync(bufferOf(input)), input.length, target);
    },
    // Given a stated size it allocates exactly that and fails when the blocks make more.
    decompress: (input) => plain(decoder.decodeSync(bufferOf(input))),
    decompressLater: async (input) => plain(await decoder.decode(bufferOf(input))),
  };
}

/** The frame, stating its size: at the beginning of the target where there is room, else alone in its buffer. */
function placed(
  frame: Uint8Array,
  contentBytes: number,
  target: Uint8Array | undefined,
): Uint8Array {
  return target === undefined
    ? aloneInBuffer(withContentSize(frame, contentBytes))
    : withContentSize(frame, contentBytes, target);
}

function assertLevel(level: number): void {
  assert(Number.isInteger(level) && level >= 1 && level <= levelMax, `zstd level ${level}`);
}

/** A view without the class `Buffer`, whose `slice` would not copy. */
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function aloneInBuffer(bytes: Uint8Array): Uint8Array {
  return bytes.buffer.byteLength === bytes.byteLength ? plain(bytes) : new Uint8Array(bytes);
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
