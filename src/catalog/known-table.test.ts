import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf } from '../../test/support/cached-payloads.ts';
import { KnownTable } from './known-table.ts';

const { random } = nodePlatform();

function counted(index: number): BlockKey {
  return parseBlockKey(index.toString(16).padStart(64, '0'));
}

describe('KnownTable', () => {
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
});
