import { StoreError } from '../base/errors.ts';
import type { DeleteResult, Lookup, SaveResult } from '../blocks/kv-store.ts';
import { missReasons } from '../protocol/miss-reasons.ts';

/** Answers in JSON, each read field by field; what is not as it should be is `UNAVAILABLE`. */
type Fields = Readonly<Record<string, unknown>>;

export function readLookup(value: unknown, most: number): Lookup {
  const fields = fieldsOf(value, 'a lookup');
  const matched = countOf(fields, 'matched');
  const reason = missReasons.find((one) => one === fields['reason']);
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

/**
 * Which payloads a save leaves out: those of stored blocks, wherever a server takes that. An older one takes it of
 * the first blocks alone.
 */
export function readLeftOut(value: unknown, count: number): readonly boolean[] {
  const stored = readStored(value, count);
  if (fieldsOf(value, 'a contains')['gaps'] === true) return stored;
  const firstNew = stored.indexOf(false);
  return stored.map((_, index) => firstNew < 0 || index < firstNew);
}

/** The newest bulk body that the server takes of a save: beside what is stored, by servers that know of it. */
export function readBulkVersion(value: unknown): number {
  const { bulk } = fieldsOf(value, 'a contains');
  return typeof bulk === 'number' ? bulk : 1;
}

/** Whether the server takes a save whose payloads come compressed. */
export function takesCompressed(value: unknown): boolean {
  return fieldsOf(value, 'a contains')['compressed'] === true;
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
