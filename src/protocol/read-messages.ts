import type { BlockKey } from '../blocks/block-key.ts';
import type { Lookup, MissReason, Selection, StoreStats, Tier } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { messageOf } from '../base/errors.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { missReasons } from './miss-reasons.ts';

/** What every call begins with. */
export interface CallHead {
  readonly namespace: Namespace;
  /** Milliseconds that the caller still has. */
  readonly deadlineMs: number;
}

/** `lookup`, `contains` and `prefetch`. */
export interface KeysCall extends CallHead {
  readonly keys: readonly BlockKey[];
}

/** What a caller wants of payloads. */
export interface Wish {
  readonly exact: boolean;
  readonly fingerprint: string | undefined;
  /** Payloads may come compressed. */
  readonly mayCompress: boolean;
  /** The caller reads shared memory: of what lies there it need only be told. Absent: it does not. */
  readonly mayBorrow?: boolean;
}

export interface LoadCall extends KeysCall, Wish {}

export interface LoadTailCall extends CallHead, Wish {
  readonly tip: BlockKey;
  readonly tokens: readonly number[];
}

/** `load-raw-tail`, and `borrow-raw-tail`, whose caller reads shared memory. */
export interface LoadRawTailCall extends CallHead {
  readonly tip: BlockKey;
}

export interface DeleteCall extends CallHead {
  readonly selection: Selection;
}

/** A payload that comes next, in pieces. */
export interface PayloadNotice {
  /** Its place among the keys or blocks of the call. */
  readonly index: number;
  readonly length: number;
  /** CRC32C of the whole payload. */
  readonly crc: number;
  readonly tokens: number;
  readonly hasDecodedTokens: boolean;
  readonly tier: Tier;
  /** What comes instead of the payload's own bytes; absent: those. */
  readonly compressed?: CompressedForm;
}

/** What a payload was before one zstd frame was made of it, as in docs/FORMAT.md. */
export const wireFilters = ['none', 'shuffle2', 'split2'] as const;

/** A payload as it travels compressed. */
export interface CompressedForm {
  readonly filter: (typeof wireFilters)[number];
  /** Bytes that travel: fewer than the payload has. */
  readonly length: number;
}

/** The tiers that the next payloads came from, which lie in memory that the client reads: they do not come. */
export type Resident = readonly Tier[];

/** A tail lies in memory that the client reads, and does not come: of how many tokens it is, and where it came from. */
export interface ResidentTail {
  /** 0: a raw tail, or one of no tokens. */
  readonly tokens: number;
  readonly tier: Tier;
}

/** The end of a load: so many payloads were sent, and why there are no more. */
export interface Loaded {
  readonly count: number;
  readonly reason: MissReason | undefined;
}

const tiers: readonly Tier[] = ['memory', 'disk', 'object'];

/** Their places are numbers on the wire. */
const reasons: readonly (MissReason | undefined)[] = [undefined, ...missReasons];

/** A writer that has the head of a call in it. */
export function headWriter(head: CallHead, expectedBytes?: number): ByteWriter {
  return new ByteWriter(expectedBytes).text(head.namespace).u32(Math.ceil(head.deadlineMs));
}

export function readHead(reader: ByteReader): CallHead {
  const name = reader.text();
  const deadlineMs = reader.u32();
  try {
    return { namespace: parseNamespace(name), deadlineMs };
  } catch (cause) {
    throw reader.invalid(messageOf(cause), cause);
  }
}

export function encodeHead(head: CallHead): Uint8Array {
  return headWriter(head).finish();
}

export function decodeHead(body: Uint8Array): CallHead {
  const reader = new ByteReader(body, 'of a call');
  const head = readHead(reader);
  reader.end();
  return head;
}

export function encodeKeysCall(call: KeysCall): Uint8Array {
  return headWriter(call, 128 + 32 * call.keys.length)
    .keys(call.keys)
    .finish();
}

export function decodeKeysCall(body: Uint8Array): KeysCall {
  const reader = new ByteReader(body, 'with keys');
  const call = { ...readHead(reader), keys: reader.keys() };
  reader.end();
  return call;
}

const exactFlag = 1;
const fingerprintFlag = 2;
const mayCompressFlag = 4;
const mayBorrowFlag = 8;

/** Flags and, when there is one, the fingerprint. */
export function writeWish(writer: ByteWriter, wish: Wish): ByteWriter {
  const { exact, fingerprint, mayCompress, mayBorrow } = wish;
  const flags = (exact ? exactFlag : 0) | (fingerprint === undefined ? 0 : fingerprintFlag);
  const ways = (mayCompress ? mayCompressFlag : 0) | (mayBorrow === true ? mayBorrowFlag : 0);
  writer.u8(flags | ways);
  return fingerprint === undefined ? writer : writer.key(fingerprint);
}

function readWish(reader: ByteReader): Wish {
  const flags = reader.u8();
  if (flags > 15) throw reader.invalid(`unknown flags ${flags}`);
  const fingerprint = (flags & fingerprintFlag) === 0 ? undefined : reader.key();
  const mayCompress = (flags & mayCompressFlag) !== 0;
  const wish = { exact: (flags & exactFlag) !== 0, fingerprint, mayCompress };
  return (flags & mayBorrowFlag) === 0 ? wish : { ...wish, mayBorrow: true };
}

export function encodeLoadCall(call: LoadCall): Uint8Array {
  return writeWish(headWriter(call, 192 + 32 * call.keys.length), call)
    .keys(call.keys)
    .finish();
}

export function decodeLoadCall(body: Uint8Array): LoadCall {
  const reader = new ByteReader(body, 'load');
  const call = { ...readHead(reader), ...readWish(reader), keys: reader.keys() };
  reader.end();
  return call;
}

/** A count and 32-bit tokens. */
export function writeTokens(writer: ByteWriter, tokens: ArrayLike<number>): ByteWriter {
  writer.u32(tokens.length);
  for (let at = 0; at < tokens.length; at += 1) writer.i32(tokens[at]);
  return writer;
}

export function readTokens(reader: ByteReader): number[] {
  return Array.from({ length: reader.count(limits.blockTokensMax, 4) }, () => reader.i32());
}

export function encodeLoadTailCall(call: LoadTailCall): Uint8Array {
  const writer = writeWish(headWriter(call, 256 + 4 * call.tokens.length), call).key(call.tip);
  return writeTokens(writer, call.tokens).finish();
}

export function decodeLoadTailCall(body: Uint8Array): LoadTailCall {
  const reader = new ByteReader(body, 'load-tail');
  const begin = { ...readHead(reader), ...readWish(reader) };
  const call = { ...begin, tip: reader.key(), tokens: readTokens(reader) };
  reader.end();
  return call;
}

export function encodeLoadRawTailCall(call: LoadRawTailCall): Uint8Array {
  return headWriter(call).key(call.tip).finish();
}

export function decodeLoadRawTailCall(body: Uint8Array): LoadRawTailCall {
  const reader = new ByteReader(body, 'load-raw-tail');
  const call = { ...readHead(reader), tip: reader.key() };
  reader.end();
  return call;
}

const selectionKinds = ['blocks', 'subtree', 'namespace'] as const;

export function encodeDeleteCall(call: DeleteCall): Uint8Array {
  const { selection } = call;
  const writer = headWriter(call).u8(selectionKinds.indexOf(selection.kind));
  if (selection.kind === 'blocks') writer.keys(selection.keys);
  if (selection.kind === 'subtree') writer.key(selection.root);
  return writer.finish();
}

export function decodeDeleteCall(body: Uint8Array): DeleteCall {
  const reader = new ByteReader(body, 'delete');
  const head = readHead(reader);
  const selection = readSelection(reader);
  reader.end();
  return { ...head, selection };
}

function readSelection(reader: ByteReader): Selection {
  const kind = reader.word(selectionKinds);
  switch (kind) {
    case 'blocks':
      return { kind, keys: reader.keys() };
    case 'subtree':
      return { kind, root: reader.key() };
    case 'namespace':
      return { kind };
    default:
      return kind satisfies never;
  }
}

export function encodeLookedUp({ matched, reason }: Lookup): Uint8Array {
  return new ByteWriter(8).u32(matched).u8(reasons.indexOf(reason)).finish();
}

export function decodeLookedUp(body: Uint8Array): Lookup {
  const { count, reason } = decodeLoaded(body);
  return { matched: count, reason };
}

export function encodeLoaded({ count, reason }: Loaded): Uint8Array {
  return encodeLookedUp({ matched: count, reason });
}

export function decodeLoaded(body: Uint8Array): Loaded {
  const reader = new ByteReader(body, 'with a count and a reason');
  const end = { count: reader.u32(), reason: reader.word(reasons) };
  reader.end();
  return end;
}

export function encodeResident(tiersOfNext: Resident): Uint8Array {
  const writer = new ByteWriter(4 + tiersOfNext.length).u32(tiersOfNext.length);
  for (const tier of tiersOfNext) writer.u8(tiers.indexOf(tier));
  return writer.finish();
}

export function decodeResident(body: Uint8Array): Resident {
  const reader = new ByteReader(body, 'resident');
  const count = reader.count(limits.keysPerCallMax, 1);
  if (count === 0) throw reader.invalid('nothing is resident');
  const tiersOfNext = Array.from({ length: count }, () => reader.word(tiers));
  reader.end();
  return tiersOfNext;
}

export function encodeResidentTail({ tokens, tier }: ResidentTail): Uint8Array {
  return new ByteWriter(5).u32(tokens).u8(tiers.indexOf(tier)).finish();
}

export function decodeResidentTail(body: Uint8Array): ResidentTail {
  const reader = new ByteReader(body, 'resident-tail');
  const resident = { tokens: reader.u32(), tier: reader.word(tiers) };
  reader.end();
  return resident;
}

export function encodePresent(flags: readonly boolean[]): Uint8Array {
  return new ByteWriter(16 + flags.length / 8).bits(flags).finish();
}

export function decodePresent(body: Uint8Array): boolean[] {
  const reader = new ByteReader(body, 'present');
  const flags = reader.bits(limits.keysPerCallMax);
  reader.end();
  return flags;
}

const decodedFlag = 1;
const compressedFlag = 2;

export function encodePayloadNotice(notice: PayloadNotice): Uint8Array {
  const { index, length, crc, tokens, hasDecodedTokens, tier, compressed } = notice;
  const writer = new ByteWriter(23).u32(index).u32(length).u32(crc).u32(tokens);
  const flags = (hasDecodedTokens ? decodedFlag : 0) | (compressed ? compressedFlag : 0);
  writer.u8(flags).u8(tiers.indexOf(tier));
  if (compressed === undefined) return writer.finish();
  return writer.u8(wireFilters.indexOf(compressed.filter)).u32(compressed.length).finish();
}

export function decodePayloadNotice(body: Uint8Array): PayloadNotice {
  const reader = new ByteReader(body, 'payload');
  const [index, length, crc, tokens] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  const flags = reader.u8();
  if (flags > 3) throw reader.invalid(`unknown flags ${flags}`);
  const hasDecodedTokens = (flags & decodedFlag) !== 0;
  const tier = reader.word(tiers);
  const isCompressed = (flags & compressedFlag) !== 0;
  const compressed = isCompressed ? readCompressedForm(reader, length) : undefined;
  reader.end();
  if (length > limits.payloadBytesMax) throw reader.invalid(`a payload of ${length} bytes`);
  const notice = { index, length, crc, tokens, hasDecodedTokens, tier };
  return compressed === undefined ? notice : { ...notice, compressed };
}

/** Of a payload of that length: what is longer is never compressed, so its length bounds the memory for both. */
function readCompressedForm(reader: ByteReader, rawLength: number): CompressedForm {
  const form = { filter: reader.word(wireFilters), length: reader.u32() };
  const isWrong = form.length === 0 || form.length >= rawLength;
  if (isWrong || rawLength > limits.wireCompressBytesMax) {
    throw reader.invalid(`${form.length} bytes for a payload of ${rawLength}`);
  }
  return form;
}

/** The answers that are one number: `prefetched` and `deleted`. */
export function encodeNumber(value: number): Uint8Array {
  return new ByteWriter(8).u64(value).finish();
}

export function decodeNumber(body: Uint8Array): number {
  const reader = new ByteReader(body, 'with a number');
  const value = reader.u64();
  reader.end();
  return value;
}

/** The numbers of the store as JSON, which a client that knows fewer or more of them reads too. */
export function encodeStatistics(stats: StoreStats): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(stats));
}
