import { assert, AssertionError } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { md5Hex } from '../base/md5.ts';
import { nativeKernels } from '../base/native-kernels.ts';
import { limits } from '../blocks/limits.ts';
import { encodeLegacyBody, splitLegacyBody } from '../format/legacy.ts';
import { decodePayloadInto, encodePayload } from '../format/payload-codec.ts';
import { decompressFrame, loadZstd } from '../format/zstd.ts';
import type { Zstd } from '../format/zstd.ts';
import type { WorkerPool } from '../platform/worker-pool.ts';
import { decodeNow, EarlyDecodes } from './early-decodes.ts';
import type { DecodeTask } from './early-decodes.ts';
import { encodeNow, requireCrc } from './encode-now.ts';
import type { EncodedPayload, EncodeTask } from './encode-now.ts';
import { LongEncodes } from './long-encodes.ts';
import type { LongEncoded, LongEncodeTask } from './long-encodes.ts';
import { ShortEncodes } from './short-encodes.ts';
import type { EncodedTogether } from './short-encodes.ts';

/** The body of a v1 object to check, and to decode into `target` unless it is raw. */
export interface LegacyDecodeTask {
  readonly body: Uint8Array;
  /** What the bucket says of the body; undefined where it says nothing. */
  readonly md5: string | undefined;
  /** Memory for the payload, as for {@link DecodeTask}. */
  readonly target: Uint8Array | undefined;
}

/**
 * The work on payload bytes at the border to the object store: checksums, compression, filters.
 * Rejects with `CORRUPT` when bytes do not match their checksum or do not decode.
 */
export interface Transcoder {
  /** What it resolves to may have memory to be released. */
  encode(task: EncodeTask): Promise<EncodedPayload>;
  decode(task: DecodeTask): Promise<void>;
  /** The body of a v1 object for the payload; undefined when it is the payload itself. */
  encodeLegacy(task: EncodeTask): Promise<Uint8Array | undefined>;
  /** Resolves to the CRC32C of the payload, which such an object does not have. */
  decodeLegacy(task: LegacyDecodeTask): Promise<number>;
  close(): Promise<void>;
}

/** The transcoder for a store that must not close it: it is somebody else's. */
export function borrowed(transcoder: Transcoder): Transcoder {
  return {
    encode: (task) => transcoder.encode(task),
    decode: (task) => transcoder.decode(task),
    encodeLegacy: (task) => transcoder.encodeLegacy(task),
    decodeLegacy: (task) => transcoder.decodeLegacy(task),
    close: () => Promise.resolve(),
  };
}

/** What a worker is sent. */
export type TranscodeTask =
  | ({ readonly kind: 'encode' } & LongEncodeTask)
  | { readonly kind: 'encode-together'; readonly tasks: readonly EncodeTask[] }
  | ({ readonly kind: 'decode' } & DecodeTask)
  | ({ readonly kind: 'encode-legacy' } & EncodeTask)
  | ({ readonly kind: 'decode-legacy' } & LegacyDecodeTask)
  | { readonly kind: 'warm-up' };

/**
 * The transcoder of a real process: work happens in worker threads, but for short checksums, for a short
 * payload that is encoded alone, and for what is decoded before they are there (docs/decisions/0121, 0118).
 */
export class WorkerTranscoder implements Transcoder {
  readonly #pool: WorkerPool;
  readonly #workers: number;
  readonly #shortEncodes: ShortEncodes;
  readonly #longEncodes: LongEncodes;
  readonly #earlyDecodes = new EarlyDecodes();
  /** That of this thread; `none`: it could not be loaded. */
  #zstd: Zstd | 'none' | undefined;
  #isClosed = false;

  /** Owns the pool of so many workers, which run `transcode-worker.ts`. */
  constructor(pool: WorkerPool, workers: number) {
    this.#pool = pool;
    this.#workers = workers;
    this.#shortEncodes = new ShortEncodes({
      here: (task) => this.#encodeHere(task),
      inWorker: (tasks) =>
        this.#pool.run<TranscodeTask, EncodedTogether>({ kind: 'encode-together', tasks }),
    });
    this.#longEncodes = new LongEncodes((task) => {
      const transfer = task.target === undefined ? [] : [task.target.buffer];
      return this.#pool.run<TranscodeTask, LongEncoded>({ kind: 'encode', ...task }, transfer);
    });
  }

  /** Loads and starts what is needed soon: a thread takes about 70 ms. */
  warmUp(): void {
    this.#zstdHere();
    for (let i = 0; i < this.#workers; i += 1) {
      // A thread that does not start says so again to the first task that needs it.
      this.#pool.run<TranscodeTask, undefined>({ kind: 'warm-up' }).catch(() => undefined);
    }
  }

  async encode(task: EncodeTask): Promise<EncodedPayload> {
    const { length } = task.payload;
    if (!task.compress && length <= inPlaceBytesMax()) return encodeNow(task, neverNeeded);
    const isShort = length <= limits.shortEncodeBytesMax && !this.#isClosed;
    return isShort ? this.#shortEncodes.encode(task) : this.#longEncodes.encode(task);
  }

  async decode(task: DecodeTask): Promise<void> {
    assertShared(task.target);
    if (task.target === undefined && task.stored.length <= inPlaceBytesMax()) {
      return decodeNow(task, neverNeeded);
    }
    const { target } = task;
    if (this.#isFasterHere(task)) {
      if (target === undefined) return decodeNow(task, neverNeeded);
      const zstd = (): Zstd | undefined => this.#zstdHere();
      if (await this.#earlyDecodes.decode({ ...task, target }, zstd)) return;
    }
    await this.#pool.run<TranscodeTask, undefined>({ kind: 'decode', ...task });
  }

  encodeLegacy(task: EncodeTask): Promise<Uint8Array | undefined> {
    const legacyTask = { kind: 'encode-legacy' as const, ...task };
    return this.#pool.run<TranscodeTask, Uint8Array | undefined>(legacyTask);
  }

  async decodeLegacy(task: LegacyDecodeTask): Promise<number> {
    assertShared(task.target);
    return this.#pool.run<TranscodeTask, number>({ kind: 'decode-legacy', ...task });
  }

  /** There will be nothing to do for a while: what is kept for the next payloads is given up. */
  rest(): void {
    this.#longEncodes.rest();
    this.#pool.rest();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    return this.#pool.close();
  }

  /** A thread takes longer to start than all that a prompt needs takes to decode. */
  #isFasterHere({ header }: DecodeTask): boolean {
    if (this.#pool.hasAnswered || this.#isClosed) return false;
    return header.rawLength <= limits.decodedInPlaceBytesMax;
  }

  #encodeHere(task: EncodeTask): EncodedPayload | undefined {
    const zstd = this.#zstdHere();
    return zstd === undefined ? undefined : encodeNow(task, () => zstd);
  }

  /**
   * Undefined where it cannot be loaded, for want of descriptors perhaps. That stays: Node remembers files of packages
   * that it could not read. A thread has a memory of its own, and says what is missing.
   */
  #zstdHere(): Zstd | undefined {
    this.#zstd ??= loadOrNone();
    return this.#zstd === 'none' ? undefined : this.#zstd;
  }
}

function loadOrNone(): Zstd | 'none' {
  try {
    return loadZstd();
  } catch (error) {
    if (isStoreError(error, 'INCOMPATIBLE')) return 'none';
    throw error;
  }
}

/** What is only checked is checked in place up to here. */
function inPlaceBytesMax(): number {
  const { checkedInPlaceBytesMax: portable, checkedInPlaceNativeBytesMax: native } = limits;
  return nativeKernels() === undefined ? portable : native;
}

function neverNeeded(): never {
  throw new AssertionError('what is only checked needs no compression');
}

/** A worker would fill its own copy of any other memory. */
function assertShared(target: Uint8Array | undefined): void {
  const memory = target?.buffer;
  assert(memory === undefined || memory instanceof SharedArrayBuffer, 'target is shared memory');
}

/** The encode half of the v1 format. */
export function encodeLegacyNow(task: EncodeTask, zstd: () => Zstd): Uint8Array | undefined {
  requireCrc(task);
  const { payload, compress, level } = task;
  const body = encodeLegacyBody(payload, { compress, level }, zstd);
  return body === payload ? undefined : body;
}

/** The decode half of the v1 format. */
export function decodeLegacyNow(task: LegacyDecodeTask, zstd: () => Zstd): number {
  const { body, md5, target } = task;
  const actual = md5 === undefined ? undefined : md5Hex(body);
  if (actual !== undefined && actual !== md5) {
    throw new StoreError('CORRUPT', `v1 body has the MD5 ${actual}, and its bucket says ${md5}`);
  }
  const { codec, content, rawLength } = splitLegacyBody(body);
  if (codec === 'raw') return crc32c(content);
  const payload = decompressFrame(content, rawLength, zstd());
  assert(target?.length === rawLength, `target of ${target?.length} bytes for ${rawLength}`);
  target.set(payload);
  return crc32c(target);
}

const warmUpBytes = 64 * 1024;
const warmUpDecodes = 4;

/**
 * Encodes and decodes a payload that looks like keys and values of 16-bit floats, so that the code
 * is compiled when the first real one comes: its decoding takes 4 ms then instead of 11 to 20, for
 * 1.5 MiB. Takes about 20 ms of the worker.
 */
export function warmUpNow(zstd: Zstd): void {
  const payload = new Uint8Array(warmUpBytes);
  let state = 1;
  for (let at = 0; at < payload.length; at += 2) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    payload[at] = state >>> 24;
    payload[at + 1] = 0x3c + ((state >>> 20) & 3);
  }
  const encoded = encodePayload(payload, { compress: true, level: 1 }, zstd);
  const target = new Uint8Array(payload.length);
  for (let i = 0; i < warmUpDecodes; i += 1) {
    decodePayloadInto({ ...encoded, rawLength: payload.length }, target, zstd);
  }
  assert(crc32c(target) === crc32c(payload), 'a decoded payload is the encoded one');
}
