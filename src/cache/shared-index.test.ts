import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { eventually } from '../../test/support/waiting.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { blake3Hex } from '../base/blake3.ts';
import { silentLogger } from '../base/logger.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { entriesStart, headerWords, indexStates, requestWords } from '../platform/shared-memory.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import type { PayloadFacts } from './cache-entry.ts';
import type { Extent } from './extent.ts';
import { extentHeaderBytes } from './extent-header.ts';
import { heldIn, scanIndex } from './memory-scan.ts';
import type { HeldPlace } from './memory-scan.ts';
import { newSharedDirectory } from './shared-directories.ts';
import { ownerOf } from './shared-layout.ts';
import { SharedReader } from './shared-reader.ts';
import { SharedTier } from './shared-tier.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';

const unit = 4096;
const namespace = parseNamespace('team');
const wish = { exact: false, fingerprint: undefined };
const ofRawTails = { ...wish, kind: 'raw-tail' } as const;
/** Entries of the smallest index. */
const smallest = 1024;
/** After so many payloads three quarters of these were used, since some fall to entries that were before. */
const many = 1800;

describe('the shared index', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let directory: string;
  let platform: Platform;
  let tier: SharedTier;
  let slabs: SlabMemoryTier;
  let lines: unknown[];

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('index');
    directory = join(temporary.path, 'memory');
    await mkdir(directory, { mode: 0o700 });
    platform = withNative(nodePlatform(), 'auto');
    open(16 * unit);
  });

  afterEach(async () => {
    tier.close();
    await temporary.remove();
  });

  function open(budgetBytes: number, memory = shared()): void {
    lines = [];
    const info = (event: string): unknown => lines.push(event);
    tier = new SharedTier({ memory, directory, budgetBytes, logger: { ...silentLogger, info } });
    slabs = new SlabMemoryTier(budgetBytes, (bytes) => tier.take(bytes), tier);
  }

  /** The same with a tier of another budget, or other code. */
  async function reopen(budgetBytes: number, memory = shared()): Promise<void> {
    tier.close();
    directory = join(temporary.path, 'other');
    await mkdir(directory, { mode: 0o700 });
    open(budgetBytes, memory);
  }

  function shared(): SharedMemory {
    assert(platform.sharedMemory !== undefined);
    return platform.sharedMemory;
  }

  function reader(): SharedReader {
    const opened = SharedReader.open(shared(), directory);
    assert(opened !== undefined);
    return opened;
  }

  /** Keeps a payload of one unit and shows it; its bytes tell its name. */
  function keep(name: string): Extent {
    const extent = slabs.allocate(unit);
    assert(extent !== undefined, `there is room for ${name}`);
    extent.bytes.set(bytesOf(name));
    slabs.makeResident(extent, () => undefined);
    tier.publish(factsOf(name), extent.bytes, extent.bytes);
    extent.unpin();
    return extent;
  }

  /** Shows so many payloads, each in the memory of the one before the last few. */
  function churn(name: string, count: number): void {
    for (let i = 0; i < count; i += 1) keep(`${name} ${i}`);
  }

  /** Shows payloads until the condition holds, and gives how many. */
  function churnUntil(name: string, holds: () => boolean): number {
    for (let count = 0; count < many; count += 1) {
      if (holds()) return count;
      keep(`${name} ${count}`);
    }
    return assert.fail(`it does not come to pass with ${many} payloads`);
  }

  function hold(name: string): Extent {
    const extent = slabs.allocate(unit);
    assert(extent !== undefined);
    const facts = { ...factsOf(name), length: unit - extentHeaderBytes };
    assert(tier.publishHeld(facts, facts.key, extent.bytes));
    return extent;
  }

  async function held(): Promise<readonly HeldPlace[]> {
    const places: HeldPlace[] = [];
    for await (const place of scanIndex(platform.files, directory)) places.push(place);
    return places;
  }

  const rebuilt = (): number => lines.filter((line) => /was built anew/.test(String(line))).length;
  const inode = (): number => statSync(join(directory, 'index')).ino;
  const isBeingBuilt = (): boolean => existsSync(join(directory, 'index-next'));

  it('is built anew, as large as before, when three quarters of it were used', () => {
    const [first, { size }] = [inode(), statSync(join(directory, 'index'))];
    const client = reader();
    const count = churnUntil('a', () => rebuilt() === 1);
    assert(count > 0.75 * smallest && count < 1.6 * smallest, `${count} payloads`);
    assert.notEqual(inode(), first);
    assert.equal(statSync(join(directory, 'index')).size, size);
    churn('b', 40);
    assert.equal(rebuilt(), 1);
    // The reader has followed, and finds what is there, and nothing else.
    const keys = Array.from({ length: 40 }, (_, i) => keyOf(`b ${i}`));
    const found = keys.map((key) => client.find(namespace, [key]));
    assert.equal(
      found.reduce((sum, one) => sum + one),
      16,
      'as many as there is memory for',
    );
    for (const key of keys) {
      for (const { payload } of client.pin(namespace, [key], wish).blocks) {
        assert.deepEqual(Buffer.from(payload), bytesOf(`b ${keys.indexOf(key)}`));
      }
    }
    assert.equal(client.isOpen, true);
    client.close();
  });

  it('gives what is held another name, at no moment without one, also while it is built anew', async () => {
    // What whoever follows would find in the file that it reads, whenever an entry has gone there.
    const counts: number[] = [];
    const { index } = shared();
    let current: Uint8Array | undefined;
    const publish: typeof index.publish = (bytes, key, words) => {
      current ??= bytes;
      return index.publish(bytes, key, words);
    };
    const retire: typeof index.retire = (bytes, entry) => {
      index.retire(bytes, entry);
      if (bytes === current) counts.push(heldIn(bytes.subarray(entriesStart)).length);
    };
    await reopen(64 * unit, { ...shared(), index: { ...index, publish, retire } });
    const client = reader();
    const found = (name: string): number => {
      const { blocks, release } = client.pin(namespace, [keyOf(name)], ofRawTails);
      release();
      return blocks.length;
    };
    let builds = 0;
    const live: { readonly name: string; readonly extent: Extent }[] = [];
    for (let i = 0; i < many; i += 1) {
      const facts = {
        ...factsOf(`r ${i}`),
        ...{ kind: 'raw-tail' as const, length: unit - extentHeaderBytes },
      };
      const extent = slabs.allocate(unit);
      assert(extent !== undefined);
      assert(tier.publishHeld(facts, keyOf(`name of r ${i}`), extent.bytes));
      counts.length = 0;
      current = undefined;
      for (let again = 0; again < 2; again += 1) tier.nameByKey(facts, extent.bytes);
      assert.deepEqual(counts, [live.length + 1], 'one entry goes, behind the one in its place');
      live.push({ name: `r ${i}`, extent });
      // Of so many some are taken along to the next index one step later than others.
      for (const { name } of rebuilt() === builds ? live.slice(-1) : live) {
        assert.deepEqual([found(name), found(`name of ${name}`)], [1, 0], `${name}, ${i}`);
      }
      builds = rebuilt();
      if (live.length <= 40) continue;
      const [oldest] = live.splice(0, 1);
      tier.settle(oldest.extent.bytes);
      tier.hide(oldest.extent.bytes);
      assert.equal(found(oldest.name), 0);
      oldest.extent.unpin();
    }
    assert(rebuilt() > 0, 'it was built anew meanwhile');
    client.close();
  });

  it('is filled many times over, and every reader reads what it asked for', () => {
    const clients = [reader(), reader()];
    const kept: { name: string; bytes: Uint8Array; release: () => void }[] = [];
    for (let i = 0; i < 18 * smallest; i += 1) {
      keep(`n ${i}`);
      const client = clients[i % 2];
      const { blocks, release } = client.pin(namespace, [keyOf(`n ${i}`)], wish);
      assert.equal(blocks.length, 1, `block ${i}`);
      kept.push({ name: `n ${i}`, bytes: blocks[0].payload, release });
      // Six of sixteen are pinned for a while, also while the index changes.
      if (kept.length <= 6) continue;
      const [oldest] = kept.splice(0, 1);
      assert.deepEqual(Buffer.from(oldest.bytes), bytesOf(oldest.name));
      oldest.release();
    }
    assert(rebuilt() >= 12, `it was built anew ${rebuilt()} times`);
    for (const client of clients) client.close();
  });

  it('grows when more than half of it is in use, and clients find all there is', async () => {
    await reopen(64 * 1024 * unit);
    const client = reader();
    const before = statSync(join(directory, 'index')).size;
    const count = 20_000;
    const keys = Array.from({ length: count }, (_, i) => keyOf(`g ${i}`));
    churn('g', 8192);
    assert.equal(client.find(namespace, keys), 8192);
    for (let i = 8192; i < count; i += 1) keep(`g ${i}`);
    assert.equal(client.find(namespace, keys), count);
    assert(statSync(join(directory, 'index')).size > 3.5 * before);
    assert.equal(rebuilt(), 1);
    client.close();
  });

  it('leaves the old one as it was to those who have it mapped, and to nobody else', async () => {
    const descriptor = openSync(join(directory, 'index'), 'r');
    const { blocks, ino } = fstatSync(descriptor);
    const idle = reader();
    const mapped = (): boolean => readFileSync('/proc/self/maps', 'utf8').includes(` ${ino} `);
    churnUntil('a', () => rebuilt() === 1);
    churn('b', 8);
    assert.equal(fstatSync(descriptor).blocks, blocks, 'it has all of its memory');
    assert(mapped());
    assert.equal(idle.find(namespace, [keyOf('b 7')]), 1);
    // Node unmaps it in the next turn.
    await eventually('neither the store nor its client has it mapped', () =>
      Promise.resolve(!mapped()),
    );
    closeSync(descriptor);
    idle.close();
  });

  it('is not built anew while clients that make no calls keep two old ones, and is when they do or are gone', () => {
    const first = reader();
    churnUntil('a', () => rebuilt() === 1);
    const second = reader();
    churnUntil('b', () => rebuilt() === 2);
    churn('c', 2 * many);
    assert.equal(rebuilt(), 2);
    assert(lines.some((line) => /cannot be built anew/.test(String(line))));
    assert.equal(second.find(namespace, [keyOf(`c ${2 * many - 1}`)]), 1);
    churnUntil('d', () => rebuilt() === 3);
    first.close();
    second.close();
    churnUntil('e', () => rebuilt() === 4);
  });

  it('keeps what is pinned from being used again, whichever index it was found in', () => {
    const client = reader();
    const kept = keep('pinned');
    const pins = client.pin(namespace, [keyOf('pinned')], wish);
    slabs.remove(kept);
    churn('a', 2 * many);
    assert(rebuilt() >= 2);
    assert.deepEqual(Buffer.from(pins.blocks[0].payload), bytesOf('pinned'));
    pins.release();
    churn('b', 16);
    assert.notDeepEqual(Buffer.from(pins.blocks[0].payload), bytesOf('pinned'));
    client.close();
  });

  it('gives nothing out of an index that is superseded to those who still look there', () => {
    const { index } = shared();
    const file = shared().open(join(directory, 'index'), 'read');
    const old = file.map();
    file.close();
    const clientsFile = shared().open(join(directory, 'clients'), 'read-write');
    assert(clientsFile.lock(0, 8192));
    const clients = clientsFile.map();
    index.beginClient(clients, 0);
    churnUntil('a', isBeingBuilt);
    keep('kept');
    const owner = ownerOf(1);
    const exchange = (): Uint32Array => Uint32Array.of(owner, 0, ...new Array<number>(6).fill(0));
    assert.equal(index.find(old, keyOf('kept'), owner), 1);
    assert.equal(index.pin(old, clients, keyOf('kept'), exchange()), 1);
    index.unpin(clients, exchange(), 0, 1);
    const entries = Buffer.from(old);
    churnUntil('b', () => rebuilt() === 1);
    // Its entries as they were at that moment, as one sees them who was stopped; only the state is the new one.
    const stopped = new Uint8Array(entries);
    new Int32Array(stopped.buffer)[headerWords.state] = indexStates.superseded;
    for (const memory of [old, stopped]) {
      assert.equal(index.find(memory, keyOf('kept'), owner), 0);
      assert.equal(index.pin(memory, clients, keyOf('kept'), exchange()), 0);
    }
    assert.equal(requestWords, 2);
    clientsFile.close();
  });

  it('shows and tells of the same as the old one, also of what changes while it is built', async () => {
    const [first, second, third, fourth] = ['h1', 'h2', 'h3', 'h4'].map(hold);
    churnUntil('a', isBeingBuilt);
    // Its memory is taken with this one, and what is there taken along with the next.
    churn('c', 1);
    assert.equal((await held()).length, 4);
    const last = hold('h5');
    assert(isBeingBuilt(), 'it still is');
    tier.confirm(first.bytes);
    tier.settle(second.bytes);
    tier.settle(third.bytes);
    tier.hide(third.bytes);
    churnUntil('b', () => rebuilt() === 1);
    const places = await held();
    const at = (extent: Extent): HeldPlace | undefined =>
      places.find(({ offset }) => offset === extent.bytes.byteOffset);
    assert.equal(at(first)?.isConfirmed, true);
    for (const one of [fourth, last]) {
      assert.deepEqual([at(one)?.isCertain, at(one)?.isConfirmed], [true, false]);
    }
    assert.equal(places.length, 3);
    const client = reader();
    const found = ['h1', 'h2', 'h3', 'h4', 'h5'].map((name) =>
      client.find(namespace, [keyOf(name)]),
    );
    assert.deepEqual(found, [1, 1, 0, 1, 1]);
    client.close();
  });

  it('serves on when there is no memory for another, and is built anew when there is', async () => {
    let hasMemory = true;
    const create: SharedMemory['create'] = (path, byteLength) => {
      const file = shared().create(path, byteLength);
      return new Proxy(file, {
        get: (target, name: keyof typeof file) => {
          if (name === 'reserve' && /next/.test(path) && !hasMemory) return () => false;
          const value: unknown = target[name];
          return typeof value === 'function' ? value.bind(target) : value;
        },
      });
    };
    await reopen(16 * unit, { ...shared(), create });
    hasMemory = false;
    const client = reader();
    churn('a', 2 * many);
    assert.equal(client.find(namespace, [keyOf(`a ${2 * many - 1}`)]), 1);
    assert.equal(rebuilt(), 0);
    assert(lines.length > 3 && lines.length < 40, `${lines.length} tries`);
    assert.deepEqual((await readdir(directory)).sort(), [
      'clients',
      'index',
      'loans',
      'segment-0',
      'uses-0',
    ]);
    hasMemory = true;
    const count = churnUntil('b', () => rebuilt() === 1);
    assert(count < smallest / 8, `${count} payloads`);
    assert.equal(client.find(namespace, [keyOf(`b ${count - 1}`)]), 1);
    client.close();
  });

  it('is not replaced by one in which something that is held has no place', async () => {
    let isFull = true;
    const { index } = shared();
    const carry: typeof index.carry = (...given) => (isFull ? -1 : index.carry(...given));
    await reopen(16 * unit, { ...shared(), index: { ...index, carry } });
    const extent = hold('held');
    churn('a', many);
    assert.equal(rebuilt(), 0);
    assert.equal((await held()).length, 1);
    isFull = false;
    churnUntil('b', () => rebuilt() === 1);
    assert.deepEqual(
      (await held()).map(({ offset }) => offset),
      [extent.bytes.byteOffset],
    );
  });

  it('is that of a store which lives, whichever file it is in', async () => {
    const host = { ...platform.host, memoryDirectory: temporary.path };
    const clock = { ...platform.clock, wallMs: () => Date.now() + 3_600_000 };
    const here = { ...platform, host, clock };
    tier.close();
    const first = await newSharedDirectory(here);
    assert(first !== undefined);
    directory = first;
    await mkdir(directory);
    open(16 * unit);
    for (let round = 0; round < 3; round += 1) {
      churnUntil(`r${round}`, () => rebuilt() > round);
      await newSharedDirectory(here);
      assert((await readdir(directory)).includes('index'));
    }
    tier.close();
    await newSharedDirectory(here);
    await assert.rejects(readdir(directory), { code: 'ENOENT' });
  });

  it('is read in the versions before by whoever follows, and by no client', async () => {
    const path = join(directory, 'index');
    hold('held');
    tier.close();
    const bytes = readFileSync(path);
    assert.equal(bytes.readUInt32LE(8), 3);
    assert.equal(shared().index.isValid(bytes), true);
    for (const version of [1, 2]) {
      bytes.writeUInt32LE(version, 8);
      writeFileSync(path, bytes);
      assert.equal((await held()).length, 1);
      assert.equal(shared().index.isValid(bytes), false);
    }
  });
});

function bytesOf(name: string): Buffer {
  return Buffer.alloc(unit, `${name};`);
}

function factsOf(name: string): PayloadFacts {
  return {
    ...{ namespace, kind: 'block', key: keyOf(name), parent: undefined, fingerprint: undefined },
    ...{ tokens: 0, position: undefined, hasDecodedTokens: false, length: unit, crc: 0 },
  };
}

function keyOf(name: string): BlockKey {
  return parseBlockKey(blake3Hex(Buffer.from(name)));
}
