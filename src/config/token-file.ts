import { messageOf, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Files } from '../platform/files.ts';

/** What can be done with a store. `admin` is what concerns all of it: statistics, metrics, flush. */
export const verbs = ['read', 'write', 'delete', 'admin'] as const;
export type Verb = (typeof verbs)[number];

/** One token of a daemon's file, and what it may do. */
export interface TokenEntry {
  /** The secret itself. It goes into a digest and nowhere else. */
  readonly token: string;
  /** How logs, metrics and limits call whoever gives it. */
  readonly name: string;
  readonly verbs: ReadonlySet<Verb>;
  readonly namespaces: ReadonlySet<Namespace> | 'all';
}

type Fields = Readonly<Partial<Record<(typeof fieldNames)[number], string>>>;

const fieldNames = ['name', 'verbs', 'namespaces'] as const;
const fieldsText = 'name=…, verbs=… and namespaces=…, each once';
const verbsText = 'read, write, delete and admin, separated by commas, or *';
const namespacesText =
  'names separated by commas, percent-encoded outside A-Za-z0-9-._ (a * of a name is %2A), or *';

/**
 * Reads a daemon's file of tokens (docs/OPERATING.md). What is wrong is named by file, line and what
 * is accepted; no text of the file is ever in a message, for any word of it may be a secret.
 *
 * @throws StoreError `INVALID`.
 */
export async function readTokenFile(files: Files, path: string): Promise<readonly TokenEntry[]> {
  let bytes: Uint8Array;
  try {
    bytes = await files.readSmall(path, limits.tokenFileBytesMax);
  } catch (cause) {
    const message = `token file ${path} cannot be read: ${messageOf(cause)}`;
    throw new StoreError('INVALID', message, { cause });
  }
  try {
    return parseTokenFile(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof RangeError ? cause.message : 'it is not UTF-8';
    throw new StoreError('INVALID', `token file ${path}: ${why}`);
  }
}

/**
 * The tokens in a file's text.
 *
 * @throws RangeError naming the line and what is accepted there.
 */
export function parseTokenFile(text: string): readonly TokenEntry[] {
  const entries: TokenEntry[] = [];
  const lineOfToken = new Map<string, number>();
  const lineOfName = new Map<string, number>();
  for (const [at, line] of text.split('\n').entries()) {
    const words = line.trim().split(/[ \t]+/);
    if (words[0] === '' || words[0].startsWith('#')) continue;
    const where = `line ${at + 1}`;
    const entry = parseEntry(words, where, at + 1);
    const sameToken = lineOfToken.get(entry.token);
    if (sameToken !== undefined) throw wrong(where, `the token of line ${sameToken} again`);
    const sameName = lineOfName.get(entry.name);
    if (sameName !== undefined) throw wrong(where, `the name of line ${sameName} again`);
    lineOfToken.set(entry.token, at + 1);
    lineOfName.set(entry.name, at + 1);
    entries.push(entry);
    if (entries.length > limits.tokensMax) {
      throw wrong(where, `more than ${limits.tokensMax} tokens`);
    }
  }
  if (entries.length === 0) throw new RangeError('there is no token in it');
  return entries;
}

function parseEntry(words: readonly string[], where: string, line: number): TokenEntry {
  const [token, ...rest] = words;
  if (!isToken(token)) {
    const accepted = `a token of 1 to ${limits.tokenLengthMax} ASCII letters, digits and signs`;
    throw wrong(where, `the first word is none; accepted: ${accepted}`);
  }
  const fields = parseFields(rest, where);
  const { name = `line-${line}` } = fields;
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    throw wrong(where, 'name takes 1 to 64 letters, digits, dots, underscores or hyphens');
  }
  if (fields.verbs === undefined && fields.namespaces === undefined) {
    return { token, name, verbs: new Set(verbs), namespaces: 'all' };
  }
  const may = parseVerbs(fields.verbs, where);
  return { token, name, verbs: may, namespaces: parseNamespaces(fields, may, where) };
}

function parseFields(words: readonly string[], where: string): Fields {
  const fields: Partial<Record<(typeof fieldNames)[number], string>> = {};
  for (const [at, word] of words.entries()) {
    const [, name, value] = /^([a-z]+)=(.+)$/.exec(word) ?? [];
    const known = fieldNames.find((one) => one === name);
    if (known === undefined || value === undefined || fields[known] !== undefined) {
      throw wrong(where, `word ${at + 2} is not understood; accepted: ${fieldsText}`);
    }
    fields[known] = value;
  }
  return fields;
}

function parseVerbs(text: string | undefined, where: string): ReadonlySet<Verb> {
  if (text === undefined) throw wrong(where, `namespaces without verbs; accepted: ${verbsText}`);
  if (text === '*') return new Set(verbs);
  const found = text.split(',').map((word) => verbs.find((verb) => verb === word));
  return new Set(
    found.map((verb) => {
      if (verb === undefined) throw wrong(where, `verbs takes ${verbsText}`);
      return verb;
    }),
  );
}

/** Whoever may only see to the store as a whole needs no namespace; for all else it is said. */
function parseNamespaces(
  { namespaces }: Fields,
  may: ReadonlySet<Verb>,
  where: string,
): TokenEntry['namespaces'] {
  if (namespaces === '*') return 'all';
  if (namespaces === undefined) {
    if (may.size === 1 && may.has('admin')) return new Set();
    throw wrong(where, `verbs without namespaces; accepted: ${namespacesText}`);
  }
  return new Set(namespaces.split(',').map((name) => parseName(name, where)));
}

function parseName(encoded: string, where: string): Namespace {
  try {
    if (/^(?:[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})+$/.test(encoded)) {
      return parseNamespace(decodeURIComponent(encoded));
    }
  } catch {
    // Told below, without the text that is wrong: it may be a token in the wrong place.
  }
  throw wrong(where, `namespaces takes ${namespacesText}`);
}

/** True for what can be a token everywhere: also in a header of HTTP. */
export function isToken(text: string): boolean {
  return text.length <= limits.tokenLengthMax && /^[\x21-\x7e]+$/.test(text);
}

function wrong(where: string, what: string): RangeError {
  return new RangeError(`${where}: ${what}`);
}
