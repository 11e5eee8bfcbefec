import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { LendingRig } from '../../test/support/lending-rig.ts';
import { seededRandom } from '../../test/support/random.ts';
import { blake3Hex } from '../base/blake3.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { entriesStart, entryBytes, namesStart, nameBytes } from '../platform/shared-memory.ts';
import { sharedPaths } from './shared-layout.ts';
import { SharedReader } from './shared-reader.ts';

const namespace = parseNamespace('team');
const wish = { exact: true, fingerprint: 'ab'.repeat(32) };
const names = ['n 0', 'n 1', 'n 2', 'n 3'];
const keys = names.map((name) => parseBlockKey(blake3Hex(Buffer.from(name))));
const length = 5000;

describe('a client of an index that is damaged', { skip: withoutNative() }, () => {
  let rig: LendingRig;
  /** The index as a foreign process writes into it. */
  let index: Uint8Array;
  let words: DataView;

  beforeEach(async () => {
    rig = await LendingRig.open(4 * 1024 * 1024);
    rig.keepMany('n', names.length, length);
    const file = rig.shared.open(sharedPaths.index(rig.directory), 'read-write');
    index = file.map();
    file.close();
    words = new DataView(index.buffer, index.byteOffset);
  });
  afterEach(() => rig.close());

  function shownEntries(): readonly number[] {
    const places: number[] = [];
    for (let at = entriesStart; at < index.length; at += entryBytes) {
      if (words.getBigUint64(at + 40, true) !== 0n) places.push(at);
    }
    return places;
  }

  /** Whatever it finds lies in a segment, or is not found; nothing is thrown. Gives how much was damaged. */
  function read(): { readonly blocks: number; readonly damaged: number } {
    const reader = SharedReader.open(rig.shared, rig.directory);
    if (reader === undefined) return { blocks: 0, damaged: 0 };
    const found = reader.find(namespace, keys);
    assert(found <= keys.length);
    const { blocks, damaged, release } = reader.pin(namespace, keys, wish);
    let sum = 0;
    for (const { payload } of blocks) {
      for (let at = 0; at < payload.length; at += 4096) sum += payload[at];
    }
    assert(sum >= 0);
    release();
    if (damaged > 0) assert.equal(reader.isOpen, false, 'the store is asked from now on');
    reader.close();
    return { blocks: blocks.length, damaged };
  }

  it('finds nothing where a length or a place is beyond the segment, and says so', () => {
    const places = shownEntries();
    assert.equal(places.length, names.length);
    assert.deepEqual(read(), { blocks: 4, damaged: 0 });
    for (const at of places) {
      const before = index.slice(at, at + entryBytes);
      words.setUint32(at + 48, 0x7fffffff, true);
      const { blocks, damaged } = read();
      assert(blocks < 4);
      assert.equal(damaged, 1);
      index.set(before, at);
      words.setUint32(at + 40, 0x7fffffff, true);
      assert.equal(read().damaged, 1);
      index.set(before, at);
    }
    assert.deepEqual(read(), { blocks: 4, damaged: 0 });
  });

  it('survives any bits in any word of an entry', () => {
    const random = seededRandom('noise in entries');
    let damaged = 0;
    for (const at of shownEntries()) {
      const before = index.slice(at, at + entryBytes);
      for (let word = 0; word < entryBytes; word += 4) {
        for (let round = 0; round < 40; round += 1) {
          // Some bits, or all of them; a valid entry stays valid half of the time.
          const value = words.getUint32(at + word, true);
          const bits = round % 2 === 0 ? 1 << random.below(32) : random.word();
          words.setUint32(at + word, (value ^ bits) >>> 0, true);
          damaged += read().damaged;
          index.set(before, at);
        }
      }
    }
    assert(damaged > 0);
    assert.deepEqual(read(), { blocks: 4, damaged: 0 });
  });

  it('survives any bits in header and names', () => {
    const random = seededRandom('noise in the header');
    const end = namesStart + 4 * nameBytes;
    const before = index.slice(0, end);
    // Behind the words that the store itself looks at, and its mutex.
    for (let round = 0; round < 2000; round += 1) {
      const at = 4 * random.below(round % 2 === 0 ? 9 : end / 4);
      if (at >= 36 && at < 256) continue;
      words.setUint32(at, random.word(), true);
      read();
      index.set(before, 0);
    }
    assert.deepEqual(read(), { blocks: 4, damaged: 0 });
  });

  it('survives a header that is damaged between two calls', () => {
    for (const at of [0, 8, 12]) {
      const reader = SharedReader.open(rig.shared, rig.directory);
      assert(reader !== undefined);
      const before = index.slice(0, 64);
      words.setUint32(at, 0xffff, true);
      assert.equal(reader.find(namespace, keys), 0);
      assert.deepEqual(reader.pin(namespace, keys, wish).blocks, []);
      index.set(before, 0);
      reader.close();
      const other = SharedReader.open(rig.shared, rig.directory);
      words.setUint32(at, 0xffff, true);
      assert.equal(other?.pin(namespace, keys, wish).damaged, 1);
      index.set(before, 0);
    }
  });
});
