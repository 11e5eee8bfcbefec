/**
 * What known keys cost: `node dist/src/catalog/known-table.bench.js`. Memory of ten million, the
 * longest that one took to put in, and 80 random ones asked for at once.
 */
import { hexFromBytes } from '../base/hex.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { withNative } from '../platform/native.ts';
import { KnownTable } from './known-table.ts';

const count = 10_000_000;
const lookups = 3000;
const { random } = withNative(nodePlatform(), 'auto');
const table = new KnownTable(limits.catalogKeysMax, random);
const words = new Uint32Array(8);
const bytes = new Uint8Array(words.buffer);

let longest = 0;
for (let index = 0; index < count; index += 1) {
  const key = keyOf(index);
  const start = performance.now();
  table.addMarked(1, key);
  longest = Math.max(longest, performance.now() - start);
}
report('keys', table.size, '');
report('memory', table.byteLength / 1024 / 1024, 'MiB');
report('longest insertion', longest, 'ms');
const one = medianOf((keys) => keys.filter((key) => table.get(1, key) === 'marked').length);
report('80 keys known, one by one', one * 1000, 'µs');
const portable = medianOf((keys) => table.leadingPortable(1, keys, 0));
report('80 keys known, together', portable * 1000, 'µs');
const native = medianOf((keys) => table.leading(1, keys, 0));
report('80 keys known, native', native * 1000, 'µs');

/** Milliseconds that it takes to find 80 random keys, which were made before. */
function medianOf(find: (keys: readonly BlockKey[]) => number): number {
  const times = Array.from({ length: lookups }, () => {
    const keys = Array.from({ length: 80 }, () => keyOf(Math.floor(random.fraction() * count)));
    const start = performance.now();
    if (find(keys) !== keys.length) throw new RangeError('a key is not there');
    return performance.now() - start;
  }).sort((a, b) => a - b);
  return times[lookups / 2];
}

/** A key that looks like a digest and depends on the index alone. */
function keyOf(index: number): BlockKey {
  for (let word = 0; word < 8; word += 1) {
    let mixed = Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(word + 1, 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    words[word] = mixed ^ (mixed >>> 15);
  }
  return parseBlockKey(hexFromBytes(bytes));
}

function report(name: string, value: number, unit: string): void {
  console.log(`${name.padEnd(28)} ${value.toFixed(1).padStart(12)} ${unit}`);
}
