import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { copyFile, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { blake3Hex } from '../base/blake3.ts';
import { viewOf } from '../base/bytes.ts';
import { silentLogger } from '../base/logger.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { entriesStart } from '../platform/shared-memory.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import type { PayloadFacts } from './cache-entry.ts';
import type { Extent } from './extent.ts';
import { newSharedDirectory } from './shared-directories.ts';
import { SharedReader } from './shared-reader.ts';
import { openSharedTier, SharedTier } from './shared-tier.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';

const unit = 4096;
const budgetBytes = 16 * unit;
const namespace = parseNamespace('team');
const wish = { exact: false, fingerprint: undefined };
const pinningChild = fileURLToPath(new URL('../../test/support/pinning-child.js', import.meta.url));

describe('shared memory tier', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let directory: string;
  let platform: Platform;
  let tier: SharedTier;
  let memory: SlabMemoryTier;
  let evicted: string[];

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('shared');
    directory = join(temporary.path, 'memory');
    await mkdir(directory, { mode: 0o700 });
    platform = withNative(nodePlatform(), 'auto');
    tier = new SharedTier({ memory: shared(), directory, budgetBytes, logger: silentLogger });
    memory = new SlabMemoryTier(budgetBytes, (bytes) => tier.take(bytes), tier);
    evicted = [];
  });

  afterEach(async () => {
    tier.close();
    await temporary.remove();
  });

  function shared(): SharedMemory {
    assert(platform.sharedMemory !== undefined);
    return platform.sharedMemory;
  }

  function reader(): SharedReader {
    const opened = SharedReader.open(shared(), directory);
    assert(opened !== undefined);
    return opened;
  }

  /** Keeps a payload of one unit in memory and shows it; undefined when there is no room. */
  function keep(name: string, facts: Partial<PayloadFacts> = {}): Extent | undefined {
    const extent = memory.allocate(unit);
    if (extent === undefined) return undefined;
    extent.bytes.fill(name.charCodeAt(0));
    memory.makeResident(extent, () => evicted.push(name));
    tier.publish({ ...factsOf(name), ...facts }, extent.bytes, extent.bytes);
    extent.unpin();
    return extent;
  }

  it('never shows what is held without the mark that says so', () => {
    const shown: (readonly [owner: number, isMarked: boolean])[] = [];
    const { index } = shared();
    const publish: typeof index.publish = (bytes, key, words) => {
      const entry = index.publish(bytes, key, words);
      shown.push([
        words[5] & ~0xff,
        viewOf(bytes).getUint8(entriesStart + entry * 64 + 60) >= 0x80,
      ]);
      return entry;
    };
    const watched = { ...shared(), index: { ...index, publish } };
    const place = join(temporary.path, 'watched');
    mkdirSync(place, { mode: 0o700 });
    const held = new SharedTier({
      memory: watched,
      directory: place,
      budgetBytes,
      logger: silentLogger,
    });
    const slabs = new SlabMemoryTier(budgetBytes, (bytes) => held.take(bytes), held);
    const extent = slabs.allocate(2 * unit);
    assert(extent !== undefined);
    const facts = { ...factsOf('held'), length: unit };
    assert.equal(held.publishHeld(facts, facts.key, extent.bytes), true);
    assert.deepEqual(shown, [[256, true]]);
    // It is found like any other, and once.
    const found = SharedReader.open(shared(), place);
    assert.equal(found?.find(namespace, [facts.key]), 1);
    found.close();
    assert.equal(held.publishHeld(facts, facts.key, extent.bytes), false);
    held.close();
  });

  it('shows that it lives in a word of its index, until it closes', async () => {
    const index = join(directory, 'index');
    const wordAt = (await readFile(index)).readUInt32LE(32);
    assert(wordAt >= 64 && wordAt < 192, `the word is at ${wordAt}`);
    const thread = (await readFile(index)).readUInt32LE(wordAt);
    assert(await stat(`/proc/self/task/${thread}`).then((task) => task.isDirectory()));
    tier.close();
    assert.equal((await readFile(index)).readUInt32LE(wordAt), 0);
  });

  it('lends what it shows, where it lies, with all that is known of it', () => {
    keep('a', { tokens: 128, crc: 0xfedcba98, hasDecodedTokens: true });
    const client = reader();
    const pins = client.pin(namespace, [keyOf('a')], wish);
    const [block] = pins.blocks;
    assert.deepEqual([block.tokens, block.crc, block.hasDecodedTokens], [128, 0xfedcba98, true]);
    assert.deepEqual(Buffer.from(block.payload), Buffer.alloc(unit, 'a'));
    assert(block.payload.buffer.byteLength >= budgetBytes, 'the payload lies in the segment');
    pins.release();
    client.close();
  });

  it('finds leading keys of the namespace and no others', () => {
    for (const name of ['a', 'b', 'd']) keep(name);
    const client = reader();
    const keys = ['a', 'b', 'c', 'd'].map(keyOf);
    assert.equal(client.find(namespace, keys), 2);
    assert.equal(client.pin(namespace, keys, wish).blocks.length, 2);
    assert.equal(client.find(parseNamespace('other'), keys), 0);
    client.close();
  });

  it('finds and pins keys in the one form that keys have', () => {
    for (const name of ['a', 'b']) keep(name);
    const client = reader();
    const [first, second] = ['a', 'b'].map(keyOf);
    const wide = String.fromCharCode(second.charCodeAt(9) + 256);
    const others = [
      second.toUpperCase(),
      `${second.slice(0, 9)}${wide}${second.slice(10)}`,
      `${second.slice(0, 9)}g${second.slice(10)}`,
    ];
    for (const other of others as BlockKey[]) {
      const place = other.charCodeAt(9) < 256 ? 1 : 0;
      assert.equal(client.find(namespace, [first, other]), place, other);
      const pins = client.pin(namespace, [first, other], wish);
      assert.equal(pins.blocks.length, place, other);
      pins.release();
    }
    assert.equal(client.find(namespace, [first, second]), 2);
    client.close();
  });

  it('pins as often as it has let go, block by block and many at once', () => {
    const names = Array.from({ length: 6 }, (_, i) => `n${i}`);
    for (const name of names) assert(keep(name) !== undefined);
    const client = reader();
    const keys = names.map(keyOf);
    for (let round = 0; round < 400; round += 1) {
      const all = client.pin(namespace, keys, wish);
      const ones = keys.map((key) => client.pin(namespace, [key], wish));
      assert.deepEqual(
        all.blocks.map(({ key, payload }) => [key, payload[0]]),
        names.map((name, at) => [keys[at], name.charCodeAt(0)]),
      );
      assert(ones.every(({ blocks }, at) => blocks[0].key === keys[at]));
      all.release();
      for (const one of ones) one.release();
    }
    assert.equal(keep('more') !== undefined, true, 'nothing is pinned any more');
    client.close();
  });

  it('keeps exact callers and other models away from what does not suit', () => {
    const fingerprint = blake3Hex(Buffer.from('model'));
    keep('a', { fingerprint });
    keep('b', { hasDecodedTokens: true });
    const client = reader();
    const count = (name: string, more: Partial<typeof wish> | { fingerprint: string }): number =>
      client.pin(namespace, [keyOf(name)], { ...wish, ...more }).blocks.length;
    assert.equal(count('a', { fingerprint }), 1);
    assert.equal(count('a', { fingerprint: blake3Hex(Buffer.from('another')) }), 0);
    assert.equal(count('b', { exact: true }), 0);
    assert.equal(count('b', { exact: false }), 1);
    client.close();
  });

  it('does not use memory again while a client pins it, and does so afterwards', () => {
    const kept = keep('p');
    const client = reader();
    const pins = client.pin(namespace, [keyOf('p')], wish);
    assert(kept !== undefined);
    memory.remove(kept);
    for (let round = 0; round < 60; round += 1) keep(`x${round}`);
    assert.equal(client.find(namespace, [keyOf('p')]), 0, 'and is shown no more');
    assert.deepEqual(Buffer.from(pins.blocks[0].payload), Buffer.alloc(unit, 'p'));
    const { payload } = pins.blocks[0];
    pins.release();
    pins.release();
    for (let round = 0; round < 60; round += 1) keep(`y${round}`);
    assert.notEqual(payload[0], 'p'.charCodeAt(0), 'its memory holds something else now');
    client.close();
  });

  it('refuses memory when clients pin all of it, and has it again when they let go', () => {
    const names = Array.from({ length: 16 }, (_, i) => `n${i}`);
    for (const name of names) assert(keep(name) !== undefined);
    const [client, other] = [reader(), reader()];
    const pins = client.pin(namespace, names.slice(0, 12).map(keyOf), wish);
    const others = other.pin(namespace, names.slice(12).map(keyOf), wish);
    assert.equal(pins.blocks.length + others.blocks.length, 16);
    assert.equal(keep('more'), undefined);
    pins.release();
    assert(keep('more') !== undefined);
    client.close();
    other.close();
  });

  it('lends one client three quarters of it at a time, and others the rest', () => {
    const names = Array.from({ length: 16 }, (_, i) => `n${i}`);
    for (const name of names) assert(keep(name) !== undefined);
    const keys = names.map(keyOf);
    const [client, other] = [reader(), reader()];
    const [first, second] = [keys.slice(0, 8), keys.slice(8)].map((some) =>
      client.pin(namespace, some, wish),
    );
    assert.deepEqual([first.blocks.length, second.blocks.length], [8, 4]);
    assert.equal(client.pin(namespace, keys, wish).blocks.length, 0);
    assert.equal(other.pin(namespace, keys, wish).blocks.length, 12);
    first.release();
    first.release();
    assert.equal(client.pin(namespace, keys, wish).blocks.length, 8);
    client.close();
    other.close();
  });

  it('evicts what nobody reads before what a client reads where it lies', () => {
    for (const name of ['read', 'unread']) keep(name);
    const client = reader();
    for (let round = 0; round < 100; round += 1) {
      keep(`x${round}`);
      const pins = client.pin(namespace, [keyOf('read')], wish);
      assert.equal(pins.blocks.length, 1, `round ${round}`);
      pins.release();
    }
    assert.equal(client.find(namespace, [keyOf('unread')]), 0);
    assert(!evicted.includes('read'));
    client.close();
  });

  it('evicts what nobody reads any more, though it was read before', () => {
    const names = Array.from({ length: 12 }, (_, i) => `n${i}`);
    for (const name of names) keep(name);
    const client = reader();
    client.pin(namespace, names.map(keyOf), wish).release();
    for (let round = 0; round < 100; round += 1) keep(`x${round}`);
    assert(evicted.some((name) => names.includes(name)));
    client.close();
  });

  it('has the memory again that a killed client pinned', () => {
    const names = Array.from({ length: 16 }, (_, i) => `n${i}`);
    for (const name of names) assert(keep(name) !== undefined);
    const words = [pinningChild, directory, namespace, ...names.slice(0, 12).map(keyOf)];
    const child = spawnSync(process.execPath, words, { encoding: 'utf8' });
    assert.deepEqual([child.stdout, child.signal], ['12', 'SIGKILL'], child.stderr);
    for (const name of names) assert(keep(`${name} again`) !== undefined, name);
  });

  it('asks for nothing and pins nothing where a segment is gone', async () => {
    const names = Array.from({ length: 16 }, (_, i) => `n${i}`);
    for (const name of names) assert(keep(name) !== undefined);
    const client = reader();
    await rm(join(directory, 'segment-0'));
    assert.equal(client.pin(namespace, names.map(keyOf), wish).blocks.length, 0);
    assert.equal(client.isOpen, false);
    for (const name of names) assert(keep(`${name} again`) !== undefined, name);
  });

  it('takes no memory where no file can be made, and does when one can again', async () => {
    await rm(directory, { recursive: true });
    assert.equal(tier.take(unit), undefined);
    await mkdir(directory);
    assert.equal(tier.take(unit)?.length, unit);
  });

  it('hides what is removed at once, though somebody pins it here', () => {
    const extent = keep('a');
    assert(extent !== undefined);
    const client = reader();
    extent.pin();
    tier.hide(extent.bytes);
    memory.remove(extent);
    assert.equal(client.find(namespace, [keyOf('a')]), 0);
    extent.unpin();
    client.close();
  });

  it('shows nothing any more once it is closed, and what was pinned stays', () => {
    keep('a');
    const client = reader();
    const pins = client.pin(namespace, [keyOf('a')], wish);
    tier.close();
    assert.equal(client.isOpen, false);
    assert.equal(client.pin(namespace, [keyOf('a')], wish).blocks.length, 0);
    assert.deepEqual(Buffer.from(pins.blocks[0].payload), Buffer.alloc(unit, 'a'));
    assert.equal(SharedReader.open(shared(), directory), undefined, 'nobody joins a dead store');
    for (let round = 0; round < 60; round += 1) keep(`x${round}`);
    assert.deepEqual(Buffer.from(pins.blocks[0].payload), Buffer.alloc(unit, 'a'));
    pins.release();
    client.close();
  });

  it('has room for 64 clients, and for another when one has left', () => {
    const clients = Array.from({ length: 64 }, reader);
    assert.equal(SharedReader.open(shared(), directory), undefined);
    clients[40].close();
    const another = reader();
    for (const client of [...clients, another]) client.close();
  });

  it('is not opened from files that are short, foreign or absent', async () => {
    const other = join(temporary.path, 'other');
    assert.equal(SharedReader.open(shared(), other), undefined);
    await mkdir(other);
    const index = join(other, 'index');
    const opens = async (bytes: Buffer, clients: string): Promise<boolean> => {
      await writeFile(index, bytes);
      // Locked, as that of a store which lives.
      const file = shared().open(index, 'read-write');
      assert(bytes.length === 0 || file.lock(0, 1));
      if (clients !== '') await copyFile(clients, join(other, 'clients'));
      const opened = SharedReader.open(shared(), other);
      opened?.close();
      file.unlock(0, 1);
      file.close();
      return opened !== undefined;
    };
    const whole = await readFile(join(directory, 'index'));
    const clients = join(directory, 'clients');
    assert(await opens(whole, clients), 'a copy of a whole one is opened');
    for (const bytes of [0, 10, 4096, 300_000]) {
      assert(!(await opens(Buffer.alloc(bytes, 0xa5), '')), `${bytes} foreign bytes`);
    }
    assert(!(await opens(whole.subarray(0, -64), '')), 'an entry short');
    for (let at = 0; at < 16; at += 1) {
      const changed = Buffer.from(whole);
      changed[at] ^= 1;
      assert(!(await opens(changed, '')), `byte ${at} changed`);
    }
    await writeFile(join(other, 'clients'), '');
    assert(!(await opens(whole, '')), 'without clients');
  });

  it('is not made where the file system has too little room, and says so', async () => {
    const lines: unknown[] = [];
    const logger = { ...silentLogger, info: (_: string, fields: unknown) => lines.push(fields) };
    const files = { ...platform.files, freeBytes: () => Promise.resolve(64 * 1024 * 1024) };
    const small = { ...platform, files };
    const path = join(temporary.path, 'small');
    assert.equal(await openSharedTier(small, path, 1024 ** 3, logger), undefined);
    assert.match(JSON.stringify(lines), /67108864 bytes free/);
    assert.equal(
      await openSharedTier({ ...platform, sharedMemory: undefined }, path, unit, logger),
      undefined,
    );
    assert.match(JSON.stringify(lines), /native code/);
  });

  it('removes what dead stores left, and leaves those that live', async () => {
    const host = { ...platform.host, memoryDirectory: temporary.path };
    const clock = { ...platform.clock, wallMs: () => Date.now() + 3_600_000 };
    const here = { ...platform, host, clock };
    const first = await newSharedDirectory(here);
    assert(first !== undefined);
    await mkdir(first);
    const living = new SharedTier({
      memory: shared(),
      directory: first,
      budgetBytes,
      logger: silentLogger,
    });
    const second = await newSharedDirectory(here);
    assert(second !== undefined && second !== first);
    assert.deepEqual((await readdir(first)).sort(), ['clients', 'index', 'loans']);
    living.close();
    await newSharedDirectory(here);
    await assert.rejects(readdir(first), { code: 'ENOENT' });
  });
});

function factsOf(name: string): PayloadFacts {
  return {
    ...{ namespace, kind: 'block', key: keyOf(name), parent: undefined, fingerprint: undefined },
    ...{ tokens: 0, position: undefined, hasDecodedTokens: false, length: unit, crc: 0 },
  };
}

function keyOf(name: string): BlockKey {
  return parseBlockKey(blake3Hex(Buffer.from(name)));
}
