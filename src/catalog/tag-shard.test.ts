import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../test/support/random.ts';
import { TagShard, entryWords, ownerMost } from './tag-shard.ts';

/** A tag with that first word, which says where probing begins. */
function tagOf(first: number, second = 0, owner = 1): Int32Array {
  return Int32Array.of(first, second, 0, owner);
}

function has(shard: TagShard, tag: Int32Array): boolean {
  return shard.find(tag) >= 0;
}

describe('TagShard', () => {
  // Goal: it is the set that it says it is, whatever was removed from the middle of a run.
  // Method: random changes, few homes so that runs are long, against a Map.
  it('holds what was added and not removed', () => {
    for (const seed of [1, 2, 3]) {
      const random = seededRandom(seed);
      const shard = new TagShard(5000);
      const model = new Map<string, { tag: Int32Array; isMarked: boolean }>();
      for (let step = 0; step < 20_000; step += 1) {
        const tag = tagOf(random.below(40), random.below(60), 1 + random.below(2));
        const name = tag.join(' ');
        const known = model.get(name);
        const slot = shard.find(tag);
        assert.equal(slot >= 0, known !== undefined, `step ${step} of seed ${seed}`);
        if (known !== undefined) assert.equal(shard.isMarked(slot), known.isMarked);
        const choice = random.below(3);
        if (slot < 0) {
          model.set(name, { tag, isMarked: choice === 0 });
          shard.add(tag, choice === 0);
        } else if (choice === 0) {
          model.delete(name);
          shard.remove(slot);
        } else if (choice === 1) {
          model.set(name, { tag, isMarked: true });
          shard.mark(slot);
        }
        assert.equal(shard.size, model.size);
      }
      for (const { tag } of model.values()) assert.ok(has(shard, tag));
    }
  });

  it('tells tags apart by every word and by the owner', () => {
    const shard = new TagShard(100);
    const tag = Int32Array.of(1, 2, 3, 0x7f000000 | 4);
    shard.add(tag, false);
    for (let word = 0; word < entryWords; word += 1) {
      for (const bit of [0, 1, 15, 24, 30, 31]) {
        if (word === 3 && bit === 15) continue;
        const other = tag.slice();
        other[word] ^= 1 << bit;
        assert.equal(has(shard, other), false, `bit ${bit} of word ${word}`);
      }
    }
    assert.ok(has(shard, tag));
    const least = tagOf(-1, -1, ownerMost);
    shard.add(least, true);
    assert.ok(has(shard, least));
  });

  it('never holds more than it may, and forgets what was not found lately', () => {
    const sizeMax = 1000;
    const shard = new TagShard(sizeMax);
    for (let i = 0; i < sizeMax; i += 1) shard.add(tagOf(i), false);
    assert.equal(shard.size, sizeMax);
    const used = Array.from({ length: 300 }, (_, i) => tagOf(3 * i));
    for (const tag of used) assert.ok(has(shard, tag));
    for (let i = sizeMax; i < sizeMax + 600; i += 1) {
      shard.add(tagOf(i), false);
      assert.equal(shard.size, sizeMax);
      assert.ok(has(shard, tagOf(i)), 'what came last is there');
    }
    assert.equal(used.filter((tag) => has(shard, tag)).length, used.length);
  });

  it('ends its search for room when everything was found lately', () => {
    const shard = new TagShard(12);
    for (let i = 0; i < 12; i += 1) shard.add(tagOf(i), false);
    for (let i = 0; i < 12; i += 1) assert.ok(has(shard, tagOf(i)));
    shard.add(tagOf(12), false);
    assert.equal(shard.size, 12);
  });

  it('takes 16 bytes an entry, and begins small', () => {
    const shard = new TagShard(48 * 1024);
    assert.ok(shard.byteLength <= 1024);
    for (let i = 0; i < 60_000; i += 1) shard.add(tagOf(Math.imul(i, 0x9e3779b1)), false);
    assert.equal(shard.size, 48 * 1024);
    assert.equal(shard.byteLength, 16 * 64 * 1024);
  });

  it('refuses a tag without owner, or with bits that are not the tag’s', () => {
    const shard = new TagShard(10);
    assert.throws(() => shard.add(tagOf(1, 0, 0), false), /owner/);
    assert.throws(() => shard.add(tagOf(1, 0, ownerMost + 1), false), /owner/);
    assert.throws(() => shard.remove(0), /free slot/);
  });
});
