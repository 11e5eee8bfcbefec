import { byteTextOf } from './object-key.ts';

/**
 * Keys as paths below a directory store's root, one to one. A key's parts become directories, its
 * last part a file:
 *
 * ```
 * kv/cabi/default/wombatkv/v2/block/ab/<64 hex>   is   kv/cabi/default/wombatkv/v2/block/ab/<64 hex>
 * kv/…/tail/<64 hex>/128-<64 hex>                 is   kv/…/tail/<64 hex>%d/128-<64 hex>
 * notes/a b                                       is   notes/a%20b%o
 * ```
 *
 * - Bytes other than `A-Z a-z 0-9 _ = . -`, and a `.` that begins a name, are `%XX`. So no name is
 *   `.` or `..`, and names that begin with `.` are never objects.
 * - `a` and `a/b` are both keys, so files and directories need different names. A name that ends in
 *   64 hex digits stands for an object, any other for a directory; `%o` or `%d` behind a name says
 *   the opposite. That keeps our own keys, and buckets of the Rust version, as they are.
 * - File names have at most 255 bytes. A part of 84 bytes or more is cut into runs of 84, each a
 *   directory ending in `%c` (continued); the rest, which may be empty, is always marked. The cut
 *   is by bytes of the key, not of the name: so everything that begins with a run lies below its
 *   directory, and the subtrees of a directory never interleave in key order.
 *
 * Text here is byte text (`byteTextOf`). Needs a file system that tells upper from lower case.
 */
export type NameKind = 'object' | 'directory' | 'continued';

/** A name in a directory of the store, understood. */
export interface DecodedName {
  readonly kind: NameKind;
  /** The bytes that the name adds to the key, without a `/` behind a directory. */
  readonly text: string;
}

/** Key bytes per name: three characters each and the mark make at most 254. */
const runBytes = 84;

const looksLikeObject = /^(?!\.)[A-Za-z0-9_=.-]{0,19}[0-9a-f]{64}$/;
const plainText = /^(?!\.)[A-Za-z0-9_=.-]+$/;
const needsEscape = /^\.|[^A-Za-z0-9_=.-]/g;
const escaped = /%[0-9A-F]{2}/g;
const marks: Readonly<Record<NameKind, string>> = {
  object: '%o',
  directory: '%d',
  continued: '%c',
};

/** The path of the key's file, relative to the root. */
export function pathOfKey(key: string): string {
  const parts = byteTextOf(key).split('/');
  const last = parts.pop() ?? '';
  const names = parts.flatMap((part) => namesOfPart(part, 'directory'));
  return [...names, ...namesOfPart(last, 'object')].join('/');
}

/** The deepest directory that holds every key beginning with the prefix. */
export interface PrefixDirectory {
  /** Relative to the root; empty for the root itself. */
  readonly path: string;
  /** What keys below the directory begin with, as byte text: the prefix or its beginning. */
  readonly text: string;
  /** True when the directory is a run of a longer part. */
  readonly isContinued: boolean;
}

/** Where a walk for keys with the prefix begins. */
export function directoryOfPrefix(prefix: string): PrefixDirectory {
  const parts = byteTextOf(prefix).split('/');
  const last = parts.pop() ?? '';
  const { runs, rest } = cutIntoRuns(last);
  const names = [
    ...parts.flatMap((part) => namesOfPart(part, 'directory')),
    ...runs.map((run) => nameOf(run, 'continued')),
  ];
  const text = byteTextOf(prefix);
  return {
    path: names.join('/'),
    text: text.slice(0, text.length - rest.length),
    isContinued: runs.length > 0,
  };
}

/** What the name stands for; undefined when it is none of the store's. */
export function decodeName(name: string, isInContinued: boolean): DecodedName | undefined {
  const decoded = decodeLoosely(name, isInContinued);
  // Only the one name that the encoder makes counts, or two names would be one key.
  return encodeName(decoded, isInContinued) === name ? decoded : undefined;
}

function decodeLoosely(name: string, isInContinued: boolean): DecodedName {
  for (const kind of ['object', 'directory', 'continued'] as const) {
    if (name.endsWith(marks[kind])) return { kind, text: unescapeText(name.slice(0, -2)) };
  }
  const kind = !isInContinued && looksLikeObject.test(name) ? 'object' : 'directory';
  return { kind, text: unescapeText(name) };
}

function encodeName({ kind, text }: DecodedName, isInContinued: boolean): string | undefined {
  if (text.includes('/') || text.includes('\0')) return undefined;
  if (kind === 'continued') {
    return text.length === runBytes ? nameOf(text, kind) : undefined;
  }
  if (text.length >= runBytes) return undefined;
  return isInContinued ? nameOf(text, kind) : nameOfWholePart(text, kind);
}

function namesOfPart(part: string, kind: 'object' | 'directory'): string[] {
  const { runs, rest } = cutIntoRuns(part);
  if (runs.length === 0) return [nameOfWholePart(part, kind)];
  return [...runs.map((run) => nameOf(run, 'continued')), nameOf(rest, kind)];
}

function nameOfWholePart(part: string, kind: 'object' | 'directory'): string {
  const isPlain = looksLikeObject.test(part) ? kind === 'object' : kind === 'directory';
  return isPlain && part !== '' ? escapeText(part) : nameOf(part, kind);
}

function nameOf(text: string, kind: NameKind): string {
  return `${escapeText(text)}${marks[kind]}`;
}

function cutIntoRuns(part: string): { readonly runs: readonly string[]; readonly rest: string } {
  const runs: string[] = [];
  let at = 0;
  for (; part.length - at >= runBytes; at += runBytes) runs.push(part.slice(at, at + runBytes));
  return { runs, rest: part.slice(at) };
}

function escapeText(text: string): string {
  if (plainText.test(text)) return text;
  return text.replace(needsEscape, (character) => {
    const hex = character.charCodeAt(0).toString(16).toUpperCase();
    return `%${hex.padStart(2, '0')}`;
  });
}

function unescapeText(text: string): string {
  if (!text.includes('%')) return text;
  return text.replace(escaped, (code) => String.fromCharCode(Number.parseInt(code.slice(1), 16)));
}
