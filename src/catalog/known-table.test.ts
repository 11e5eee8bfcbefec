import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { useNativeKernels } from '../base/native-kernels.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { nativeCode } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { keyOf } from '../../test/support/cached-payloads.ts';
import { seededRandom } from '../../test/support/random.ts';
import { KnownTable } from './known-table.ts';

const { random } = nodePlatform();

function counted(index: number): BlockKey {
  return parseBlockKey(index.toString(16).padStart(64, '0'));
}

describe('KnownTable', () => {
  beforeEach(() => {
    useNativeKernels(undefined);
  });
  behaves();
});

describe('KnownTable with native code', { skip: withoutNative() }, () => {
  beforeEach(() => {
    useNativeKernels(nativeCode('auto').code);
  });
  afterEach(() => {
    useNativeKernels(undefined);
  });
  behaves();

  // Goal: native code answers and marks as the portable code does, whatever has become of a table.
  // Method: random changes of two tables with one mix, of which native code is asked of one; few keys, so that they
  // come and go, and shards that grow, are full, and drop what nobody asked for.
  it('gives what the portable code gives, and leaves the same entries', () => {
    for (const seed of [1, 2, 3, 4]) {
      const random = seededRandom(`twins ${seed}`);
      const mix = { fraction: () => 0, hex: (count: number) => 'c3'.repeat(count - 1) + '5a' };
      const [native, portable] = [new KnownTable(20_000, mix), new KnownTable(20_000, mix)];
      const keys = Array.from({ length: 40_000 }, (_, index) => keyOf(`${seed} ${index}`));
      const lengths = [1, 80, 127, 128, 129, 1144, 1145, 3000];
      for (let step = 0; step < 600; step += 1) {
        const owner = 1 + random.below(2);
        const first = random.below(keys.length);
        const some = keys.slice(first, first + lengths[random.below(lengths.length)]);
        const from = random.below(some.length + 1);
        const choice = changes[random.below(changes.length)];
        for (const table of [native, portable]) {
          begin(table, step);
          some.forEach((key) => choice(table, owner, key));
        }
        const expected = portable.leadingPortable(owner, some, from);
        assert.equal(native.leading(owner, some, from), expected, `step ${step} of seed ${seed}`);
      }
      assert.deepEqual(native.image.shards, portable.image.shards, `seed ${seed}`);
    }
  });
});

/** What becomes of each of many keys: most are added. */
const changes: readonly ((table: KnownTable, owner: number, key: BlockKey) => void)[] = [
  (table, owner, key) => table.add(owner, key),
  (table, owner, key) => table.add(owner, key),
  (table, owner, key) => table.addMarked(owner, key),
  (table, owner, key) => {
    if (key.startsWith('0')) table.remove(owner, key);
  },
  () => undefined,
];

/** What some steps begin with: other arrays for the same entries, or none any more. */
function begin(table: KnownTable, step: number): void {
  if (step === 300) assert.ok(table.recall(imageOf(table)));
  if (step === 500) table.clear();
}

/** A table's image in arrays of its own. */
function imageOf(table: KnownTable): KnownTable['image'] {
  const { mix, shards } = table.image;
  return { mix, shards: shards.map((entries) => entries.slice()) };
}

function behaves(): void {
  it('tells what was put in, marked or not, for each owner', () => {
    const table = new KnownTable(1000, random);
    const key = keyOf('a');
    assert.equal(table.get(1, key), undefined);
    table.add(1, key);
    assert.equal(table.get(1, key), 'unmarked');
    table.addMarked(1, key);
    assert.equal(table.get(1, key), 'marked');
    table.add(1, key);
    assert.equal(table.get(1, key), 'marked');
    assert.equal(table.get(2, key), undefined);
    table.addMarked(2, key);
    table.remove(1, key);
    assert.deepEqual([table.get(1, key), table.get(2, key), table.size], [undefined, 'marked', 1]);
    table.remove(1, key);
    table.clear();
    assert.deepEqual([table.get(2, key), table.size], [undefined, 0]);
  });

  it('counts leading keys of many as it tells of each by itself', () => {
    const table = new KnownTable(limits.catalogKeysMax, random);
    const keys = Array.from({ length: 300 }, (_, index) => keyOf(`leading ${index}`));
    for (const [index, key] of keys.entries()) {
      if (index % 2 === 0) table.add(7, key);
      else table.addMarked(7, key);
    }
    assert.equal(table.leading(7, keys, 0), 300);
    assert.equal(table.leading(7, keys, 300), 0);
    assert.equal(table.leading(8, keys, 0), 0);
    for (const gap of [299, 130, 64, 8, 7, 1, 0]) {
      table.remove(7, keys[gap]);
      for (let from = 0; from < 300; from += 1) {
        const end = keys.findIndex((key, at) => at >= from && table.get(7, key) === undefined);
        assert.equal(
          table.leading(7, keys, from),
          end < 0 ? 300 - from : end - from,
          `${gap} ${from}`,
        );
      }
    }
  });

  it('tells keys apart that differ in any one digit', () => {
    const table = new KnownTable(1000, random);
    const key = keyOf('a');
    table.add(1, key);
    for (let at = 0; at < key.length; at += 1) {
      for (const digit of '0123456789abcdef') {
        if (digit === key[at]) continue;
        const other = parseBlockKey(key.slice(0, at) + digit + key.slice(at + 1));
        assert.equal(table.get(1, other), undefined, `digit ${at} is ${digit}`);
      }
    }
  });

  // Goal: keys that callers count up, at either end or in two places, do not meet.
  it('tells keys apart that are counters, and spreads them evenly', () => {
    const keysMax = 120_000;
    const patterns: ((index: number) => string)[] = [
      (index) => counted(index),
      (index) => counted(index).split('').reverse().join(''),
      (index) => `${index.toString(16).padStart(32, '0')}${index.toString(16).padStart(32, '0')}`,
      (index) => (index * 65_536).toString(16).padStart(64, '0'),
    ];
    for (const pattern of patterns) {
      const table = new KnownTable(limits.catalogKeysMax, random);
      for (let i = 0; i < keysMax; i += 1) table.add(1, parseBlockKey(pattern(i)));
      assert.equal(table.size, keysMax);
      for (let i = keysMax; i < keysMax + 10_000; i += 1) {
        assert.equal(table.get(1, parseBlockKey(pattern(i))), undefined);
      }
      assert.ok(table.byteLength <= 16 * 4 * keysMax, `${table.byteLength} bytes`);
    }
  });

  it('spreads one key that many owners have', () => {
    const table = new KnownTable(limits.catalogKeysMax, random);
    const owners = 60_000;
    for (let owner = 1; owner <= owners; owner += 1) table.add(owner, keyOf('a'));
    assert.equal(table.size, owners);
    assert.ok(table.byteLength <= 16 * 4 * owners, `${table.byteLength} bytes`);
  });

  it('keeps within its size whatever comes, and what is asked for all the time', () => {
    const sizeMax = 25_600;
    const table = new KnownTable(sizeMax, random);
    const favourites = Array.from({ length: 100 }, (_, index) => keyOf(index));
    for (const key of favourites) table.addMarked(1, key);
    for (let i = 0; i < 4 * sizeMax; i += 1) {
      table.add(1, counted(i));
      if (i % 1000 === 0) for (const key of favourites) table.get(1, key);
    }
    assert.ok(table.size <= sizeMax);
    assert.ok(table.size > 0.95 * sizeMax, `${table.size} of ${sizeMax}`);
    for (const key of favourites) assert.equal(table.get(1, key), 'marked');
  });

  it('needs at most 256 MiB for ten million keys', () => {
    const shards = 256;
    const slotBytes = 16;
    let slots = 1;
    while (slots * 0.75 < limits.catalogKeysMax) slots *= 2;
    assert.ok(
      limits.catalogKeysMax / shards >= 39_100,
      'room for shards that get more than others',
    );
    assert.equal(slots * slotBytes, 256 * 1024 * 1024);
  });
}
