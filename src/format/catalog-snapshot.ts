import { viewOf } from '../base/bytes.ts';
import { crc32c, crc32cAppend } from '../base/crc32c.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { payloadKinds } from '../blocks/payload-kind.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';

/** What a catalog believed of the bucket: its table, and whose keys lie in it. */
export interface CatalogSnapshot {
  /** The eight words that were drawn for the table. */
  readonly mix: Int32Array;
  /** Entries of each shard, four words each. */
  readonly shards: readonly Int32Array[];
  readonly owners: readonly CatalogOwner[];
}

/** A namespace and kind, and its number in the table. */
export interface CatalogOwner {
  readonly number: number;
  readonly kind: PayloadKind;
  readonly namespace: Namespace;
}

/** What stands before the shards. */
export interface CatalogHead {
  readonly mix: Int32Array;
  /** Words of each shard. */
  readonly shardWords: readonly number[];
  readonly owners: readonly CatalogOwner[];
  /** The checksum that the head ends with, which each shard continues. */
  readonly crc: number;
}

/** Bytes at the beginning that tell how long the head is. */
export const catalogPreludeBytes = 16;
/** A longer head is not written, and not believed. */
const catalogHeadBytesMax = 4 * 1024 * 1024;

const magic = 0x43564b57; // 'WKVC'
const version = 1;
/** Written as the processor writes words: the shards are. */
const orderMark = 0x01020304;
const digestAt = 16;
const digestBytes = 32;
const mixAt = digestAt + digestBytes;
const mixWords = 8;
const countsAt = mixAt + 4 * mixWords;
const shardsAt = countsAt + 8;
const shardsMax = 4096;
const entryWords = 4;

/**
 * The head of a catalog file; `docs/FORMAT.md` (Catalog) draws it. Undefined when it would be too long,
 * for there are too many namespaces.
 */
export function encodeCatalogHead(
  { mix, shards, owners }: CatalogSnapshot,
  storeDigest: Uint8Array,
): Uint8Array | undefined {
  const names = owners.map(({ namespace }) => new TextEncoder().encode(namespace));
  const ownerBytes = names.reduce((sum, name) => sum + 6 + name.length, 0);
  const byteLength = shardsAt + 4 * shards.length + ownerBytes + 4;
  if (byteLength > catalogHeadBytesMax) return undefined;
  const head = new Uint8Array(byteLength);
  const view = viewOf(head);
  view.setUint32(0, magic, true);
  view.setUint32(4, version, true);
  view.setUint32(8, byteLength, true);
  head.set(new Uint8Array(Uint32Array.of(orderMark).buffer), 12);
  head.set(storeDigest, digestAt);
  for (let word = 0; word < mixWords; word += 1) view.setInt32(mixAt + 4 * word, mix[word], true);
  view.setUint32(countsAt, shards.length, true);
  view.setUint32(countsAt + 4, owners.length, true);
  let at = shardsAt;
  for (const { length } of shards) {
    view.setUint32(at, length, true);
    at += 4;
  }
  for (const [index, { number, kind }] of owners.entries()) {
    view.setUint32(at, number, true);
    view.setUint8(at + 4, payloadKinds.indexOf(kind));
    view.setUint8(at + 5, names[index].length);
    head.set(names[index], at + 6);
    at += 6 + names[index].length;
  }
  view.setUint32(at, crc32c(head.subarray(0, at)), true);
  return head;
}

/** How long the head is that begins like this; undefined when no head does. */
export function catalogHeadLength(prelude: Uint8Array): number | undefined {
  if (prelude.length < catalogPreludeBytes) return undefined;
  const view = viewOf(prelude);
  if (view.getUint32(0, true) !== magic) return undefined;
  const byteLength = view.getUint32(8, true);
  const isPossible = byteLength >= shardsAt + 4 && byteLength <= catalogHeadBytesMax;
  return isPossible ? byteLength : undefined;
}

/**
 * Reads a head, whole. It is `foreign` when it is about another object store, or was written by another
 * version or a processor that orders bytes otherwise.
 */
export function decodeCatalogHead(
  head: Uint8Array,
  storeDigest: Uint8Array,
): CatalogHead | 'foreign' | 'damaged' {
  const view = viewOf(head);
  const end = head.length - 4;
  const crc = view.getUint32(end, true);
  if (crc !== crc32c(head.subarray(0, end))) return 'damaged';
  const order = new Uint32Array(head.slice(12, 16).buffer)[0];
  const isReadable = view.getUint32(4, true) === version && order === orderMark;
  const isOwn = storeDigest.every((byte, index) => head[digestAt + index] === byte);
  if (!isReadable || !isOwn) return 'foreign';
  const mix = Int32Array.from({ length: mixWords }, (_, word) =>
    view.getInt32(mixAt + 4 * word, true),
  );
  const shardCount = view.getUint32(countsAt, true);
  if (shardCount > shardsMax || shardsAt + 4 * shardCount > end) return 'damaged';
  const shardWords = Array.from({ length: shardCount }, (_, shard) =>
    view.getUint32(shardsAt + 4 * shard, true),
  );
  const owners = decodeOwners(head.subarray(0, end), shardsAt + 4 * shardCount);
  if (owners?.length !== view.getUint32(countsAt + 4, true)) return 'damaged';
  return { mix, shardWords, owners, crc };
}

/** The checksum behind a shard: it holds for this place in this file. */
export function shardChecksum(
  head: Pick<CatalogHead, 'crc'>,
  shard: number,
  bytes: Uint8Array,
): number {
  const place = new Uint8Array(8);
  viewOf(place).setUint32(0, head.crc, true);
  viewOf(place).setUint32(4, shard, true);
  return crc32cAppend(crc32c(place), bytes);
}

/** Bytes of the whole file with that head. */
export function catalogFileLength(headBytes: number, shardWords: readonly number[]): number {
  return shardWords.reduce((sum, words) => sum + 4 * words + 4, headBytes);
}

/** True for a number of words that a shard can have. */
export function isShardLength(words: number): boolean {
  const slots = words / entryWords;
  return Number.isInteger(slots) && slots > 0 && (slots & (slots - 1)) === 0;
}

function decodeOwners(bytes: Uint8Array, from: number): readonly CatalogOwner[] | undefined {
  const view = viewOf(bytes);
  const owners: CatalogOwner[] = [];
  let at = from;
  while (at < bytes.length) {
    if (at + 6 > bytes.length) return undefined;
    const kind = payloadKinds.at(view.getUint8(at + 4));
    const end = at + 6 + view.getUint8(at + 5);
    if (kind === undefined || end > bytes.length) return undefined;
    const namespace = decodeName(bytes.subarray(at + 6, end));
    if (namespace === undefined) return undefined;
    owners.push({ number: view.getUint32(at, true), kind, namespace });
    at = end;
  }
  return owners;
}

function decodeName(bytes: Uint8Array): Namespace | undefined {
  try {
    return parseNamespace(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}
