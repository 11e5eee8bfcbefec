import { StoreError } from '../base/errors.ts';
import type {
  DeleteResult,
  Lookup,
  MissReason,
  ObjectTierStats,
  ObjectVerb,
  SaveResult,
  StoreStats,
  TierStats,
} from '../blocks/kv-store.ts';

/** Answers in JSON, each read field by field; what is not as it should be is `UNAVAILABLE`. */
const reasons: readonly MissReason[] = [
  'unknown',
  'evicted',
  'corrupt',
  'decoded',
  'other-fingerprint',
  'deadline',
  'unavailable',
  'incompatible',
  'closed',
];
const verbs: readonly ObjectVerb[] = ['put', 'get', 'head', 'list', 'delete'];

type Fields = Readonly<Record<string, unknown>>;

export function readLookup(value: unknown, most: number): Lookup {
  const fields = fieldsOf(value, 'a lookup');
  const matched = countOf(fields, 'matched');
  const reason = reasons.find((one) => one === fields['reason']);
  if (matched > most || matched < most !== (reason !== undefined)) {
    throw unexpected(`a lookup of ${most} keys with ${matched} matches and reason ${reason}`);
  }
  return { matched, reason };
}

export function readStored(value: unknown, count: number): readonly boolean[] {
  const { stored } = fieldsOf(value, 'a contains');
  if (!Array.isArray(stored) || stored.length !== count) {
    throw unexpected(`a contains of ${count} keys without as many answers`);
  }
  return stored.map((one: unknown) => one === true);
}

export function readLoaded(value: unknown, most: number): number {
  const loaded = countOf(fieldsOf(value, 'a count'), 'loaded');
  if (loaded > most) throw unexpected(`${loaded} of ${most}`);
  return loaded;
}

export function readSaved(value: unknown): SaveResult {
  const fields = fieldsOf(value, 'a save');
  return {
    saved: countOf(fields, 'saved'),
    known: countOf(fields, 'known'),
    savedBytes: countOf(fields, 'savedBytes'),
  };
}

export function readDeleted(value: unknown): DeleteResult {
  return { objects: countOf(fieldsOf(value, 'a delete'), 'objects') };
}

export function readStats(value: unknown): StoreStats {
  const fields = fieldsOf(value, 'stats');
  const misses = fieldsOf(fields['misses'], 'misses');
  const lastFailure = fields['lastFailure'];
  return {
    memory: readTier(fields['memory']),
    disk: readTier(fields['disk']),
    object: readObjectTier(fields['object']),
    misses: countsOf(misses, reasons),
    corrupt: countOf(fields, 'corrupt'),
    pending: countOf(fields, 'pending'),
    pendingBytes: countOf(fields, 'pendingBytes'),
    uploadFailures: countOf(fields, 'uploadFailures'),
    lastFailure: typeof lastFailure === 'string' ? lastFailure : undefined,
    saved: countOf(fields, 'saved'),
    savedBytes: countOf(fields, 'savedBytes'),
    known: countOf(fields, 'known'),
    refused: countOf(fields, 'refused'),
  };
}

function readTier(value: unknown): TierStats {
  const fields = fieldsOf(value, 'a tier');
  return {
    hits: countOf(fields, 'hits'),
    hitBytes: countOf(fields, 'hitBytes'),
    entries: countOf(fields, 'entries'),
    bytes: countOf(fields, 'bytes'),
    budgetBytes: countOf(fields, 'budgetBytes'),
    evictions: countOf(fields, 'evictions'),
  };
}

function readObjectTier(value: unknown): ObjectTierStats {
  const fields = fieldsOf(value, 'the object tier');
  return {
    hits: countOf(fields, 'hits'),
    hitBytes: countOf(fields, 'hitBytes'),
    requests: countsOf(fieldsOf(fields['requests'], 'requests'), verbs),
    readBytes: countOf(fields, 'readBytes'),
    writtenBytes: countOf(fields, 'writtenBytes'),
  };
}

function countsOf<Name extends string>(
  fields: Fields,
  names: readonly Name[],
): Readonly<Record<Name, number>> {
  const pairs = names.map((name) => [name, countOf(fields, name)] as const);
  return Object.fromEntries(pairs) as Record<Name, number>;
}

function countOf(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw unexpected(`${name} is no count`);
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null) return value as Fields;
  throw unexpected(`${what} that is no object`);
}

function unexpected(what: string): StoreError {
  return new StoreError('UNAVAILABLE', `the server answered with ${what}`);
}
