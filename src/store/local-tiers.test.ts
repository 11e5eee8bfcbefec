import assert from 'node:assert/strict';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { factsOf, keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { systemError } from '../../test/support/hooked-files.ts';
import { flip, LivesOfTiers } from '../../test/support/lives-of-tiers.ts';
import type { Life } from '../../test/support/lives-of-tiers.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { eventually } from '../../test/support/waiting.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { CacheEntry } from '../cache/cache-entry.ts';
import { newSharedDirectory } from '../cache/shared-directories.ts';
import type { Platform } from '../platform/platform.ts';

const mib = 1024 * 1024;

describe('local tiers that accept in memory', { skip: withoutNative() }, () => {
  let tiers: LivesOfTiers;
  beforeEach(async () => {
    tiers = await LivesOfTiers.begin();
  });
  afterEach(() => tiers.end());

  for (const isNative of [true, false]) {
    const who = isNative ? 'the next process' : 'a next process without native code';
    it(`gives ${who} what was in no file of the cache directory`, async () => {
      const first = await tiers.open();
      await tiers.save(first, 'a');
      assert.deepEqual(await tiers.filesOfPlace(/^segment-/), [], 'the log was not written');
      await tiers.die(first);
      const next = await tiers.open(isNative);
      await tiers.assertPending(next, 'a');
      const [pending, ...others] = next.cache.takePending();
      assert.equal(others.length, 0);
      const chain = [0, 1, 2].map((index) => keyOf(`a/${index}`));
      assert.deepEqual(pending.chain, chain);
      assert.deepEqual(
        pending.entries.map(({ facts }) => facts.key),
        chain,
      );
      assert.equal(await stat(first.directory ?? '').catch(() => 'gone'), 'gone');
      assert.equal((await tiers.filesOfPlace(/^memory-/)).length, isNative ? 1 : 0);
    });
  }

  it('gives it to whoever comes after those that died as well', async () => {
    for (const name of ['a', 'b', 'c']) {
      const life = await tiers.open();
      await tiers.save(life, name);
      await tiers.die(life);
    }
    const next = await tiers.open();
    for (const name of ['a', 'b', 'c']) await tiers.assertPending(next, name);
  });

  it('leaves nothing to upload that the object store has, and nothing that was removed', async () => {
    const first = await tiers.open();
    const [confirmed, removed, other] = await tiers.save(first, 'a');
    await first.cache.markUploaded(confirmed);
    await first.cache.remove(removed);
    await tiers.die(first);
    const next = await tiers.open();
    assert.deepEqual(
      next.cache.takePending().map(({ entries }) => entries.map(keyOfEntry)),
      [[other.facts.key]],
    );
    assert.ok(!tiers.hasBlock(next, 'a/1'));
    assert.ok(tiers.hasBlock(next, 'a/0'), 'what the object store has is kept on the host');
  });

  it('takes what a save left in memory for a part of what the log has of it', async () => {
    const first = await tiers.open();
    const [, second] = await tiers.save(first, 'a');
    await tiers.die(first);
    await tiers.writeToLog(second, randomPayload('a/1', 5000), chainOf('a', 3));
    const next = await tiers.open();
    await tiers.assertPending(next, 'a');
    const saves = next.cache.takePending();
    assert.deepEqual(
      saves.map(({ entries, chain }) => [entries.map(keyOfEntry), chain]),
      [[chainOf('a', 3), chainOf('a', 3)]],
    );
    // It stays one save for whoever comes next.
    await tiers.die(next);
    const last = await tiers.open();
    assert.deepEqual(
      last.cache.takePending().map(({ entries }) => entries.map(keyOfEntry)),
      [chainOf('a', 3)],
    );
  });

  it('takes no save for that of the same number in the log which has other keys', async () => {
    const first = await tiers.open();
    const [{ saveId }] = await tiers.save(first, 'a');
    await tiers.die(first);
    const payload = randomPayload('b/0', 5000);
    const origin = { sequence: 1, saveId, saveIndex: 0, isPending: true };
    await tiers.writeToLog(
      new CacheEntry(factsOf('b/0', payload), origin),
      payload,
      chainOf('b', 1),
    );
    const next = await tiers.open();
    assert.deepEqual(
      next.cache.takePending().map(({ entries, chain }) => [entries.map(keyOfEntry), chain]),
      [
        [chainOf('b', 1), chainOf('b', 1)],
        [chainOf('a', 3), chainOf('a', 3)],
      ],
    );
  });

  it('takes as one save what is left of it on both sides of keys that nothing tells any more', async () => {
    const first = await tiers.open();
    const count = 80;
    const entries = await tiers.save(first, 'a', { count, bytes: 100 });
    for (const entry of entries.slice(1, 70)) await first.cache.remove(entry);
    await tiers.die(first);
    const next = await tiers.open();
    const [save, ...others] = next.cache.takePending();
    assert.equal(others.length, 0);
    const keys = chainOf('a', count);
    assert.deepEqual(save.entries.map(keyOfEntry), [keys[0], ...keys.slice(70)]);
    const known = save.chain.map((key) => (key === noKey ? 'unknown' : key));
    const unknown = Array.from({ length: 70 - 64 }, () => 'unknown');
    assert.deepEqual(known, [...keys.slice(0, 64), ...unknown, ...keys.slice(70)]);
  });

  it('keeps the last of several raw tails, and tails', async () => {
    const first = await tiers.open();
    const tip = keyOf('tip');
    const last = { kind: 'raw-tail' as const, key: tip };
    for (const name of ['old', 'new']) await tiers.save(first, name, { count: 1, facts: last });
    await tiers.save(first, 'tail', { count: 1, facts: { kind: 'tail', parent: tip } });
    await tiers.die(first);
    const next = await tiers.open(false);
    const entry = next.cache.find({ namespace: tenant, ...last });
    assert.ok(entry !== undefined);
    const pinned = await next.cache.readFromDisk(entry);
    assert.deepEqual(Buffer.from(pinned?.payload ?? []), Buffer.from(randomPayload('new/0', 5000)));
    assert.equal([...next.cache.tailsOf(tenant, tip)].length, 1);
    assert.equal(next.cache.takePending().length, 2);
  });

  describe('when the disk refuses to take over what the first life left', () => {
    const rawTail = { kind: 'raw-tail' as const, key: keyOf('tip') };

    /** A life that died, and one that has not what is left of it. */
    async function openBehind(): Promise<Life> {
      const first = await tiers.open();
      await tiers.save(first, 'a');
      for (const name of ['older', 'old'])
        await tiers.save(first, name, { count: 1, facts: rawTail });
      await tiers.die(first);
      let isFull = true;
      const second = await tiers.open(true, undefined, (call, path) => {
        if (isFull && call === 'write' && path.endsWith('.log')) throw systemError('ENOSPC');
      });
      isFull = false;
      assert.ok(!tiers.hasBlock(second, 'a/0'), 'it stays in memory');
      return second;
    }

    /** The next life has all of it, and that raw tail. */
    async function assertNext(name: string): Promise<void> {
      const third = await tiers.open();
      await tiers.assertPending(third, 'a');
      const entry = third.cache.find({ namespace: tenant, ...rawTail });
      assert.ok(entry?.isPending);
      const pinned = await third.cache.readFromDisk(entry);
      assert.deepEqual(pinned?.payload, randomPayload(`${name}/0`, 5000));
    }

    for (const isWritten of [false, true]) {
      it(`keeps a raw tail that is saved behind that ${isWritten ? 'in the log' : 'in memory'}`, async () => {
        const second = await openBehind();
        await tiers.save(second, 'new', { count: 1, facts: rawTail });
        if (isWritten) {
          second.clock.advance(1100);
          await eventually('it is written', () => Promise.resolve(second.cache.heldBytes === 0));
        }
        await tiers.die(second);
        await assertNext('new');
      });
    }

    it('keeps the last raw tail of it, whatever was fetched meanwhile', async () => {
      const second = await openBehind();
      const payload = randomPayload('fetched', 5000);
      const extent = second.cache.allocate(payload.length);
      extent.bytes.set(payload);
      const object = { etag: 'of the bucket', checkedMs: 0 };
      second.cache.admit(factsOf('fetched', payload, rawTail), extent, extent.bytes, object);
      extent.unpin();
      await second.cache.close();
      await tiers.die(second);
      await assertNext('old');
    });
  });

  it('writes to the log when no save has come for a while', async () => {
    const life = await tiers.open();
    const [first] = await tiers.save(life, 'a');
    assert.ok(life.cache.heldBytes > 15_000);
    life.clock.advance(900);
    assert.equal(life.cache.diskUsage?.entries, 0);
    life.clock.advance(200);
    await eventually('it is written', () => Promise.resolve(life.cache.heldBytes === 0));
    assert.equal(life.cache.diskUsage?.entries, 3);
    await life.cache.markUploaded(first);
    await tiers.die(life);
    const next = await tiers.open();
    assert.equal(next.cache.takePending().flatMap(({ entries }) => entries).length, 2);
    assert.ok(tiers.hasBlock(next, 'a/0'), 'what is durable is on disk as well');
  });

  it('lets the log have what is more than a half of memory', async () => {
    const life = await tiers.open();
    await tiers.save(life, 'large', { count: 3, bytes: mib });
    assert.equal(life.cache.heldBytes, 0);
    assert.equal(life.cache.diskUsage?.entries, 3);
    await tiers.save(life, 'small');
    assert.ok(life.cache.heldBytes > 0);
    await tiers.die(life);
    const next = await tiers.open();
    await tiers.assertPending(next, 'large', 3, mib);
    await tiers.assertPending(next, 'small');
  });

  it('accepts a payload where it lies that was put into memory which it lent', async () => {
    const life = await tiers.open();
    const lease = life.cache.lease(5000);
    assert.ok(lease !== undefined && life.cache.heldBytes > 5000);
    lease.payload.set(randomPayload('lent/0', 5000));
    const facts = factsOf('lent/0', lease.payload);
    const before = life.cache.heldBytes;
    const [entry] = await life.cache.accept(
      [{ facts, payload: lease.payload, saveIndex: 0 }],
      [facts.key],
    );
    assert.equal(entry.payload, lease.payload);
    lease.release();
    assert.equal(life.cache.heldBytes, before, 'it is not the lessee’s any more');
    await tiers.die(life);
    await tiers.assertPending(await tiers.open(false), 'lent', 1);
  });

  it('has memory again that it lent and in which nothing was accepted', async () => {
    const life = await tiers.open();
    const leases = Array.from({ length: 3 }, () => life.cache.lease(mib / 2));
    assert.ok(leases.every((lease) => lease !== undefined));
    assert.equal(life.cache.lease(mib), undefined, 'there is a bound');
    for (const lease of leases) lease?.release();
    for (const lease of leases) lease?.release();
    assert.equal(life.cache.heldBytes, 0);
    assert.ok(life.cache.lease(mib) !== undefined);
  });

  it('lets the log have a lent payload that the index has no room for, and keeps it readable until then', async () => {
    const life = await tiers.open();
    const lease = life.cache.lease(5000);
    assert.ok(lease !== undefined);
    lease.payload.set(randomPayload('lent/0', 5000));
    // More tokens than an entry of the index can say.
    const facts = factsOf('lent/0', lease.payload, { tokens: 40_000 });
    await life.cache.accept([{ facts, payload: lease.payload, saveIndex: 0 }], [facts.key]);
    assert.equal(life.cache.diskUsage?.entries, 1);
    lease.release();
    assert.equal(life.cache.heldBytes, 0);
    await tiers.assertPending(life, 'lent', 1);
  });

  it('closes with everything in the log and nothing in memory', async () => {
    const life = await tiers.open();
    await tiers.save(life, 'a');
    await life.cache.close();
    await tiers.die(life);
    assert.deepEqual(await tiers.filesOfPlace(/^memory-/), []);
    const next = await tiers.open(false);
    await tiers.assertPending(next, 'a');
  });

  it('is not taken over by a store of another bucket', async () => {
    const first = await tiers.open();
    await tiers.save(first, 'a');
    await tiers.die(first);
    const other = await tiers.open(true, { url: 'memory:', keyPrefix: 'other' });
    assert.ok(!tiers.hasBlock(other, 'a/0'));
    await tiers.die(other);
    await tiers.assertPending(await tiers.open(), 'a');
  });

  it('is not removed by another store of the user, and is when its place forgot it', async () => {
    const first = await tiers.open();
    await tiers.save(first, 'a');
    await tiers.die(first);
    const platform = tiers.platformOf(true, new ManualClock());
    const released = { ...platform, sharedMemory: unlocked(platform) };
    const later = { ...released, clock: { ...platform.clock, wallMs: () => Date.now() + 60_000 } };
    await newSharedDirectory(later);
    assert.ok(await stat(first.directory ?? ''), 'it is awaited');
    for (const name of await tiers.filesOfPlace(/^memory-/)) await rm(join(tiers.place(), name));
    await newSharedDirectory(later);
    await assert.rejects(stat(first.directory ?? ''), { code: 'ENOENT' });
  });

  it('says so when the memory of a dead store is gone', async () => {
    const first = await tiers.open();
    await tiers.save(first, 'a');
    await tiers.die(first);
    await rm(first.directory ?? '', { recursive: true });
    const next = await tiers.open();
    assert.ok(!tiers.hasBlock(next, 'a/0'));
    assert.ok(tiers.lines.some((line) => line.includes('is gone with what it alone held')));
  });

  it('is found by either end of the link when the other is damaged', async () => {
    for (const [index, isOfPlace] of [true, false].entries()) {
      const life = await tiers.open();
      await tiers.save(life, `a${index}`);
      await tiers.die(life);
      const [name] = await tiers.filesOfPlace(/^memory-/);
      await flip(isOfPlace ? join(tiers.place(), name) : join(life.directory ?? '', 'place'), 30);
      const next = await tiers.open();
      assert.equal(next.damagedInMemory, isOfPlace ? 1 : 0);
      await tiers.assertPending(next, `a${index}`);
      await tiers.die(next);
    }
  });

  // Goal: no changed byte of what a dead store left gets out as a payload, and the others are not harmed.
  // Method: one byte of each field of one header, and of its payload, is changed; the header is found by its text.
  for (const [field, at] of Object.entries({
    ...{ magic: 0, type: 4, kind: 5, flags: 6, 'name length': 7, tokens: 8, position: 12 },
    ...{ length: 16, 'payload CRC': 24, segment: 28, offset: 32, sequence: 40, 'save id': 48 },
    ...{
      'save index': 56,
      key: 64,
      parent: 96,
      fingerprint: 128,
      namespace: 160,
      'header CRC': 166,
    },
    ...{ payload: 2304, 'end of the payload': 2304 + 4999 },
  })) {
    it(`drops a payload whose ${field} was changed, and counts it`, async () => {
      const first = await tiers.open();
      await tiers.save(first, 'a');
      await tiers.die(first);
      await flip(join(first.directory ?? '', 'segment-0'), at, keyOf('a/1'));
      const next = await tiers.open();
      assert.equal(next.damagedInMemory, 1);
      assert.deepEqual(
        [0, 1, 2].map((index) => tiers.hasBlock(next, `a/${index}`)),
        [true, false, true],
      );
      await tiers.assertPending(next, 'a', 1);
    });
  }

  it('keeps a payload whose following keys were changed, and counts it', async () => {
    const first = await tiers.open();
    await tiers.save(first, 'a');
    await tiers.die(first);
    await flip(join(first.directory ?? '', 'segment-0'), 270, keyOf('a/1'));
    const next = await tiers.open();
    assert.equal(next.damagedInMemory, 1);
    await tiers.assertPending(next, 'a');
  });

  it('counts an index that was damaged, and serves what the log has', async () => {
    const first = await tiers.open();
    await tiers.save(first, 'large', { count: 3, bytes: mib });
    await tiers.save(first, 'a');
    await tiers.die(first);
    await flip(join(first.directory ?? '', 'index'), 0);
    const next = await tiers.open();
    assert.equal(next.damagedInMemory, 1);
    assert.ok(!tiers.hasBlock(next, 'a/0'));
    await tiers.assertPending(next, 'large', 3, mib);
  });

  it('takes an entry that was being written when header and payload are whole, and else not', async () => {
    for (const isWhole of [true, false]) {
      const first = await tiers.open();
      const name = `odd-${isWhole}`;
      await tiers.save(first, name, { count: 1 });
      await tiers.die(first);
      const index = join(first.directory ?? '', 'index');
      const bytes = await readFile(index);
      const at = bytes.indexOf(Buffer.from(keyOf(`${name}/0`), 'hex')) - 8;
      bytes[at] += 1;
      bytes[at + 60] &= 0x7f;
      await writeFile(index, bytes);
      const segment = join(first.directory ?? '', 'segment-0');
      if (!isWhole) await flip(segment, 2304 + 10, keyOf(`${name}/0`));
      const next = await tiers.open();
      assert.equal(tiers.hasBlock(next, `${name}/0`), isWhole);
      assert.equal(next.damagedInMemory, 0);
      await tiers.die(next);
    }
  });
});

const noKey = '0'.repeat(64);

function chainOf(name: string, count: number): readonly BlockKey[] {
  return Array.from({ length: count }, (_, index) => keyOf(`${name}/${index}`));
}

function keyOfEntry({ facts }: CacheEntry): string {
  return facts.key;
}

/** Files whose locks are those of stores that are dead, though this process has them still. */
function unlocked({ sharedMemory }: Platform): Platform['sharedMemory'] {
  assert(sharedMemory !== undefined);
  return {
    ...sharedMemory,
    open: (...given) => ({
      ...sharedMemory.open(...given),
      isLocked: () => false,
      close: () => undefined,
    }),
  };
}
