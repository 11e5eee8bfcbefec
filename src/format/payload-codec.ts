import { assert } from '../base/assert.ts';
import { concatBytes } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { nativeKernels } from '../base/native-kernels.ts';
import type { Codec, Filter } from './frame.ts';
import { decompressFrame, decompressFrameLater } from './zstd.ts';
import type { Zstd } from './zstd.ts';

export interface EncodeOptions {
  /** False stores every payload as it is. */
  readonly compress: boolean;
  /** Zstd level, 1 to 22. */
  readonly level: number;
}

/** A payload as it goes into an object. */
export interface EncodedPayload {
  readonly codec: Codec;
  readonly filter: Filter;
  /** The payload itself, not a copy, when the codec is `raw`; else new memory, or that which was given for it. */
  readonly stored: Uint8Array;
}

/** A payload as it came from an object. */
export interface StoredPayload extends EncodedPayload {
  readonly rawLength: number;
}

/** Compresses to the beginning of `target`, where there is one and it has room; else to new memory. */
type Compress = (input: Uint8Array, target?: Uint8Array) => Uint8Array;

/** Below this a frame's own bytes eat the gain. */
const compressBytesMin = 128;

/** Compression that gains less than this part is not worth its decompression. */
const gainMin = 0.05;

/** `split2` may be this much longer than `shuffle2`: it decompresses in half the time. */
const splitLossMax = 0.01;

/**
 * Three slices of this size stand for the whole payload in the trial: on synthetic KV they tell its
 * ratio to 0.4 % and cost a tenth of its compression (payload-codec.bench.ts).
 */
const sampleSliceBytes = 16 * 1024;
const sampleSlices = 3;

/**
 * Compresses the payload if that pays, by trial: a sample is compressed plain and shuffled, the
 * better way is used for the whole, and both sample and whole must gain 5 %. Blocks its thread. What is
 * stored of a long payload lies at the beginning of `target`, where that is given and has room.
 *
 * @example
 * ```ts
 * const encoded = encodePayload(kv, { compress: true, level: 1 }, loadZstd());
 * encoded.codec; // 'zstd', or 'raw' when kv does not compress
 * ```
 */
export function encodePayload(
  payload: Uint8Array,
  options: EncodeOptions,
  zstd: Zstd,
  target?: Uint8Array,
): EncodedPayload {
  const raw: EncodedPayload = { codec: 'raw', filter: 'none', stored: payload };
  if (!options.compress || payload.length < compressBytesMin) return raw;
  const compress: Compress = (input, place) => zstd.compress(input, options.level, place);
  const sample = sampleOf(payload);
  const isWhole = sample === payload;
  const trial = isWhole ? tryWhole(payload, compress) : trySample(sample, compress);
  if (!pays(trial.length, sample.length)) return raw;
  const { filter } = trial;
  const stored = trial.stored?.() ?? compressFiltered(payload, { filter, target }, compress);
  return pays(stored.length, payload.length) ? { codec: 'zstd', filter, stored } : raw;
}

/**
 * Writes the raw payload into `target`, which has exactly `rawLength` bytes and may be shared
 * memory. The caller checks the checksum of what was stored before, that of the payload after.
 *
 * @throws StoreError `CORRUPT` when the stored bytes do not make exactly `rawLength` bytes; what
 * `target` holds is undefined then.
 */
export function decodePayloadInto(payload: StoredPayload, target: Uint8Array, zstd: Zstd): void {
  const packed = packedOf(payload, target);
  fill(payload, decompressed(packed, zstd), target);
}

/**
 * As {@link decodePayloadInto}, but what decompresses is a thread of the system's. What is stored stays as it is
 * meanwhile; rejects with what that throws.
 */
export async function decodePayloadLater(
  payload: StoredPayload,
  target: Uint8Array,
  zstd: Zstd,
): Promise<void> {
  const packed = packedOf(payload, target);
  const { codec, stored, rawLength } = packed;
  const content =
    codec === 'zstd'
      ? await decompressFrameLater(stored, rawLength, zstd)
      : decompressed(packed, zstd);
  fill(payload, content, target);
}

/** What of a payload is under its codec: all of it, or the high bytes. */
export function packedOf(payload: StoredPayload, target: Uint8Array): StoredPayload {
  const { filter, rawLength, stored } = payload;
  assert(target.length === rawLength, `target of ${target.length} bytes for ${rawLength}`);
  if (filter !== 'split2') return payload;
  const lows = rawLength >>> 1;
  if (stored.length < lows) {
    throw new StoreError('CORRUPT', `${stored.length} bytes stored for ${lows} low bytes`);
  }
  return { ...payload, stored: stored.subarray(lows), rawLength: rawLength - lows };
}

/** Puts together what was packed and what was not. */
function fill(
  { filter, stored, rawLength }: StoredPayload,
  content: Uint8Array,
  target: Uint8Array,
): void {
  switch (filter) {
    case 'none':
      target.set(content);
      return;
    case 'shuffle2':
      unshuffle2Into(content, target);
      return;
    case 'split2':
      mergePlanesInto(stored.subarray(0, rawLength >>> 1), content, target);
      return;
    default:
      filter satisfies never;
  }
}

/** The bytes of 2-byte values, first all low ones, then all high ones; an odd last byte stays last. */
export function shuffle2(source: Uint8Array): Uint8Array {
  const target = new Uint8Array(source.length);
  const count = source.length >>> 1;
  if (canUseWords(source, target)) {
    shuffleWords(source, target, count);
  } else {
    for (let i = 0; i < count; i += 1) {
      target[i] = source[2 * i];
      target[count + i] = source[2 * i + 1];
    }
  }
  if (source.length % 2 === 1) target[source.length - 1] = source[source.length - 1];
  return target;
}

/** Undoes {@link shuffle2}. The two have the same length and must not overlap. */
export function unshuffle2Into(source: Uint8Array, target: Uint8Array): void {
  const count = source.length >>> 1;
  mergePlanesInto(source.subarray(0, count), source.subarray(count), target);
}

/** Joins low bytes and high bytes, an odd last byte after these, to 2-byte values. No overlap. */
function mergePlanesInto(lows: Uint8Array, highs: Uint8Array, target: Uint8Array): void {
  const count = lows.length;
  const isWhole = lows.length + highs.length === target.length && highs.length - count <= 1;
  assert(isWhole, `merge ${lows.length} and ${highs.length} bytes into ${target.length}`);
  const native = nativeKernels();
  if (native !== undefined) {
    native.mergePlanes(target.subarray(0, 2 * count), lows, highs.subarray(0, count));
  } else if (canUseWords(lows, target) && highs.byteOffset % 4 === 0) {
    mergeWords(lows, highs, target);
  } else {
    for (let i = 0; i < count; i += 1) {
      target[2 * i] = lows[i];
      target[2 * i + 1] = highs[i];
    }
  }
  if (highs.length > count) target[target.length - 1] = highs[count];
}

/** The best way that a trial found, and how long what it compressed is by that. */
interface Trial {
  readonly filter: Filter;
  readonly length: number;
  /** What a trial of the whole payload has made already. */
  readonly stored?: () => Uint8Array;
}

/**
 * Of a mere sample the planes go apart: zstd codes up to 128 KiB by one table, and low and high bytes, which would
 * share one in something so short, do not in most of a long payload. Together such a sample shows no gain over plain
 * where the whole has.
 */
function trySample(sample: Uint8Array, compress: Compress): Trial {
  const plain = compress(sample).length;
  const { lows, highs } = planesOf(sample);
  const high = compress(highs).length;
  const lengths = { plain, together: compress(lows).length + high, split: lows.length + high };
  const filter = bestFilter(lengths);
  return { filter, length: lengthBy(filter, lengths) };
}

/** A short payload is compressed whole, every way, and not once more by the best one. */
function tryWhole(payload: Uint8Array, compress: Compress): Trial {
  const plain = compress(payload);
  const { shuffled, lows, highs } = planesOf(payload);
  const high = compress(highs);
  const together = compress(shuffled);
  const lengths = {
    plain: plain.length,
    together: together.length,
    split: lows.length + high.length,
  };
  const filter = bestFilter(lengths);
  const stored = {
    none: () => plain,
    shuffle2: () => together,
    split2: () => concatBytes([lows, high]),
  };
  return { filter, length: lengthBy(filter, lengths), stored: stored[filter] };
}

interface TrialLengths {
  readonly plain: number;
  readonly together: number;
  readonly split: number;
}

function bestFilter({ plain, together, split }: TrialLengths): Filter {
  if (plain <= together && plain <= split) return 'none';
  // Low bytes that hardly compress are not worth decompressing: half the work, the same size.
  return split <= together * (1 + splitLossMax) ? 'split2' : 'shuffle2';
}

function lengthBy(filter: Filter, { plain, together, split }: TrialLengths): number {
  switch (filter) {
    case 'none':
      return plain;
    case 'shuffle2':
      return together;
    case 'split2':
      return split;
    default:
      return filter satisfies never;
  }
}

interface Planes {
  /** Both, one behind the other. */
  readonly shuffled: Uint8Array;
  readonly lows: Uint8Array;
  /** With the odd last byte. */
  readonly highs: Uint8Array;
}

function planesOf(payload: Uint8Array): Planes {
  const shuffled = shuffle2(payload);
  const count = payload.length >>> 1;
  return { shuffled, lows: shuffled.subarray(0, count), highs: shuffled.subarray(count) };
}

function compressFiltered(
  payload: Uint8Array,
  { filter, target }: { readonly filter: Filter; readonly target: Uint8Array | undefined },
  compress: Compress,
): Uint8Array {
  switch (filter) {
    case 'none':
      return compress(payload, target);
    case 'shuffle2':
      return compress(shuffle2(payload), target);
    case 'split2': {
      const { lows, highs } = planesOf(payload);
      const packed = compress(highs, target?.subarray(lows.length));
      if (target === undefined || packed.buffer !== target.buffer)
        return concatBytes([lows, packed]);
      target.set(lows);
      return target.subarray(0, lows.length + packed.length);
    }
    default:
      return filter satisfies never;
  }
}

function pays(storedBytes: number, inputBytes: number): boolean {
  return storedBytes <= inputBytes * (1 - gainMin);
}

/** Slices from the start, the middle and the end, each beginning at a whole 2-byte value. */
function sampleOf(payload: Uint8Array): Uint8Array {
  if (payload.length <= sampleSlices * sampleSliceBytes) return payload;
  const sample = new Uint8Array(sampleSlices * sampleSliceBytes);
  const stride = (payload.length - sampleSliceBytes) / (sampleSlices - 1);
  for (let i = 0; i < sampleSlices; i += 1) {
    const start = 2 * Math.floor((i * stride) / 2);
    sample.set(payload.subarray(start, start + sampleSliceBytes), i * sampleSliceBytes);
  }
  return sample;
}

function decompressed({ codec, stored, rawLength }: StoredPayload, zstd: Zstd): Uint8Array {
  switch (codec) {
    case 'raw':
      if (stored.length === rawLength) return stored;
      throw new StoreError('CORRUPT', `${stored.length} raw bytes stored for ${rawLength}`);
    case 'zstd':
      return decompressFrame(stored, rawLength, zstd);
    default:
      return codec satisfies never;
  }
}

/**
 * True when both can be seen as 32-bit words and so can the plane of high bytes. Four bytes a step
 * make shuffling 1.7 to 2.6 and unshuffling 1.6 to 2.4 times as fast (payload-codec.bench.ts).
 */
function canUseWords(a: Uint8Array, b: Uint8Array): boolean {
  const isAligned = a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0;
  if (!isAligned || Math.max(a.length, b.length) % 8 > 1) return false;
  return new Uint8Array(Uint32Array.of(1).buffer)[0] === 1;
}

function shuffleWords(source: Uint8Array, target: Uint8Array, count: number): void {
  const words = new Uint32Array(source.buffer, source.byteOffset, count >>> 1);
  const low = new Uint32Array(target.buffer, target.byteOffset, count >>> 2);
  const high = new Uint32Array(target.buffer, target.byteOffset + count, count >>> 2);
  for (let i = 0, j = 0; i < low.length; i += 1, j += 2) {
    const a = words[j];
    const b = words[j + 1];
    low[i] = (a & 0xff) | ((a >>> 8) & 0xff00) | ((b & 0xff) << 16) | ((b & 0xff0000) << 8);
    high[i] = ((a >>> 8) & 0xff) | ((a >>> 16) & 0xff00) | ((b & 0xff00) << 8) | (b & 0xff000000);
  }
}

function mergeWords(lowBytes: Uint8Array, highBytes: Uint8Array, target: Uint8Array): void {
  const count = lowBytes.length;
  const words = new Uint32Array(target.buffer, target.byteOffset, count >>> 1);
  const lows = new Uint32Array(lowBytes.buffer, lowBytes.byteOffset, count >>> 2);
  const highs = new Uint32Array(highBytes.buffer, highBytes.byteOffset, count >>> 2);
  for (let i = 0, j = 0; i < lows.length; i += 1, j += 2) {
    const low = lows[i];
    const high = highs[i];
    words[j] =
      (low & 0xff) | ((high & 0xff) << 8) | ((low & 0xff00) << 8) | ((high & 0xff00) << 16);
    words[j + 1] =
      ((low >>> 16) & 0xff) |
      ((high >>> 8) & 0xff00) |
      ((low >>> 8) & 0xff0000) |
      (high & 0xff000000);
  }
}
