import { crc32c } from '../base/crc32c.ts';
import type { CacheEntry, PayloadFacts } from './cache-entry.ts';
import type { LogAppend } from './disk-log.ts';
import type { LogRecord, RecordType } from './log-record.ts';

/**
 * What the record says of its payload. Spelled out, as is `recordOf`: spreads cost ten times as much, and a log has
 * many records.
 */
export function factsOf(record: LogRecord): PayloadFacts {
  return {
    namespace: record.namespace,
    kind: record.kind,
    key: record.key,
    parent: record.parent,
    fingerprint: record.fingerprint,
    tokens: record.tokens,
    position: record.position,
    hasDecodedTokens: record.hasDecodedTokens,
    length: record.payloadLength,
    crc: record.payloadCrc,
  };
}

/** A record about the entry. */
export function recordOf(type: RecordType, entry: CacheEntry): LogRecord {
  const { facts, sequence, saveId, saveIndex } = entry;
  return {
    type,
    kind: facts.kind,
    namespace: facts.namespace,
    key: facts.key,
    parent: facts.parent,
    fingerprint: facts.fingerprint,
    tokens: facts.tokens,
    position: facts.position,
    hasDecodedTokens: facts.hasDecodedTokens,
    isDurable: !entry.isPending,
    sequence,
    saveId,
    saveIndex,
    payloadLength: facts.length,
    payloadCrc: facts.crc,
  };
}

/** Longer tags are not kept. */
const tagBytesMax = 256;

/** The record of what became of the entry's payload; that it is uploaded tells the tag of a raw tail's object. */
export function noteRecord(type: 'uploaded' | 'removed', entry: CacheEntry): LogAppend {
  const tag = Buffer.from((type === 'uploaded' && entry.etag) || '');
  const payload = tag.length <= tagBytesMax ? tag : new Uint8Array(0);
  const { length: payloadLength } = payload;
  return {
    record: { ...recordOf(type, entry), payloadLength, payloadCrc: crc32c(payload) },
    payload,
  };
}

/** The entry's payload as records: itself, and the tag of its object behind it where that is known. */
export function payloadRecords(entry: CacheEntry, payload: Uint8Array): readonly LogAppend[] {
  const own = { record: recordOf('payload', entry), payload };
  return entry.etag === undefined ? [own] : [own, noteRecord('uploaded', entry)];
}

/** The record that lists the keys of the save that the entry came with. */
export function saveRecord(entry: CacheEntry, keys: Uint8Array): LogRecord {
  const record = recordOf('save', entry);
  return { ...record, payloadLength: keys.length, payloadCrc: crc32c(keys) };
}
