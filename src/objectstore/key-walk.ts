import type { Files } from '../platform/files.ts';
import { byteTextOf, textOfByteText } from './object-key.ts';
import type { ObjectKey } from './object-store.ts';
import { decodeName, directoryOfPrefix } from './key-path.ts';

/** Which keys a walk is for. */
export interface KeyRange {
  readonly prefix: string;
  /** Only keys after this one; may be empty. */
  readonly startAfter: string;
}

/** A key that a walk found, and its file. */
export interface WalkedKey {
  readonly key: ObjectKey;
  readonly path: string;
}

/** A name still to be visited. */
interface Entry {
  /** What its key is, or its keys begin with, as byte text. Siblings are visited in this order. */
  readonly text: string;
  readonly path: string;
  readonly kind: 'object' | 'directory' | 'continued';
}

/**
 * Keys of the range in byte order, as the directories below `root` show them. Reads a directory
 * only when its turn comes, and none that can hold no key of the range; so a page costs the
 * directories that it touches. Keys that come or go during the walk may be seen or not.
 */
export async function* walkKeys(
  files: Files,
  root: string,
  range: KeyRange,
): AsyncGenerator<WalkedKey, void, undefined> {
  const bounds = { prefix: byteTextOf(range.prefix), startAfter: byteTextOf(range.startAfter) };
  const start = directoryOfPrefix(range.prefix);
  const startPath = start.path === '' ? root : `${root}/${start.path}`;
  const begin: Entry = {
    text: start.text,
    path: startPath,
    kind: start.isContinued ? 'continued' : 'directory',
  };
  const levels = [await entriesOf(files, begin, bounds)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const entry = level.pop();
    if (entry === undefined) {
      levels.pop();
      continue;
    }
    if (entry.kind !== 'object') {
      levels.push(await entriesOf(files, entry, bounds));
      continue;
    }
    const key = textOfByteText(entry.text);
    if (key !== undefined) yield { key: key as ObjectKey, path: entry.path };
  }
}

/** The directory's entries that may hold keys within the bounds, the first of them last. */
async function entriesOf(files: Files, directory: Entry, bounds: KeyRange): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const { name, kind } of await files.list(directory.path)) {
    const decoded = decodeName(name, directory.kind === 'continued');
    if (decoded === undefined) continue;
    if ((decoded.kind === 'object' ? 'file' : 'directory') !== kind) continue;
    const text = `${directory.text}${decoded.text}${decoded.kind === 'directory' ? '/' : ''}`;
    const entry: Entry = { text, path: `${directory.path}/${name}`, kind: decoded.kind };
    if (mayHoldKeys(entry, bounds)) entries.push(entry);
  }
  return entries.sort((a, b) => (a.text < b.text ? 1 : -1));
}

function mayHoldKeys({ text, kind }: Entry, { prefix, startAfter }: KeyRange): boolean {
  if (kind === 'object') return text.startsWith(prefix) && text > startAfter;
  const meetsPrefix = text.startsWith(prefix) || prefix.startsWith(text);
  return meetsPrefix && (text > startAfter || startAfter.startsWith(text));
}
