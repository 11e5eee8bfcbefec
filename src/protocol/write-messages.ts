import type { BlockKey } from '../blocks/block-key.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { LentPlace } from '../blocks/served-store.ts';
import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';
import { headWriter, readHead, readTokens, writeTokens } from './read-messages.ts';
import type { CallHead } from './read-messages.ts';

/** What every save says. Its payloads follow, those of a batch from the last block to the first. */
export interface SaveHead extends CallHead {
  /** Undefined: as the daemon's own setting says. */
  readonly durable: boolean | undefined;
  readonly fingerprint: string | undefined;
  /** The payloads of all blocks follow at once, unasked: they are few bytes. */
  readonly isUnasked: boolean;
  /** The daemon is to want every payload: it turned out not to have what it thought it had. */
  readonly isWhole: boolean;
  /** The client fills memory that the daemon lends, where it lends any. */
  readonly mayFill: boolean;
  /** Payloads may come compressed. */
  readonly mayCompress: boolean;
}

export interface SaveCall extends SaveHead {
  readonly parent: BlockKey | undefined;
  readonly blocks: readonly BlockAnnouncement[];
}

/** A block to save, without its payload. */
export interface BlockAnnouncement {
  readonly key: BlockKey;
  readonly length: number;
  readonly tokens: number;
  readonly position: number | undefined;
  readonly hasDecodedTokens: boolean;
}

/** `save-raw-tail`. */
export interface SaveRawTailCall extends SaveHead {
  readonly tip: BlockKey;
  readonly length: number;
}

export interface SaveTailCall extends SaveRawTailCall {
  readonly tokens: readonly number[];
  readonly position: number | undefined;
  readonly hasDecodedTokens: boolean;
}

/** Which payloads of a save are to follow, and how many bytes may be under way. */
export interface Wanted {
  readonly isWanted: readonly boolean[];
  readonly grantBytes: number;
}

const durableFlag = 1;
const notDurableFlag = 2;
const fingerprintFlag = 4;
const parentFlag = 8;
const unaskedFlag = 16;
const wholeFlag = 32;
const fillFlag = 64;
const mayCompressFlag = 128;
const decodedFlag = 1;
/** Bytes of a {@link LentPlace}. */
const placeBytes = 16;
const noPosition = 0xffffffff;
/** Bytes of a {@link BlockAnnouncement}. */
const announcementBytes = 45;

function writeSaveHead(call: SaveHead, parent: BlockKey | undefined, bytes: number): ByteWriter {
  const { durable, fingerprint, isUnasked, isWhole, mayFill, mayCompress } = call;
  let flags = 0;
  if (durable !== undefined) flags |= durable ? durableFlag : notDurableFlag;
  if (fingerprint !== undefined) flags |= fingerprintFlag;
  if (parent !== undefined) flags |= parentFlag;
  if (isUnasked) flags |= unaskedFlag;
  if (isWhole) flags |= wholeFlag;
  if (mayFill) flags |= fillFlag;
  if (mayCompress) flags |= mayCompressFlag;
  const writer = headWriter(call, 256 + bytes).u8(flags);
  if (fingerprint !== undefined) writer.key(fingerprint);
  return parent === undefined ? writer : writer.key(parent);
}

function readSaveHead(reader: ByteReader): SaveHead & { readonly parent: BlockKey | undefined } {
  const head = readHead(reader);
  const flags = reader.u8();
  const both = durableFlag | notDurableFlag;
  if ((flags & both) === both) throw reader.invalid(`unknown flags ${flags}`);
  const durable = (flags & both) === 0 ? undefined : (flags & durableFlag) !== 0;
  const fingerprint = (flags & fingerprintFlag) === 0 ? undefined : reader.key();
  const parent = (flags & parentFlag) === 0 ? undefined : reader.key();
  const isUnasked = (flags & unaskedFlag) !== 0;
  const isWhole = (flags & wholeFlag) !== 0;
  const mayFill = (flags & fillFlag) !== 0;
  const mayCompress = (flags & mayCompressFlag) !== 0;
  return { ...head, durable, fingerprint, parent, isUnasked, isWhole, mayFill, mayCompress };
}

export function encodeSaveCall(call: SaveCall): Uint8Array {
  const writer = writeSaveHead(call, call.parent, announcementBytes * call.blocks.length);
  writer.u32(call.blocks.length);
  for (const { key, length, tokens, position, hasDecodedTokens } of call.blocks) {
    writer
      .key(key)
      .u32(length)
      .u32(tokens)
      .u32(position ?? noPosition);
    writer.u8(hasDecodedTokens ? decodedFlag : 0);
  }
  return writer.finish();
}

export function decodeSaveCall(body: Uint8Array): SaveCall {
  const reader = new ByteReader(body, 'save');
  const head = readSaveHead(reader);
  const count = reader.count(limits.keysPerCallMax, announcementBytes);
  const blocks = Array.from({ length: count }, () => ({
    key: reader.key(),
    length: readLength(reader),
    tokens: readCount(reader),
    position: readPosition(reader),
    hasDecodedTokens: readDecoded(reader),
  }));
  reader.end();
  return { ...head, blocks };
}

export function encodeSaveTailCall(call: SaveTailCall): Uint8Array {
  const writer = writeSaveHead(call, undefined, 4 * call.tokens.length);
  writer
    .key(call.tip)
    .u32(call.length)
    .u32(call.position ?? noPosition);
  writer.u8(call.hasDecodedTokens ? decodedFlag : 0);
  return writeTokens(writer, call.tokens).finish();
}

export function decodeSaveTailCall(body: Uint8Array): SaveTailCall {
  const reader = new ByteReader(body, 'save-tail');
  const { parent: _parent, ...head } = readSaveHead(reader);
  const call = {
    ...head,
    tip: reader.key(),
    length: readLength(reader),
    position: readPosition(reader),
    hasDecodedTokens: readDecoded(reader),
    tokens: readTokens(reader),
  };
  reader.end();
  return call;
}

export function encodeSaveRawTailCall(call: SaveRawTailCall): Uint8Array {
  return writeSaveHead(call, undefined, 0).key(call.tip).u32(call.length).finish();
}

export function decodeSaveRawTailCall(body: Uint8Array): SaveRawTailCall {
  const reader = new ByteReader(body, 'save-raw-tail');
  const { parent: _parent, ...head } = readSaveHead(reader);
  const call = { ...head, tip: reader.key(), length: readLength(reader) };
  reader.end();
  return call;
}

function readLength(reader: ByteReader): number {
  const length = reader.u32();
  if (length > limits.payloadBytesMax) throw reader.invalid(`a payload of ${length} bytes`);
  return length;
}

function readCount(reader: ByteReader): number {
  const count = reader.u32();
  if (count === noPosition) throw reader.invalid(`a count of ${count}`);
  return count;
}

function readPosition(reader: ByteReader): number | undefined {
  const position = reader.u32();
  return position === noPosition ? undefined : position;
}

function readDecoded(reader: ByteReader): boolean {
  const flags = reader.u8();
  if (flags > decodedFlag) throw reader.invalid(`unknown flags ${flags}`);
  return flags === decodedFlag;
}

export function encodeWanted({ isWanted, grantBytes }: Wanted): Uint8Array {
  return new ByteWriter(16 + isWanted.length / 8).u64(grantBytes).bits(isWanted).finish();
}

export function decodeWanted(body: Uint8Array): Wanted {
  const reader = new ByteReader(body, 'wanted');
  const grantBytes = reader.u64();
  const isWanted = reader.bits(limits.keysPerCallMax);
  reader.end();
  return { isWanted, grantBytes };
}

/** Places for the payloads that are due next, in their order. */
export function encodeLent(places: readonly LentPlace[]): Uint8Array {
  const writer = new ByteWriter(4 + placeBytes * places.length).u32(places.length);
  for (const { segment, offset, salt, number } of places) {
    writer.u32(segment).u32(offset).u32(salt).u32(number);
  }
  return writer.finish();
}

export function decodeLent(body: Uint8Array): readonly LentPlace[] {
  const reader = new ByteReader(body, 'lent');
  const count = reader.count(limits.keysPerCallMax, placeBytes);
  const places = Array.from({ length: count }, () => ({
    segment: reader.u32(),
    offset: reader.u32(),
    salt: reader.u32(),
    number: reader.u32(),
  }));
  reader.end();
  return places;
}

/** CRC32C of each payload that was put into the places of the oldest `lent`. */
export function encodeFilled(crcs: readonly number[]): Uint8Array {
  const writer = new ByteWriter(4 + 4 * crcs.length).u32(crcs.length);
  for (const crc of crcs) writer.u32(crc);
  return writer.finish();
}

export function decodeFilled(body: Uint8Array): readonly number[] {
  const reader = new ByteReader(body, 'filled');
  const count = reader.count(limits.keysPerCallMax, 4);
  const crcs = Array.from({ length: count }, () => reader.u32());
  reader.end();
  return crcs;
}

export function encodeSaved({ saved, known, savedBytes }: SaveResult): Uint8Array {
  return new ByteWriter(16).u32(saved).u32(known).u64(savedBytes).finish();
}

export function decodeSaved(body: Uint8Array): SaveResult {
  const reader = new ByteReader(body, 'saved');
  const result = { saved: reader.u32(), known: reader.u32(), savedBytes: reader.u64() };
  reader.end();
  return result;
}
