import { StoreError } from '../base/errors.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Selection } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';

/** Fields of a JSON object that came from outside. Each reader throws `INVALID` naming the field. */
export type Fields = Readonly<Record<string, unknown>>;

export function parseFields(bytes: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new StoreError('INVALID', 'the body is not JSON in UTF-8', { cause });
  }
  if (isFields(value)) return value;
  throw new StoreError('INVALID', 'the body is not a JSON object');
}

export function keysField(fields: Fields, name: string): readonly BlockKey[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw wrong(name, 'an array of block keys');
  if (value.length > limits.keysPerCallMax) {
    throw wrong(name, `at most ${limits.keysPerCallMax} block keys`);
  }
  return value.map((key: unknown, index) => keyOf(key, `${name}[${index}]`));
}

export function keyField(fields: Fields, name: string): BlockKey {
  return keyOf(fields[name], name);
}

export function optionalKeyField(fields: Fields, name: string): BlockKey | undefined {
  return fields[name] === undefined ? undefined : keyOf(fields[name], name);
}

export function flagField(fields: Fields, name: string): boolean | undefined {
  const value = fields[name];
  if (value !== undefined && typeof value !== 'boolean') throw wrong(name, 'true or false');
  return value;
}

export function tokensField(fields: Fields, name: string): readonly number[] {
  const value = fields[name];
  if (!Array.isArray(value) || value.length > limits.blockTokensMax) {
    throw wrong(name, `an array of at most ${limits.blockTokensMax} tokens`);
  }
  return value.map((token: unknown, index) => {
    if (typeof token === 'number' && token === (token | 0)) return token;
    throw wrong(`${name}[${index}]`, 'a 32-bit integer');
  });
}

/** Lengths of the payloads of so many keys. */
export function lengthsField(fields: Fields, name: string, count: number): readonly number[] {
  const value = fields[name];
  if (!Array.isArray(value) || value.length !== count) {
    throw wrong(name, `an array of ${count} lengths, one for each key`);
  }
  const { payloadBytesMax } = limits;
  return value.map((length: unknown, index) => {
    const isLength = typeof length === 'number' && Number.isSafeInteger(length) && length >= 0;
    if (!isLength) throw wrong(`${name}[${index}]`, 'a number of bytes');
    if (length <= payloadBytesMax) return length;
    const message = `${name}[${index}] is ${length} bytes; at most ${payloadBytesMax} can be stored`;
    throw new StoreError('TOO_LARGE', message);
  });
}

export function selectionOf(fields: Fields): Selection {
  const { kind } = fields;
  if (kind === 'blocks') return { kind, keys: keysField(fields, 'keys') };
  if (kind === 'subtree') return { kind, root: keyField(fields, 'root') };
  if (kind === 'namespace') return { kind };
  throw wrong('kind', 'blocks, subtree or namespace');
}

function keyOf(value: unknown, name: string): BlockKey {
  if (typeof value !== 'string') throw wrong(name, 'a block key');
  try {
    return parseBlockKey(value);
  } catch (cause) {
    throw new StoreError('INVALID', `${name}: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    });
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function wrong(name: string, expected: string): StoreError {
  return new StoreError('INVALID', `${name} must be ${expected}`);
}
