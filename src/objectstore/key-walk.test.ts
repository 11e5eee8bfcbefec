import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hookedFiles } from '../../test/support/hooked-files.ts';
import { seededRandom } from '../../test/support/random.ts';
import type { DirectoryEntry, Files } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { pathOfKey } from './key-path.ts';
import { walkKeys } from './key-walk.ts';
import { byteTextOf, faultOfKeyText } from './object-key.ts';

const random = seededRandom('walk');

/** A tree with the files of the keys, of which only listing works, and in no order. */
function treeOf(keys: readonly string[]): Files {
  const directories = new Map<string, Map<string, DirectoryEntry>>();
  for (const key of keys) {
    const names = `/bucket/${pathOfKey(key)}`.slice(1).split('/');
    let path = '';
    for (const [index, name] of names.entries()) {
      const entries = directories.get(path) ?? new Map<string, DirectoryEntry>();
      directories.set(path, entries);
      entries.set(name, { name, kind: index === names.length - 1 ? 'file' : 'directory' });
      path += `/${name}`;
    }
  }
  const list = async (path: string): Promise<DirectoryEntry[]> => {
    const entries = [...(directories.get(path)?.values() ?? [])];
    return entries.sort(() => random.below(3) - 1);
  };
  return { ...nodePlatform().files, list };
}

async function walk(
  files: Files,
  range: { prefix?: string; startAfter?: string },
  count = Infinity,
): Promise<string[]> {
  const keys: string[] = [];
  const { prefix = '', startAfter = '' } = range;
  for await (const { key, path } of walkKeys(files, '/bucket', { prefix, startAfter })) {
    assert.equal(path, `/bucket/${pathOfKey(key)}`);
    keys.push(key);
    if (keys.length === count) break;
  }
  return keys;
}

describe('walkKeys()', () => {
  const piece = fc.constantFrom('a', 'b', '.', '-', '/', '0', 'é', '%', 'x'.repeat(83), '🦘');
  const key = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''));

  it('gives the keys of any range once each and in byte order', async () => {
    const keys = fc.uniqueArray(key, { maxLength: 60 });
    const edge = fc.oneof(key, fc.constant(''));
    const property = fc.asyncProperty(keys, edge, edge, async (all, prefix, startAfter) => {
      fc.pre(all.every((text) => faultOfKeyText(text) === undefined));
      const expected = all
        .filter((text) => text.startsWith(prefix) && byteTextOf(text) > byteTextOf(startAfter))
        .toSorted((a, b) => (byteTextOf(a) < byteTextOf(b) ? -1 : 1));
      assert.deepEqual(await walk(treeOf(all), { prefix, startAfter }), expected);
    });
    await fc.assert(property, { numRuns: 300 });
  });

  it('reads only directories that hold keys of the page', async () => {
    const hex = '0'.repeat(62);
    const pairs = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
    const keys = pairs.flatMap((pair) =>
      ['0', '1', '2'].map((last) => `kv/ns/block/${pair}/${pair}${hex.slice(1)}${last}`),
    );
    const listed: string[] = [];
    const files = hookedFiles(treeOf(keys), (call, path) => {
      if (call === 'list') listed.push(path);
    });
    const page = await walk(files, { prefix: 'kv/ns/block/', startAfter: keys[301] ?? '' }, 4);
    assert.deepEqual(page, keys.slice(302, 306));
    assert.deepEqual(listed, [
      '/bucket/kv/ns/block',
      ...['64', '65'].map((pair) => `/bucket/kv/ns/block/${pair}`),
    ]);
    listed.length = 0;
    assert.deepEqual(await walk(files, { prefix: 'kv/ns/block/7' }, 1), [keys[0x70 * 3]]);
    assert.deepEqual(listed, ['/bucket/kv/ns/block', '/bucket/kv/ns/block/70']);
    listed.length = 0;
    assert.deepEqual(await walk(files, { prefix: 'kv/other/' }), []);
    assert.deepEqual(listed, ['/bucket/kv/other']);
  });
});
