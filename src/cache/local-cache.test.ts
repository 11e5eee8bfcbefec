import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { AssertionError } from '../base/assert.ts';
import { isStoreError } from '../base/errors.ts';
import { silentLogger } from '../base/logger.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { limits } from '../blocks/limits.ts';
import type { Files } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { factsOf, keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { hookedFiles, systemError } from '../../test/support/hooked-files.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { eventually } from '../../test/support/waiting.ts';
import type { CacheEntry, PayloadFacts } from './cache-entry.ts';
import { DiskTier } from './disk-tier.ts';
import { EntryIndex } from './entry-index.ts';
import type { Extent } from './extent.ts';
import { LocalCache } from './local-cache.ts';
import { PrivateExtent } from './private-extent.ts';
import { SlabMemoryTier } from './slab-memory-tier.ts';

const platform = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const kib = 1024;
const unit = limits.extentBytesUnit;
const root = await makeTemporaryDirectory('local-cache');
after(() => root.remove());

interface RigOptions {
  readonly directory?: string;
  readonly files?: Files;
  readonly memoryBytes?: number;
  readonly diskBytes?: number;
}

/** A local cache over real tiers. */
class Rig {
  readonly cache: LocalCache;
  readonly clock: ManualClock;
  readonly index: EntryIndex;
  readonly directory: string;

  private constructor(parts: Pick<Rig, 'cache' | 'clock' | 'index' | 'directory'>) {
    this.cache = parts.cache;
    this.clock = parts.clock;
    this.index = parts.index;
    this.directory = parts.directory;
  }

  static async open(options: RigOptions = {}): Promise<Rig> {
    const { files = platform.files, memoryBytes = 64 * unit, diskBytes = 1024 * kib } = options;
    const directory = options.directory ?? `${root.path}/${platform.random.hex(8)}`;
    await platform.files.makeDirectory(directory);
    const index = new EntryIndex();
    const { random } = platform;
    const log = { files, random, directory, budgetBytes: diskBytes, storeDigest };
    const disk =
      diskBytes === 0 ? undefined : await DiskTier.open({ ...log, index, logger: silentLogger });
    const memory = new SlabMemoryTier(memoryBytes);
    const clock = new ManualClock();
    const cache = new LocalCache({ memory, index, disk, clock });
    return new Rig({ cache, clock, index, directory });
  }

  async reopen(options: RigOptions = {}): Promise<Rig> {
    await this.cache.close();
    return Rig.open({ directory: this.directory, ...options });
  }

  /** Accepts one payload of a save of its own. */
  async accept(
    name: string,
    byteLength: number,
    changes?: Partial<PayloadFacts>,
  ): Promise<CacheEntry> {
    const payload = randomPayload(name, byteLength);
    const facts = factsOf(name, payload, changes);
    const [entry] = await this.cache.accept([{ facts, payload, saveIndex: 0 }], [facts.key]);
    return entry;
  }

  /** Admits a payload as if it had been fetched, and lets go of it. */
  admit(name: string, byteLength: number, changes?: Partial<PayloadFacts>): CacheEntry {
    const payload = randomPayload(name, byteLength);
    const extent = this.cache.allocate(byteLength);
    extent.bytes.set(payload);
    const entry = this.cache.admit(factsOf(name, payload, changes), extent, extent.bytes);
    extent.unpin();
    return entry;
  }

  /** Admits a payload and waits until it is on disk. */
  async admitWritten(name: string, byteLength: number): Promise<CacheEntry> {
    const entry = this.admit(name, byteLength);
    this.clock.advance(admissionMs);
    await eventually(`${name} is on disk`, async () => entry.disk !== undefined);
    return entry;
  }

  find(name: string, changes: Partial<PayloadFacts> = {}): CacheEntry | undefined {
    return this.cache.find(factsOf(name, new Uint8Array(0), changes));
  }

  /** The bytes of the entry from whichever tier has it. */
  async bytesOf(entry: CacheEntry | undefined): Promise<Uint8Array | undefined> {
    if (entry === undefined) return undefined;
    const resident = this.cache.pinResident(entry);
    const pinned =
      resident ?? (entry.disk === undefined ? undefined : await this.cache.readFromDisk(entry));
    const bytes = pinned?.payload.slice();
    pinned?.extent.unpin();
    return bytes;
  }

  /** Pins all memory there is; the result lets go of it. */
  fillMemory(): () => void {
    const extents: Extent[] = [];
    for (;;) {
      const extent = this.cache.memory.allocate(unit);
      if (extent === undefined) break;
      extents.push(extent);
    }
    return () => {
      for (const extent of extents) extent.unpin();
    };
  }

  /** Flips a bit of the entry's payload in its file. */
  async damage(entry: CacheEntry): Promise<void> {
    const { disk } = entry;
    assert.ok(disk !== undefined, 'the entry is on disk');
    const bytes = await readFile(disk.segment.path);
    bytes[disk.offset + 1] ^= 4;
    await writeFile(disk.segment.path, bytes);
  }
}

/** Time after which what was admitted has been sent to disk. */
const admissionMs = 1000;

const version = (name: string): Partial<PayloadFacts> => ({ kind: 'raw-tail', key: keyOf(name) });

describe('LocalCache and what it accepts', () => {
  it('shows a save at once, and the next process finds it pending', async () => {
    const rig = await Rig.open();
    const names = ['a', 'b', 'c'];
    const payloads = names.map((name, saveIndex) => {
      const payload = randomPayload(name, 1000);
      return { facts: factsOf(name, payload), payload, saveIndex };
    });
    const accepting = rig.cache.accept(payloads, names.map(keyOf));
    assert.equal(rig.index.size, 0);
    const entries = await accepting;
    assert.deepEqual(
      entries.map(({ isPending, saveIndex }) => [isPending, saveIndex]),
      [0, 1, 2].map((saveIndex) => [true, saveIndex]),
    );
    for (const name of names) {
      assert.deepEqual(await rig.bytesOf(rig.find(name)), randomPayload(name, 1000));
    }
    const next = await rig.reopen();
    const [save] = next.cache.takePending();
    assert.deepEqual(save.chain, names.map(keyOf));
    assert.deepEqual(
      save.entries.map(({ facts }) => facts),
      payloads.map(({ facts }) => facts),
    );
    for (const name of names) {
      assert.deepEqual(await next.bytesOf(next.find(name)), randomPayload(name, 1000));
    }
    await next.cache.close();
  });

  it('shows nothing of a save that the disk refused', async () => {
    let isBroken = true;
    const files = hookedFiles(platform.files, (call) => {
      if (isBroken && call === 'write') throw systemError('EIO');
    });
    const rig = await Rig.open({ files });
    await assert.rejects(rig.accept('refused', 100), (error) => isStoreError(error, 'UNAVAILABLE'));
    assert.equal(rig.index.size, 0);
    isBroken = false;
    await rig.accept('taken', 100);
    assert.deepEqual(await rig.bytesOf(rig.find('taken')), randomPayload('taken', 100));
    await rig.cache.close();
  });

  it('numbers entries and saves on from where the last process ended', async () => {
    const rig = await Rig.open();
    const [first, second] = [await rig.accept('a', 10), await rig.accept('b', 10)];
    assert.ok(second.sequence > first.sequence && second.saveId > first.saveId);
    const next = await rig.reopen();
    const third = await next.accept('c', 10);
    assert.ok(third.sequence > second.sequence && third.saveId > second.saveId);
    assert.equal(next.cache.isOfThisProcess(third), true);
    assert.equal(next.cache.isOfThisProcess(next.find('a') ?? third), false);
    await next.cache.close();
  });

  it('confirms an upload once, also for the next process', async () => {
    const rig = await Rig.open();
    const entry = await rig.accept('uploaded', 100);
    await rig.cache.markUploaded(entry);
    assert.equal(entry.isPending, false);
    await assert.rejects(rig.cache.markUploaded(entry), AssertionError);
    const next = await rig.reopen();
    assert.deepEqual(next.cache.takePending(), []);
    assert.deepEqual(await next.bytesOf(next.find('uploaded')), randomPayload('uploaded', 100));
    await next.cache.close();
  });

  it('accepts nothing without a disk tier', async () => {
    const rig = await Rig.open({ diskBytes: 0 });
    assert.equal(rig.cache.hasDisk, false);
    await assert.rejects(rig.accept('a', 10), AssertionError);
    await rig.cache.close();
  });
});

describe('LocalCache and what it admits', () => {
  it('has it in memory at once, and soon on disk', async () => {
    const rig = await Rig.open();
    const entry = rig.admit('fetched', 1000);
    assert.equal(rig.find('fetched'), entry);
    assert.deepEqual(await rig.bytesOf(entry), randomPayload('fetched', 1000));
    const next = await rig.reopen();
    assert.deepEqual(next.cache.takePending(), []);
    assert.deepEqual(await next.bytesOf(next.find('fetched')), randomPayload('fetched', 1000));
    await next.cache.close();
  });

  it('writes it after a rest, or at once when much has come', async () => {
    const rig = await Rig.open({ memoryBytes: 160 * kib * kib, diskBytes: 512 * kib * kib });
    const early = rig.admit('early', 10);
    assert.equal(rig.clock.waiting, 1);
    rig.clock.advance(100);
    await rig.clock.yield();
    assert.equal(early.disk, undefined);
    const large = rig.admit('large', 65 * kib * kib);
    await eventually('both are on disk', async () => large.disk !== undefined);
    assert.ok(early.disk !== undefined);
    assert.equal(rig.clock.waiting, 0);
    await rig.cache.close();
  });

  for (const kind of ['block', 'tail', 'raw-tail'] as const) {
    it(`does not put a fetched ${kind} in the place of a pending one`, async () => {
      const rig = await Rig.open();
      const names = { kind, key: keyOf('same'), parent: keyOf('tip') };
      const pending = await rig.accept('saved here', 500, names);
      assert.equal(rig.admit('fetched', 500, names), pending);
      assert.deepEqual(await rig.bytesOf(pending), randomPayload('saved here', 500));
      const next = await rig.reopen();
      const [save] = next.cache.takePending();
      assert.equal(save.entries[0].facts.crc, pending.facts.crc);
      await next.cache.close();
    });
  }

  it('puts a fetched raw tail in the place of a durable one, in every tier', async () => {
    const rig = await Rig.open();
    const before = await rig.accept('version 1', 500, version('tip'));
    await rig.cache.markUploaded(before);
    await rig.bytesOf(before);
    const fetched = rig.admit('version 2', 700, version('tip'));
    assert.notEqual(fetched, before);
    const { isCurrent, extent, payload, disk } = before;
    assert.deepEqual([isCurrent, extent, payload, disk], [false, undefined, undefined, undefined]);
    assert.equal(rig.cache.memory.usage.entries, 1);
    const next = await rig.reopen();
    const found = next.find('any', version('tip'));
    assert.deepEqual(await next.bytesOf(found), randomPayload('version 2', 700));
    await next.cache.close();
  });

  it('leaves a durable block as it is, for any bytes of a block are valid', async () => {
    const rig = await Rig.open();
    const first = rig.admit('block', 500);
    assert.equal(rig.admit('block', 500), first);
    assert.equal(rig.cache.memory.usage.entries, 1);
    await rig.cache.close();
  });

  it('keeps what was fetched again because its copy on disk was damaged', async () => {
    const rig = await Rig.open();
    rig.admit('damaged', 1000);
    const next = await rig.reopen();
    const entry = next.find('damaged');
    assert.ok(entry !== undefined);
    await next.damage(entry);
    assert.equal(await next.cache.readFromDisk(entry), undefined);
    assert.equal(next.find('damaged'), undefined);
    const again = next.admit('damaged', 1000);
    assert.ok(again.extent !== undefined);
    const last = await next.reopen();
    assert.deepEqual(await last.bytesOf(last.find('damaged')), randomPayload('damaged', 1000));
    await last.cache.close();
  });

  it('remembers nothing that found room in no tier, and keeps it the next time', async () => {
    const rig = await Rig.open({ diskBytes: 0 });
    const letGo = rig.fillMemory();
    rig.admit('homeless', 1000);
    assert.equal(rig.find('homeless'), undefined);
    assert.equal(rig.index.size, 0);
    letGo();
    rig.admit('homeless', 1000);
    assert.deepEqual(await rig.bytesOf(rig.find('homeless')), randomPayload('homeless', 1000));
    await rig.cache.close();
  });

  it('remembers what found room on disk only', async () => {
    const rig = await Rig.open();
    const letGo = rig.fillMemory();
    await rig.admitWritten('disk only', 1000);
    letGo();
    assert.deepEqual(await rig.bytesOf(rig.find('disk only')), randomPayload('disk only', 1000));
    await rig.cache.close();
  });

  it('forgets what found no room in memory and could not be written either', async () => {
    const files = hookedFiles(platform.files, (call) => {
      if (call === 'write') throw systemError('EIO');
    });
    const rig = await Rig.open({ files });
    const letGo = rig.fillMemory();
    rig.admit('nowhere', 1000);
    rig.clock.advance(admissionMs);
    await eventually('it is forgotten', async () => rig.find('nowhere') === undefined);
    letGo();
    await rig.cache.close();
  });
});

describe('LocalCache and eviction', () => {
  it('has on disk what memory evicted', async () => {
    const rig = await Rig.open({ memoryBytes: 4 * unit });
    const names = Array.from({ length: 12 }, (_, index) => `overflow-${index}`);
    for (const name of names) await rig.admitWritten(name, 3000);
    assert.ok(rig.cache.memory.usage.evictions >= 8);
    assert.equal(rig.index.size, 12);
    for (const name of names) {
      assert.deepEqual(await rig.bytesOf(rig.find(name)), randomPayload(name, 3000));
    }
    await rig.cache.close();
  });

  it('has in memory what the disk evicted', async () => {
    const rig = await Rig.open({ diskBytes: 64 * kib });
    const kept = rig.admit('kept', 3000);
    const pinned = rig.cache.pinResident(kept);
    for (let round = 0; round < 40; round += 1) {
      kept.uses = 0;
      await rig.admitWritten(`after-${round}`, 3000);
    }
    assert.equal(kept.disk, undefined);
    assert.equal(rig.find('kept'), kept);
    assert.deepEqual(pinned?.payload, randomPayload('kept', 3000));
    pinned?.extent.unpin();
    await rig.cache.close();
  });

  it('forgets what both have evicted', async () => {
    const rig = await Rig.open({ memoryBytes: 4 * unit, diskBytes: 32 * kib });
    for (let round = 0; round < 40; round += 1) {
      await rig.admitWritten(`gone-${round}`, 3000);
    }
    assert.equal(rig.find('gone-0'), undefined);
    const { entries } = rig.cache.memory.usage;
    const onDisk = rig.cache.diskUsage?.entries ?? 0;
    assert.ok(rig.index.size <= entries + onDisk, 'every entry is in a tier');
    for (const entry of rig.cache.entriesOf(tenant, 'block')) {
      assert.ok(entry.extent !== undefined || entry.disk !== undefined);
    }
    await rig.cache.close();
  });

  it('forgets without a disk tier what memory evicts', async () => {
    const rig = await Rig.open({ memoryBytes: 4 * unit, diskBytes: 0 });
    for (let round = 0; round < 20; round += 1) rig.admit(`volatile-${round}`, 3000);
    assert.equal(rig.index.size, rig.cache.memory.usage.entries);
    assert.equal(rig.find('volatile-0'), undefined);
    assert.ok(rig.find('volatile-19') !== undefined);
    await rig.cache.close();
  });

  it('does not bring an evicted entry back that was being read', async () => {
    const rig = await Rig.open({ diskBytes: 32 * kib });
    const entry = await rig.accept('read late', 3000);
    await rig.cache.markUploaded(entry);
    const reading = rig.cache.readFromDisk(entry);
    await rig.cache.remove(entry);
    const pinned = await reading;
    assert.deepEqual(pinned?.payload, randomPayload('read late', 3000));
    pinned?.extent.unpin();
    assert.equal(rig.find('read late'), undefined);
    assert.equal(rig.cache.memory.usage.entries, 0);
    await rig.cache.close();
  });
});

describe('LocalCache and pins', () => {
  it('gives every user a pin, and holds none itself', async () => {
    const rig = await Rig.open();
    const entry = await rig.accept('pinned', 1000);
    assert.equal(rig.cache.memory.usage.pinnedBytes, 0);
    const first = await rig.cache.readFromDisk(entry);
    const second = rig.cache.pinResident(entry);
    assert.equal(rig.cache.memory.usage.pinnedBytes, 1000);
    first?.extent.unpin();
    assert.equal(rig.cache.memory.usage.pinnedBytes, 1000);
    second?.extent.unpin();
    assert.equal(rig.cache.memory.usage.pinnedBytes, 0);
    assert.equal(rig.cache.memory.usage.entries, 1);
    await rig.cache.close();
  });

  it('keeps one copy in memory when two read at once', async () => {
    const rig = await Rig.open();
    const entry = await rig.accept('twice', 1000);
    const both = await Promise.all([rig.cache.readFromDisk(entry), rig.cache.readFromDisk(entry)]);
    for (const pinned of both) assert.deepEqual(pinned?.payload, randomPayload('twice', 1000));
    assert.equal(rig.cache.memory.usage.entries, 1);
    for (const pinned of both) pinned?.extent.unpin();
    assert.equal(rig.cache.memory.usage.pinnedBytes, 0);
    await rig.cache.close();
  });

  it('holds the bytes of a replaced raw tail for its reader', async () => {
    const rig = await Rig.open();
    const before = await rig.accept('version 1', 900, version('tip'));
    const pinned = await rig.cache.readFromDisk(before);
    for (let round = 2; round < 40; round += 1) {
      await rig.bytesOf(await rig.accept(`version ${round}`, 900, version('tip')));
    }
    assert.deepEqual(pinned?.payload, randomPayload('version 1', 900));
    pinned?.extent.unpin();
    assert.equal(rig.cache.memory.usage.entries, 1);
    await rig.cache.close();
  });

  it('reads into memory of the process when the tier is full of pins', async () => {
    const rig = await Rig.open();
    const entry = await rig.accept('private', 1000);
    const letGo = rig.fillMemory();
    const pinned = await rig.cache.readFromDisk(entry);
    assert.ok(pinned?.extent instanceof PrivateExtent);
    assert.deepEqual(pinned.payload, randomPayload('private', 1000));
    pinned.extent.unpin();
    assert.equal(entry.extent, undefined);
    letGo();
    assert.deepEqual(await rig.bytesOf(entry), randomPayload('private', 1000));
    assert.equal(rig.cache.memory.usage.pinnedBytes, 0);
    await rig.cache.close();
  });

  it('gives its pins back when what it reads is damaged or cannot be read', async () => {
    let isBroken = false;
    const files = hookedFiles(platform.files, (call) => {
      if (isBroken && call === 'read') throw systemError('EIO');
    });
    const rig = await Rig.open({ files });
    const damaged = await rig.accept('damaged', 1000);
    await rig.damage(damaged);
    // Its copy in memory goes, so that the one on disk is its only one.
    for (let round = 0; round < 400; round += 1) rig.cache.allocate(4096).unpin();
    assert.equal(damaged.extent, undefined);
    assert.equal(await rig.cache.readFromDisk(damaged), undefined);
    assert.deepEqual([damaged.disk, damaged.isLost], [undefined, true]);
    assert.equal(rig.cache.find(damaged.facts), undefined);
    const unreadable = await rig.accept('unreadable', 1000);
    isBroken = true;
    await assert.rejects(rig.cache.readFromDisk(unreadable), (error) =>
      isStoreError(error, 'UNAVAILABLE'),
    );
    isBroken = false;
    assert.equal(rig.cache.memory.usage.pinnedBytes, 0);
    assert.deepEqual(await rig.bytesOf(unreadable), randomPayload('unreadable', 1000));
    await rig.cache.close();
  });
});

describe('LocalCache and names', () => {
  it('keeps namespaces and kinds apart, over a restart too', async () => {
    const rig = await Rig.open();
    const places = ['red', 'blue'].flatMap((name) =>
      (['block', 'tail', 'raw-tail'] as const).map((kind) => ({
        namespace: parseNamespace(name),
        kind,
        key: keyOf('same'),
        parent: keyOf('tip'),
      })),
    );
    for (const [index, place] of places.entries()) await rig.accept(`own-${index}`, 300, place);
    const check = async (each: Rig): Promise<void> => {
      for (const [index, place] of places.entries()) {
        const bytes = await each.bytesOf(each.cache.find(place));
        assert.deepEqual(bytes, randomPayload(`own-${index}`, 300));
      }
    };
    await check(rig);
    const next = await rig.reopen();
    await check(next);
    await next.cache.close();
  });

  it('finds the tails of a tip, over a restart too', async () => {
    const rig = await Rig.open();
    for (const name of ['a', 'b']) {
      await rig.accept(name, 100, { kind: 'tail', parent: keyOf('tip') });
    }
    await rig.accept('c', 100, { kind: 'tail', parent: keyOf('another') });
    const tailsOf = ({ cache }: Rig): unknown[] =>
      [...cache.tailsOf(tenant, keyOf('tip'))].map(({ facts }) => facts.key);
    assert.deepEqual(tailsOf(rig), ['a', 'b'].map(keyOf));
    const next = await rig.reopen();
    assert.deepEqual(new Set(tailsOf(next)), new Set(['a', 'b'].map(keyOf)));
    await next.cache.close();
  });

  it('does not bring a removed payload back, in this process or the next', async () => {
    const rig = await Rig.open();
    const entry = await rig.accept('removed', 1000);
    await rig.bytesOf(entry);
    await rig.cache.remove(entry);
    assert.equal(rig.find('removed'), undefined);
    assert.equal(rig.cache.memory.usage.entries, 0);
    assert.equal(rig.cache.diskUsage?.entries, 0);
    const next = await rig.reopen();
    assert.equal(next.find('removed'), undefined);
    assert.deepEqual(next.cache.takePending(), []);
    await next.cache.close();
  });

  it('writes nothing after it was closed: the directory may be another process’s', async () => {
    const rig = await Rig.open();
    await rig.accept('before', 100);
    await rig.cache.close();
    const before = await readdir(rig.directory);
    rig.admit('late', 1000);
    rig.clock.advance(admissionMs);
    await assert.rejects(rig.accept('later', 100), (error) => isStoreError(error, 'CLOSED'));
    assert.deepEqual(await readdir(rig.directory), before);
    assert.deepEqual(await rig.bytesOf(rig.find('late')), randomPayload('late', 1000));
  });

  it('closes with admissions under way, and leaves files that open', async () => {
    const rig = await Rig.open();
    for (let index = 0; index < 30; index += 1) rig.admit(`closing-${index}`, 3000);
    const next = await rig.reopen();
    for (let index = 0; index < 30; index += 1) {
      const bytes = await next.bytesOf(next.find(`closing-${index}`));
      assert.deepEqual(bytes, randomPayload(`closing-${index}`, 3000));
    }
    await next.cache.close();
    assert.ok((await readdir(rig.directory)).length > 0);
  });
});
