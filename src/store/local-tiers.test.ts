import assert from 'node:assert/strict';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { factsOf, keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { eventually } from '../../test/support/waiting.ts';
import { silentLogger } from '../base/logger.ts';
import type { CacheEntry, PayloadFacts } from '../cache/cache-entry.ts';
import type { StoreIdentity } from '../cache/cache-directory.ts';
import type { PinnedPayload } from '../cache/local-cache.ts';
import { newSharedDirectory } from '../cache/shared-directories.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { openLocalTiers } from './local-tiers.ts';
import type { LocalTiers } from './local-tiers.ts';

const mib = 1024 * 1024;
const memoryBytes = 4 * mib;
const identity: StoreIdentity = { url: 'memory:', keyPrefix: 'kv' };

/** One life of a store's local tiers. */
interface Life extends LocalTiers {
  readonly directory: string | undefined;
  readonly clock: ManualClock;
}

describe('local tiers that accept in memory', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let lives: Life[];
  let lines: string[];

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('accepting');
    lives = [];
    lines = [];
  });

  afterEach(async () => {
    for (const life of lives) {
      await die(life);
      // What a killed process holds the system lets go of.
      await life.cache.close();
    }
    await temporary.remove();
  });

  const place = (): string => join(temporary.path, 'cache/v1/0');

  function platformOf(isNative: boolean, clock: ManualClock): Platform {
    const { sharedMemory, ...platform } = withNative(nodePlatform(), 'auto');
    const host = { ...platform.host, memoryDirectory: join(temporary.path, 'memory') };
    // A lock would outlive the death of a store whose process lives on.
    const common = { ...platform, host, clock, locks: undefined };
    return isNative ? { ...common, sharedMemory } : common;
  }

  async function open(isNative = true, of: StoreIdentity = identity): Promise<Life> {
    const clock = new ManualClock();
    const platform = platformOf(isNative, clock);
    const tell = (event: string): void => void lines.push(event);
    const logger = { ...silentLogger, info: tell, error: tell };
    const sharedDirectory = await newSharedDirectory(platform);
    const cacheDirectory = join(temporary.path, 'cache');
    const settings = { cacheDirectory, memoryBytes, diskBytes: 64 * mib, sharedDirectory };
    const parts = { platform, logger, identity: of, settings, reservedBytes: 0 };
    const tiers = await openLocalTiers({ ...parts, onEvict: () => undefined });
    const life = { ...tiers, directory: sharedDirectory, clock };
    lives.push(life);
    return life;
  }

  /** Leaves everything as a process that is killed leaves it. */
  async function die({ own }: Life): Promise<void> {
    await own?.release();
  }

  /** Saves blocks of a chain of that name. */
  function save(
    { cache }: Life,
    name: string,
    { count = 3, bytes = 5000, facts = {} as Partial<PayloadFacts> } = {},
  ): Promise<readonly CacheEntry[]> {
    const payloads = Array.from({ length: count }, (_, index) => {
      const payload = randomPayload(`${name}/${index}`, bytes);
      return { facts: factsOf(`${name}/${index}`, payload, facts), payload, saveIndex: index };
    });
    const chain = facts.kind === undefined ? payloads.map((one) => one.facts.key) : [];
    return cache.accept(payloads, chain);
  }

  /** Checks that the life has the blocks, byte for byte, pending. */
  async function assertPending(life: Life, name: string, count = 3, bytes = 5000): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const key = keyOf(`${name}/${index}`);
      const entry = life.cache.find({ namespace: tenant, kind: 'block', key });
      assert.ok(entry?.isPending, `${name}/${index} is pending`);
      const pinned = life.cache.pinResident(entry) ?? (await life.cache.readFromDisk(entry));
      assertBytes(pinned, randomPayload(`${name}/${index}`, bytes));
      pinned?.extent.unpin();
    }
  }

  function hasBlock({ cache }: Life, name: string): boolean {
    return cache.find({ namespace: tenant, kind: 'block', key: keyOf(name) }) !== undefined;
  }

  async function filesOfPlace(pattern: RegExp): Promise<readonly string[]> {
    return (await readdir(place())).filter((name) => pattern.test(name));
  }

  for (const isNative of [true, false]) {
    const who = isNative ? 'the next process' : 'a next process without native code';
    it(`gives ${who} what was in no file of the cache directory`, async () => {
      const first = await open();
      await save(first, 'a');
      assert.deepEqual(await filesOfPlace(/^segment-/), [], 'the log was not written');
      await die(first);
      const next = await open(isNative);
      await assertPending(next, 'a');
      const [pending, ...others] = next.cache.takePending();
      assert.equal(others.length, 0);
      const chain = [0, 1, 2].map((index) => keyOf(`a/${index}`));
      assert.deepEqual(pending.chain, chain);
      assert.deepEqual(
        pending.entries.map(({ facts }) => facts.key),
        chain,
      );
      assert.equal(await stat(first.directory ?? '').catch(() => 'gone'), 'gone');
      assert.equal((await filesOfPlace(/^memory-/)).length, isNative ? 1 : 0);
    });
  }

  it('gives it to whoever comes after those that died as well', async () => {
    for (const name of ['a', 'b', 'c']) {
      const life = await open();
      await save(life, name);
      await die(life);
    }
    const next = await open();
    for (const name of ['a', 'b', 'c']) await assertPending(next, name);
  });

  it('leaves nothing to upload that the object store has, and nothing that was removed', async () => {
    const first = await open();
    const [confirmed, removed, other] = await save(first, 'a');
    await first.cache.markUploaded(confirmed);
    await first.cache.remove(removed);
    await die(first);
    const next = await open();
    assert.deepEqual(
      next.cache.takePending().map(({ entries }) => entries.map(keyOfEntry)),
      [[other.facts.key]],
    );
    assert.ok(!hasBlock(next, 'a/1'));
    assert.ok(hasBlock(next, 'a/0'), 'what the object store has is kept on the host');
  });

  it('keeps the last of several raw tails, and tails', async () => {
    const first = await open();
    const tip = keyOf('tip');
    const last = { kind: 'raw-tail' as const, key: tip };
    for (const name of ['old', 'new']) await save(first, name, { count: 1, facts: last });
    await save(first, 'tail', { count: 1, facts: { kind: 'tail', parent: tip } });
    await die(first);
    const next = await open(false);
    const entry = next.cache.find({ namespace: tenant, ...last });
    assert.ok(entry !== undefined);
    const pinned = await next.cache.readFromDisk(entry);
    assert.deepEqual(Buffer.from(pinned?.payload ?? []), Buffer.from(randomPayload('new/0', 5000)));
    assert.equal([...next.cache.tailsOf(tenant, tip)].length, 1);
    assert.equal(next.cache.takePending().length, 2);
  });

  it('writes to the log when no save has come for a while', async () => {
    const life = await open();
    const [first] = await save(life, 'a');
    assert.ok(life.cache.heldBytes > 15_000);
    life.clock.advance(900);
    assert.equal(life.cache.diskUsage?.entries, 0);
    life.clock.advance(200);
    await eventually('it is written', () => Promise.resolve(life.cache.heldBytes === 0));
    assert.equal(life.cache.diskUsage?.entries, 3);
    await life.cache.markUploaded(first);
    await die(life);
    const next = await open();
    assert.equal(next.cache.takePending().flatMap(({ entries }) => entries).length, 2);
    assert.ok(hasBlock(next, 'a/0'), 'what is durable is on disk as well');
  });

  it('lets the log have what is more than a half of memory', async () => {
    const life = await open();
    await save(life, 'large', { count: 3, bytes: mib });
    assert.equal(life.cache.heldBytes, 0);
    assert.equal(life.cache.diskUsage?.entries, 3);
    await save(life, 'small');
    assert.ok(life.cache.heldBytes > 0);
    await die(life);
    const next = await open();
    await assertPending(next, 'large', 3, mib);
    await assertPending(next, 'small');
  });

  it('accepts a payload where it lies that was put into memory which it lent', async () => {
    const life = await open();
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
    await die(life);
    await assertPending(await open(false), 'lent', 1);
  });

  it('has memory again that it lent and in which nothing was accepted', async () => {
    const life = await open();
    const leases = Array.from({ length: 3 }, () => life.cache.lease(mib / 2));
    assert.ok(leases.every((lease) => lease !== undefined));
    assert.equal(life.cache.lease(mib), undefined, 'there is a bound');
    for (const lease of leases) lease?.release();
    for (const lease of leases) lease?.release();
    assert.equal(life.cache.heldBytes, 0);
    assert.ok(life.cache.lease(mib) !== undefined);
  });

  it('lets the log have a lent payload that the index has no room for, and keeps it readable until then', async () => {
    const life = await open();
    const lease = life.cache.lease(5000);
    assert.ok(lease !== undefined);
    lease.payload.set(randomPayload('lent/0', 5000));
    // More tokens than an entry of the index can say.
    const facts = factsOf('lent/0', lease.payload, { tokens: 40_000 });
    await life.cache.accept([{ facts, payload: lease.payload, saveIndex: 0 }], [facts.key]);
    assert.equal(life.cache.diskUsage?.entries, 1);
    lease.release();
    assert.equal(life.cache.heldBytes, 0);
    await assertPending(life, 'lent', 1);
  });

  it('closes with everything in the log and nothing in memory', async () => {
    const life = await open();
    await save(life, 'a');
    await life.cache.close();
    await die(life);
    assert.deepEqual(await filesOfPlace(/^memory-/), []);
    const next = await open(false);
    await assertPending(next, 'a');
  });

  it('is not taken over by a store of another bucket', async () => {
    const first = await open();
    await save(first, 'a');
    await die(first);
    const other = await open(true, { url: 'memory:', keyPrefix: 'other' });
    assert.ok(!hasBlock(other, 'a/0'));
    await die(other);
    await assertPending(await open(), 'a');
  });

  it('is not removed by another store of the user, and is when its place forgot it', async () => {
    const first = await open();
    await save(first, 'a');
    await die(first);
    const platform = platformOf(true, new ManualClock());
    const released = { ...platform, sharedMemory: unlocked(platform) };
    const later = { ...released, clock: { ...platform.clock, wallMs: () => Date.now() + 60_000 } };
    await newSharedDirectory(later);
    assert.ok(await stat(first.directory ?? ''), 'it is awaited');
    for (const name of await filesOfPlace(/^memory-/)) await rm(join(place(), name));
    await newSharedDirectory(later);
    await assert.rejects(stat(first.directory ?? ''), { code: 'ENOENT' });
  });

  it('says so when the memory of a dead store is gone', async () => {
    const first = await open();
    await save(first, 'a');
    await die(first);
    await rm(first.directory ?? '', { recursive: true });
    const next = await open();
    assert.ok(!hasBlock(next, 'a/0'));
    assert.ok(lines.some((line) => line.includes('is gone with what it alone held')));
  });

  it('is found by either end of the link when the other is damaged', async () => {
    for (const [index, isOfPlace] of [true, false].entries()) {
      const life = await open();
      await save(life, `a${index}`);
      await die(life);
      const [name] = await filesOfPlace(/^memory-/);
      await flip(isOfPlace ? join(place(), name) : join(life.directory ?? '', 'place'), 30);
      const next = await open();
      assert.equal(next.damagedInMemory, isOfPlace ? 1 : 0);
      await assertPending(next, `a${index}`);
      await die(next);
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
      const first = await open();
      await save(first, 'a');
      await die(first);
      await flip(join(first.directory ?? '', 'segment-0'), at, keyOf('a/1'));
      const next = await open();
      assert.equal(next.damagedInMemory, 1);
      assert.deepEqual(
        [0, 1, 2].map((index) => hasBlock(next, `a/${index}`)),
        [true, false, true],
      );
      await assertPending(next, 'a', 1);
    });
  }

  it('keeps a payload whose following keys were changed, and counts it', async () => {
    const first = await open();
    await save(first, 'a');
    await die(first);
    await flip(join(first.directory ?? '', 'segment-0'), 270, keyOf('a/1'));
    const next = await open();
    assert.equal(next.damagedInMemory, 1);
    await assertPending(next, 'a');
  });

  it('counts an index that was damaged, and serves what the log has', async () => {
    const first = await open();
    await save(first, 'large', { count: 3, bytes: mib });
    await save(first, 'a');
    await die(first);
    await flip(join(first.directory ?? '', 'index'), 0);
    const next = await open();
    assert.equal(next.damagedInMemory, 1);
    assert.ok(!hasBlock(next, 'a/0'));
    await assertPending(next, 'large', 3, mib);
  });

  it('takes an entry that was being written when header and payload are whole, and else not', async () => {
    for (const isWhole of [true, false]) {
      const first = await open();
      const name = `odd-${isWhole}`;
      await save(first, name, { count: 1 });
      await die(first);
      const index = join(first.directory ?? '', 'index');
      const bytes = await readFile(index);
      const at = bytes.indexOf(Buffer.from(keyOf(`${name}/0`), 'hex')) - 8;
      bytes[at] += 1;
      bytes[at + 60] &= 0x7f;
      await writeFile(index, bytes);
      const segment = join(first.directory ?? '', 'segment-0');
      if (!isWhole) await flip(segment, 2304 + 10, keyOf(`${name}/0`));
      const next = await open();
      assert.equal(hasBlock(next, `${name}/0`), isWhole);
      assert.equal(next.damagedInMemory, 0);
      await die(next);
    }
  });
});

function assertBytes(pinned: PinnedPayload | undefined, payload: Uint8Array): void {
  assert.ok(Buffer.from(pinned?.payload ?? []).equals(payload), 'the payload is as it was saved');
}

function keyOfEntry({ facts }: CacheEntry): string {
  return facts.key;
}

/** Changes a bit of a file: at that offset, or so far behind the beginning of the header with that key. */
async function flip(path: string, at: number, key?: string): Promise<void> {
  const bytes = await readFile(path);
  let start = 0;
  if (key !== undefined) {
    start = bytes.indexOf(Buffer.from(key, 'hex')) - 64;
    while (bytes.subarray(start, start + 4).toString('latin1') !== 'WKVR') {
      const next = bytes.indexOf(Buffer.from(key, 'hex'), start + 65);
      assert(next > 0, 'the header is there');
      start = next - 64;
    }
  }
  bytes[start + at] ^= 0x10;
  await writeFile(path, bytes);
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
