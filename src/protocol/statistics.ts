import { StoreError } from '../base/errors.ts';
import type { ObjectTierStats, StoreStats, TierStats } from '../blocks/kv-store.ts';
import { missReasons } from './miss-reasons.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

const tierFields = ['hits', 'hitBytes', 'entries', 'bytes', 'budgetBytes', 'evictions'] as const;
const verbs = ['put', 'get', 'head', 'list', 'delete'] as const;
const billedAs = ['write', 'read', 'free'] as const;
const counters = [
  'corrupt',
  'damagedRecords',
  'pending',
  'pendingBytes',
  'uploadFailures',
  'saved',
  'savedBytes',
  'known',
  'refused',
] as const;

/**
 * The numbers of a store from their JSON. What is absent is 0, what is not known here is left out.
 *
 * @throws StoreError `INVALID` for what is no JSON object, or has something else for a number.
 */
export function decodeStatistics(body: Uint8Array): StoreStats {
  return statisticsOf(parse(body));
}

/** The same from a value that was parsed already. */
export function statisticsOf(value: unknown): StoreStats {
  const root = asObject(value, 'the statistics');
  const object = asObject(root['object'] ?? {}, 'object');
  const lastFailure = root['lastFailure'];
  return {
    memory: tierOf(root, 'memory'),
    disk: tierOf(root, 'disk'),
    object: objectTierOf(object),
    misses: numbersOf(asObject(root['misses'] ?? {}, 'misses'), missReasons),
    lastFailure: typeof lastFailure === 'string' ? lastFailure : undefined,
    ...numbersOf(root, counters),
  };
}

function objectTierOf(object: JsonObject): ObjectTierStats {
  return {
    ...numbersOf(object, ['hits', 'hitBytes', 'readBytes', 'writtenBytes'] as const),
    requests: numbersOf(asObject(object['requests'] ?? {}, 'requests'), verbs),
    billed: numbersOf(asObject(object['billed'] ?? {}, 'billed'), billedAs),
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(body));
  } catch (cause) {
    throw new StoreError('INVALID', 'message statistics: is no JSON', { cause });
  }
}

function asObject(value: unknown, what: string): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.fromEntries(Object.entries(value));
  }
  throw new StoreError('INVALID', `message statistics: ${what} is no object`);
}

function tierOf(root: JsonObject, name: string): TierStats {
  return numbersOf(asObject(root[name] ?? {}, name), tierFields);
}

function numbersOf<Name extends string>(
  object: JsonObject,
  names: readonly Name[],
): Record<Name, number> {
  const entries = names.map((name) => [name, numberOf(object, name)] as const);
  return Object.fromEntries(entries) as Record<Name, number>;
}

function numberOf(object: JsonObject, name: string): number {
  const value = Object.hasOwn(object, name) ? object[name] : 0;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new StoreError('INVALID', `message statistics: ${name} is no count`);
}
