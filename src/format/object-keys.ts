import { assert } from '../base/assert.ts';
import { isBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';

/**
 * Names of objects in the bucket, all of them:
 *
 * ```text
 * <prefix>/<ns>/wombatkv/v2/block/<first two hex>/<64 hex>
 * <prefix>/<ns>/wombatkv/v2/tail/<tip>/<tokens>-<digest>
 * <prefix>/<ns>/wombatkv/v2/rawtail/<tip>
 * <prefix>/<ns>/wombatkv/v1/block/b3=<64 hex>                   written by the Rust WombatKV
 * <prefix>/<ns>/wombatkv/v1/sidecar/raw_tail/b3=<64 hex>
 * <prefix>/!claims/<bytes, 16 digits>-<32 hex>                  a claim of room, empty
 * <prefix>/!claims/last                                         who began to claim last
 * ```
 *
 * The prefix is canonical: no slash at its ends, and when it is empty nothing stands before `<ns>`.
 */
export type ParsedObjectKey =
  | { readonly kind: 'block'; readonly namespace: Namespace; readonly key: BlockKey }
  | {
      readonly kind: 'tail';
      readonly namespace: Namespace;
      readonly tip: BlockKey;
      readonly tokens: number;
      readonly digest: BlockKey;
    }
  | { readonly kind: 'raw-tail'; readonly namespace: Namespace; readonly tip: BlockKey };

/** Which of the two formats an object has: ours, or that of the Rust WombatKV. */
export type ObjectFormat = 'v2' | 'v1';

/** What a v1 key names. */
export type ParsedLegacyKey = Exclude<ParsedObjectKey, { readonly kind: 'tail' }>;

const current = 'wombatkv/v2';
const legacy = 'wombatkv/v1';
const tokensMax = 0xffffffff;
/** Digits of the largest safe integer. */
const claimDigits = 16;

/** The object that holds the block. */
export function blockObjectKey(prefix: string, namespace: Namespace, key: BlockKey): string {
  return `${blockObjectPrefix(prefix, namespace)}${key.slice(0, 2)}/${key}`;
}

/** What the keys of all blocks of the namespace begin with. */
export function blockObjectPrefix(prefix: string, namespace: Namespace): string {
  return `${root(prefix)}${encodeNamespace(namespace)}/${current}/block/`;
}

/** The object that holds the tail of `tokens` tokens with that digest. */
// oxlint-disable-next-line max-params -- every part of the name, in the order in which they stand
export function tailObjectKey(
  prefix: string,
  namespace: Namespace,
  tip: BlockKey,
  tokens: number,
  digest: BlockKey,
): string {
  assert(
    Number.isInteger(tokens) && tokens >= 0 && tokens <= tokensMax,
    `tail of ${tokens} tokens`,
  );
  return `${tailObjectPrefix(prefix, namespace, tip)}${tokens}-${digest}`;
}

/** What the keys of all tails of the tip begin with: one LIST finds them. */
export function tailObjectPrefix(prefix: string, namespace: Namespace, tip: BlockKey): string {
  return `${root(prefix)}${encodeNamespace(namespace)}/${current}/tail/${tip}/`;
}

/** The object that holds the raw tail of the tip. */
export function rawTailObjectKey(prefix: string, namespace: Namespace, tip: BlockKey): string {
  return `${root(prefix)}${encodeNamespace(namespace)}/${current}/rawtail/${tip}`;
}

/**
 * What the keys of everything in the namespace begin with, objects of the v1 format included when
 * the name is spelled alike in both.
 */
export function namespaceObjectPrefix(prefix: string, namespace: Namespace): string {
  return `${root(prefix)}${encodeNamespace(namespace)}/wombatkv/`;
}

/**
 * What the object key names, or undefined when it is not exactly what the functions above make:
 * every name has one spelling. Keys of the v1 format are for {@link parseLegacyKey}.
 */
export function parseObjectKey(prefix: string, objectKey: string): ParsedObjectKey | undefined {
  const start = root(prefix);
  if (!objectKey.startsWith(start)) return undefined;
  const [encoded, ...rest] = objectKey.slice(start.length).split('/');
  const namespace = decodeNamespace(encoded);
  if (namespace === undefined || rest.length < 4) return undefined;
  if (`${rest[0]}/${rest[1]}` !== current) return undefined;
  return parseParts(namespace, rest.slice(2));
}

/**
 * The empty object by which a process claims room for so many bytes. No namespace is spelled like the
 * directory that it is in.
 */
export function claimObjectKey(prefix: string, bytes: number, name: string): string {
  assert(Number.isSafeInteger(bytes) && bytes >= 0, `claim of ${bytes} bytes`);
  return `${claimObjectPrefix(prefix)}${String(bytes).padStart(claimDigits, '0')}-${name}`;
}

/** What the keys of all claims of room begin with. */
export function claimObjectPrefix(prefix: string): string {
  return `${root(prefix)}!claims/`;
}

/** The object that whoever begins to claim puts anew: while it stays as it was, nobody did. */
export function lastClaimantObjectKey(prefix: string): string {
  return `${claimObjectPrefix(prefix)}last`;
}

/** The bytes of a claim; undefined when the key is not one that {@link claimObjectKey} makes. */
export function parseClaimKey(prefix: string, objectKey: string): number | undefined {
  const start = claimObjectPrefix(prefix);
  if (!objectKey.startsWith(start)) return undefined;
  const match = /^([0-9]{16})-[0-9a-f]{32}$/.exec(objectKey.slice(start.length));
  const bytes = Number(match?.[1]);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The namespace as one part of a key: bytes outside `A-Za-z0-9-._` as `%XX`; `.` and `..` too. */
export function encodeNamespace(namespace: Namespace): string {
  if (/^\.\.?$/.test(namespace)) return namespace.replaceAll('.', '%2E');
  return escapeBytes(namespace, /[^A-Za-z0-9._-]/gu);
}

/** The namespace of an encoded name; undefined when it is not in the one form encoding gives. */
export function decodeNamespace(encoded: string): Namespace | undefined {
  try {
    const namespace = parseNamespace(decodeURIComponent(encoded));
    return encodeNamespace(namespace) === encoded ? namespace : undefined;
  } catch {
    // Not percent-encoded UTF-8, or no name that a namespace may have.
    return undefined;
  }
}

/** Where the Rust WombatKV stored the block. */
export function legacyBlockObjectKey(prefix: string, namespace: Namespace, key: BlockKey): string {
  return `${legacyBlockPrefix(prefix, namespace)}b3=${key}`;
}

/** Where the Rust WombatKV stored the raw tail of the tip. */
export function legacyRawTailObjectKey(
  prefix: string,
  namespace: Namespace,
  tip: BlockKey,
): string {
  return `${legacyObjectPrefix(prefix, namespace)}sidecar/raw_tail/b3=${tip}`;
}

/** What the keys of all v1 blocks of the namespace begin with. */
export function legacyBlockPrefix(prefix: string, namespace: Namespace): string {
  return `${legacyObjectPrefix(prefix, namespace)}block/`;
}

/** What the keys of everything of the v1 format in the namespace begin with. */
export function legacyObjectPrefix(prefix: string, namespace: Namespace): string {
  return `${root(prefix)}${legacyNamespace(namespace)}/${legacy}/`;
}

/**
 * What a v1 object key names, or undefined when it is not exactly what the functions above make.
 */
export function parseLegacyKey(prefix: string, objectKey: string): ParsedLegacyKey | undefined {
  const start = root(prefix);
  if (!objectKey.startsWith(start)) return undefined;
  const [spelled, ...rest] = objectKey.slice(start.length).split('/');
  const namespace = decodeLegacyNamespace(spelled);
  const match = /^wombatkv\/v1\/(block|sidecar\/raw_tail)\/b3=(.*)$/s.exec(rest.join('/'));
  const key = match?.[2];
  if (namespace === undefined || key === undefined || !isBlockKey(key)) return undefined;
  return match?.[1] === 'block'
    ? { kind: 'block', namespace, key }
    : { kind: 'raw-tail', namespace, tip: key };
}

function root(prefix: string): string {
  assert(!prefix.startsWith('/') && !prefix.endsWith('/'), `key prefix "${prefix}" is canonical`);
  return prefix === '' ? '' : `${prefix}/`;
}

function parseParts(namespace: Namespace, parts: readonly string[]): ParsedObjectKey | undefined {
  const [kind, first, second] = parts;
  if (kind === 'rawtail' && parts.length === 2 && isBlockKey(first)) {
    return { kind: 'raw-tail', namespace, tip: first };
  }
  if (parts.length !== 3) return undefined;
  if (kind === 'block' && isBlockKey(second) && second.startsWith(first) && first.length === 2) {
    return { kind: 'block', namespace, key: second };
  }
  return kind === 'tail' && isBlockKey(first) ? parseTail(namespace, first, second) : undefined;
}

function parseTail(namespace: Namespace, tip: BlockKey, name: string): ParsedObjectKey | undefined {
  const dash = name.indexOf('-');
  const count = name.slice(0, dash);
  const digest = name.slice(dash + 1);
  const tokens = Number(count);
  if (!/^(?:0|[1-9][0-9]{0,9})$/.test(count) || tokens > tokensMax) return undefined;
  return isBlockKey(digest) ? { kind: 'tail', namespace, tip, tokens, digest } : undefined;
}

/**
 * The Rust version wrote names as they are, and none with a slash. Ours differ from that only where
 * it had no object or the spelling would let one namespace reach another: slash, percent sign,
 * control characters, `.` and `..`.
 */
function legacyNamespace(namespace: Namespace): string {
  if (/^\.\.?$/.test(namespace)) return encodeNamespace(namespace);
  return escapeBytes(namespace, /[\u0000-\u001f\u007f%/]/gu);
}

/** Undefined when the name is not in the one form that {@link legacyNamespace} gives. */
function decodeLegacyNamespace(spelled: string): Namespace | undefined {
  try {
    const name = spelled.replace(/(?:%[0-9A-F]{2})+/g, (escaped) => decodeURIComponent(escaped));
    const namespace = parseNamespace(name);
    return legacyNamespace(namespace) === spelled ? namespace : undefined;
  } catch {
    // Not percent-encoded UTF-8, or no name that a namespace may have.
    return undefined;
  }
}

function escapeBytes(text: string, unsafe: RegExp): string {
  return text.replace(unsafe, (character) => {
    let escaped = '';
    for (const byte of new TextEncoder().encode(character)) {
      escaped += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    }
    return escaped;
  });
}
