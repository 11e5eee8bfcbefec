import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Files } from '../platform/files.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { factsOf, keyOf } from '../../test/support/cached-payloads.ts';
import { FullDisk } from '../../test/support/full-disk.ts';
import { hookedFiles, systemError } from '../../test/support/hooked-files.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { CacheEntry } from './cache-entry.ts';
import type { PayloadFacts } from './cache-entry.ts';
import { DiskTier } from './disk-tier.ts';
import { EntryIndex } from './entry-index.ts';

const platform = nodePlatform();
const storeDigest = randomPayload('digest', 32);
const kib = 1024;
const root = await makeTemporaryDirectory('disk-tier');
after(() => root.remove());

interface RigOptions {
  readonly directory?: string;
  readonly files?: Files;
  readonly budgetBytes?: number;
}

/** A disk tier with its index, and entries made as the local cache makes them. */
class Rig {
  readonly index: EntryIndex;
  readonly tier: DiskTier;
  readonly directory: string;
  readonly errors: readonly string[];
  #sequence: number;
  #saveId: number;

  private constructor(parts: Pick<Rig, 'index' | 'tier' | 'directory' | 'errors'>) {
    this.index = parts.index;
    this.tier = parts.tier;
    this.directory = parts.directory;
    this.errors = parts.errors;
    this.#sequence = parts.tier.recovered.lastSequence;
    this.#saveId = parts.tier.recovered.lastSaveId;
  }

  static async open(options: RigOptions = {}): Promise<Rig> {
    const { files = platform.files, budgetBytes = 64 * kib } = options;
    const directory = options.directory ?? `${root.path}/${platform.random.hex(8)}`;
    await platform.files.makeDirectory(directory);
    const errors: string[] = [];
    const ignore = (): void => undefined;
    const logger: Logger = { error: (event) => errors.push(event), info: ignore, debug: ignore };
    const index = new EntryIndex();
    const { random } = platform;
    const log = { files, random, directory, budgetBytes, storeDigest };
    return new Rig({
      index,
      directory,
      errors,
      tier: await DiskTier.open({ ...log, index, logger }),
    });
  }

  /** The directory as the next process finds it, with the real files. */
  async reopen(): Promise<Rig> {
    await this.tier.close();
    return Rig.open({ directory: this.directory });
  }

  /** An entry for the named payload; `bytesOf` gives its bytes. */
  entry(name: string, byteLength: number, changes: Partial<PayloadFacts> = {}): CacheEntry {
    this.#sequence += 1;
    const facts = factsOf(name, randomPayload(name, byteLength), changes);
    const saveId = this.#saveId;
    return new CacheEntry(facts, {
      sequence: this.#sequence,
      saveId,
      saveIndex: 0,
      isPending: true,
    });
  }

  /** Saves one pending payload, as `LocalCache.accept` does. */
  async save(
    name: string,
    byteLength: number,
    changes?: Partial<PayloadFacts>,
  ): Promise<CacheEntry> {
    this.#saveId += 1;
    const entry = this.entry(name, byteLength, changes);
    const payload = randomPayload(name, byteLength);
    await this.tier.write([{ entry, payload }], [entry.facts.key]);
    this.show(entry);
    return entry;
  }

  /** Keeps a payload that the bucket has, as `LocalCache.admit` does. */
  async keep(name: string, byteLength: number): Promise<CacheEntry> {
    const entry = this.entry(name, byteLength);
    entry.isPending = false;
    this.show(entry);
    await this.tier.writeDurable(entry, randomPayload(name, byteLength));
    return entry;
  }

  async upload(entry: CacheEntry): Promise<void> {
    entry.isPending = false;
    await this.tier.noteUploaded(entry);
  }

  show(entry: CacheEntry): void {
    const replaced = this.index.put(entry);
    if (replaced === undefined) return;
    replaced.isCurrent = false;
    this.tier.forget(replaced);
  }

  /** The entry under the name's key. */
  find(name: string, kind: PayloadFacts['kind'] = 'block'): CacheEntry | undefined {
    return this.index.find({ ...factsOf(name, new Uint8Array(0)), kind });
  }

  async bytesOf(entry: CacheEntry | undefined): Promise<Uint8Array | undefined> {
    if (entry?.disk === undefined) return undefined;
    const bytes = new Uint8Array(entry.disk.length);
    return (await this.tier.read(entry.disk, bytes)) ? bytes : undefined;
  }

  /** Checks that the disk has the named payload of that length. */
  async assertHas(name: string, byteLength: number): Promise<void> {
    const bytes = await this.bytesOf(this.find(name));
    assert.deepEqual(bytes, randomPayload(name, byteLength), name);
  }

  assertWithinBudget(): void {
    const { bytes, budgetBytes } = this.tier.usage;
    assert.ok(bytes <= budgetBytes, `${bytes} bytes of ${budgetBytes}`);
  }
}

function isUnavailable(error: unknown): boolean {
  return isStoreError(error, 'UNAVAILABLE');
}

describe('DiskTier and its budget', () => {
  it('drops the oldest payloads under endless new ones', async () => {
    const rig = await Rig.open();
    for (let round = 0; round < 200; round += 1) {
      await rig.keep(`endless-${round}`, 2000);
      rig.assertWithinBudget();
      await rig.assertHas(`endless-${round}`, 2000);
    }
    const { entries, bytes, evictions } = rig.tier.usage;
    assert.equal(entries, rig.index.size);
    assert.equal(evictions, 200 - entries);
    assert.ok(entries >= 18, `${entries} of the newest are there`);
    assert.ok(bytes > 40 * kib, `${bytes} bytes are used`);
    for (let back = 1; back <= entries; back += 1)
      await rig.assertHas(`endless-${200 - back}`, 2000);
    await rig.tier.close();
  });

  // Goal: what is pending stays, however much comes after it, and the budget holds all the same.
  // Method: some saves that are never uploaded among many that are; then the next process.
  it('never drops what is pending, and holds with it', async () => {
    const rig = await Rig.open();
    const pending: string[] = [];
    for (let round = 0; round < 200; round += 1) {
      const name = `mixed-${round}`;
      const entry = await rig.save(name, 2000);
      if (round % 20 === 0) pending.push(name);
      else await rig.upload(entry);
      rig.assertWithinBudget();
      for (const one of pending) await rig.assertHas(one, 2000);
    }
    const next = await rig.reopen();
    const left = next.tier.takePending().flatMap(({ entries }) => entries);
    assert.deepEqual(left.map(({ facts }) => facts.key).sort(), pending.map(keyOf).sort());
    for (const one of pending) await next.assertHas(one, 2000);
    await next.tier.close();
  });

  it('drops what was pending once it was uploaded', async () => {
    const rig = await Rig.open();
    const entry = await rig.save('first', 2000);
    for (let round = 0; round < 60; round += 1) await rig.keep(`before-${round}`, 2000);
    await rig.assertHas('first', 2000);
    await rig.upload(entry);
    for (let round = 0; round < 60; round += 1) await rig.keep(`after-${round}`, 2000);
    assert.equal(rig.find('first'), undefined);
    assert.deepEqual([entry.isCurrent, entry.disk], [false, undefined]);
    await rig.tier.close();
  });

  it('keeps what is used again and again, and drops it when it is not', async () => {
    const rig = await Rig.open();
    const hot = await rig.keep('hot', 2000);
    for (let round = 0; round < 100; round += 1) {
      await rig.keep(`cold-${round}`, 2000);
      hot.noteUse();
    }
    await rig.assertHas('hot', 2000);
    for (let round = 0; round < 100; round += 1) await rig.keep(`later-${round}`, 2000);
    assert.equal(rig.find('hot'), undefined);
    await rig.tier.close();
  });

  it('holds also when everything is used again and again', async () => {
    const rig = await Rig.open();
    for (let round = 0; round < 150; round += 1) {
      await rig.keep(`all-hot-${round}`, 1500);
      for (const entry of rig.index.of(factsOf('a', new Uint8Array(0)).namespace, 'block')) {
        entry.noteUse();
      }
      rig.assertWithinBudget();
    }
    await rig.tier.close();
  });

  it('leaves an entry that memory holds in the index', async () => {
    const rig = await Rig.open();
    const entry = await rig.keep('resident', 2000);
    // What kind of memory it is does not matter to the disk tier.
    const bytes = new Uint8Array(new SharedArrayBuffer(0));
    entry.extent = { bytes, pin: () => undefined, unpin: () => undefined };
    for (let round = 0; round < 60; round += 1) await rig.keep(`after-${round}`, 2000);
    assert.equal(rig.find('resident'), entry);
    assert.deepEqual([entry.isCurrent, entry.disk], [true, undefined]);
    await rig.tier.close();
  });

  // Goal: a payload that was just written is never dropped before it counts as written. Method: many
  // writes at once, each nearly as large as the budget, so that each makes room at once.
  it('loses nothing when writes at once fill the budget', async () => {
    const rig = await Rig.open();
    const names = Array.from({ length: 6 }, (_, index) => `crowded-${index}`);
    const entries = await Promise.all(names.map((name) => rig.save(name, 40 * kib)));
    for (const [index, name] of names.entries()) {
      assert.deepEqual(await rig.bytesOf(entries[index]), randomPayload(name, 40 * kib), name);
    }
    const next = await rig.reopen();
    for (const name of names) await next.assertHas(name, 40 * kib);
    await next.tier.close();
  });

  it('takes a batch larger than the whole budget, and returns to it later', async () => {
    const rig = await Rig.open();
    const large = await rig.save('large', 200 * kib);
    await rig.assertHas('large', 200 * kib);
    await rig.upload(large);
    for (let round = 0; round < 40; round += 1) await rig.keep(`small-${round}`, 2000);
    rig.assertWithinBudget();
    assert.equal(rig.find('large'), undefined);
    await rig.tier.close();
  });

  it('serves what it finds above a smaller budget, and shrinks with the next write', async () => {
    const rig = await Rig.open({ budgetBytes: 400 * kib });
    for (let round = 0; round < 100; round += 1) await rig.keep(`roomy-${round}`, 2000);
    const next = await rig.reopen();
    for (let round = 0; round < 100; round += 1) await next.assertHas(`roomy-${round}`, 2000);
    await next.keep('one more', 2000);
    next.assertWithinBudget();
    await next.assertHas('one more', 2000);
    await next.tier.close();
  });
});

describe('DiskTier and raw tails', () => {
  it('keeps only the last payload under a key', async () => {
    const rig = await Rig.open({ budgetBytes: kib * kib });
    for (let round = 0; round < 50; round += 1) {
      const entry = rig.entry(`version-${round}`, 300, { kind: 'raw-tail', key: keyOf('tip') });
      await rig.tier.write([{ entry, payload: randomPayload(`version-${round}`, 300) }], []);
      rig.show(entry);
      assert.equal(rig.tier.usage.entries, 1);
    }
    const next = await rig.reopen();
    assert.equal(next.tier.usage.entries, 1);
    const last = await next.bytesOf(next.find('tip', 'raw-tail'));
    assert.deepEqual(last, randomPayload('version-49', 300));
    await next.tier.close();
  });

  it('holds its budget under endless replacements of pending ones', async () => {
    const rig = await Rig.open();
    for (let round = 0; round < 150; round += 1) {
      const kind = 'raw-tail' as const;
      for (const tip of ['left', 'right']) {
        const name = `${tip}-${round}`;
        const entry = rig.entry(name, 3000, { kind, key: keyOf(tip) });
        await rig.tier.write([{ entry, payload: randomPayload(name, 3000) }], []);
        rig.show(entry);
      }
      rig.assertWithinBudget();
    }
    const next = await rig.reopen();
    for (const tip of ['left', 'right']) {
      const bytes = await next.bytesOf(next.find(tip, 'raw-tail'));
      assert.deepEqual(bytes, randomPayload(`${tip}-149`, 3000));
    }
    await next.tier.close();
  });
});

describe('DiskTier and what earlier processes left', () => {
  it('gives pending entries by save, in the order of the chain, with its keys, once', async () => {
    const rig = await Rig.open();
    const names = ['a', 'b', 'c', 'd'];
    const chain = names.map(keyOf);
    const write = async (saveId: number, indexes: readonly number[]): Promise<CacheEntry[]> => {
      const entries = indexes.map((saveIndex) => {
        const facts = factsOf(names[saveIndex], randomPayload(names[saveIndex], 10));
        return new CacheEntry(facts, { sequence: saveIndex, saveId, saveIndex, isPending: true });
      });
      const payloads = entries.map((entry, at) => ({
        entry,
        payload: randomPayload(names[indexes[at]], 10),
      }));
      await rig.tier.write(payloads.reverse(), chain);
      return entries;
    };
    await write(1, [0, 2]);
    const [uploaded] = await write(2, [1, 3]);
    await rig.upload(uploaded);
    assert.deepEqual(rig.tier.takePending(), []);
    const next = await rig.reopen();
    const pending = next.tier.takePending().map(({ entries, chain: keys }) => ({
      names: entries.map(({ facts }) => facts.key),
      keys,
    }));
    assert.deepEqual(pending, [
      { names: [keyOf('a'), keyOf('c')], keys: chain },
      { names: [keyOf('d')], keys: chain },
    ]);
    assert.deepEqual(next.tier.takePending(), []);
    await next.tier.close();
  });

  it('gives no keys of a save whose list was dropped with its segment', async () => {
    const rig = await Rig.open();
    await rig.save('listed', 1000);
    for (let round = 0; round < 60; round += 1) await rig.keep(`after-${round}`, 2000);
    const next = await rig.reopen();
    const saves = next.tier.takePending();
    const empty: BlockKey[] = [];
    assert.deepEqual(
      saves.map(({ entries, chain }) => [entries.length, chain]),
      [[1, empty]],
    );
    await next.tier.close();
  });

  it('brings nothing back that was removed', async () => {
    const rig = await Rig.open();
    const entry = await rig.save('removed', 100);
    await rig.save('stays', 100);
    rig.index.remove(entry);
    rig.tier.forget(entry);
    await rig.tier.noteRemoved(entry);
    const next = await rig.reopen();
    assert.equal(next.find('removed'), undefined);
    await next.assertHas('stays', 100);
    await next.tier.close();
  });

  it('is emptied whole, pending or not', async () => {
    const rig = await Rig.open();
    await rig.save('pending', 20 * kib);
    await rig.keep('durable', 20 * kib);
    await rig.tier.empty();
    await rig.tier.close();
    assert.deepEqual(await readdir(rig.directory), []);
  });
});

describe('DiskTier on a bad disk', () => {
  it('goes on when a note cannot be written', async () => {
    let isBroken = false;
    const files = hookedFiles(platform.files, (call) => {
      if (isBroken && call === 'write') throw systemError('EIO');
    });
    const rig = await Rig.open({ files });
    const [uploaded, removed] = [await rig.save('uploaded', 100), await rig.save('removed', 100)];
    isBroken = true;
    await rig.upload(uploaded);
    await rig.tier.noteRemoved(removed);
    isBroken = false;
    assert.equal(rig.errors.length, 2);
    await rig.save('later', 100);
    const next = await rig.reopen();
    // A lost note costs a request at most: the payload counts as pending again.
    assert.equal(next.find('uploaded')?.isPending, true);
    for (const name of ['uploaded', 'removed', 'later']) await next.assertHas(name, 100);
    await next.tier.close();
  });

  it('rejects a save that cannot be written as UNAVAILABLE, and takes the next', async () => {
    let isBroken = true;
    const files = hookedFiles(platform.files, (call) => {
      if (isBroken && call === 'write') throw systemError('EIO');
    });
    const rig = await Rig.open({ files });
    await assert.rejects(rig.save('refused', 100), isUnavailable);
    isBroken = false;
    await rig.save('taken', 100);
    const next = await rig.reopen();
    assert.equal(next.find('refused'), undefined);
    await next.assertHas('taken', 100);
    await next.tier.close();
  });

  it('keeps no copy of a fetched payload that cannot be written, and says so', async () => {
    let isBroken = true;
    const files = hookedFiles(platform.files, (call) => {
      if (isBroken && call === 'write') throw systemError('EIO');
    });
    const rig = await Rig.open({ files });
    const entry = await rig.keep('refused', 100);
    assert.equal(entry.disk, undefined);
    assert.equal(rig.errors.length, 1);
    isBroken = false;
    await rig.keep('taken', 100);
    await rig.assertHas('taken', 100);
    await rig.tier.close();
  });

  it('makes room on a full disk by dropping its oldest segment', async () => {
    const disk = new FullDisk(platform.files);
    const files = hookedFiles(disk.files, (call) => {
      if (call === 'remove') disk.freeBytes += 8 * kib;
    });
    const rig = await Rig.open({ files });
    for (let round = 0; round < 12; round += 1) await rig.keep(`old-${round}`, 2000);
    disk.freeBytes = 0;
    await rig.save('new', 2000);
    await rig.assertHas('new', 2000);
    assert.equal(rig.find('old-0'), undefined);
    await rig.assertHas('old-11', 2000);
    await rig.tier.close();
  });

  it('rejects as UNAVAILABLE on a full disk where all is pending, and loses none of it', async () => {
    const disk = new FullDisk(platform.files);
    const rig = await Rig.open({ files: disk.files });
    const names = Array.from({ length: 20 }, (_, index) => `pending-${index}`);
    for (const name of names) await rig.save(name, 2000);
    disk.freeBytes = 0;
    for (let round = 0; round < 3; round += 1) {
      await assert.rejects(rig.save('refused', 2000), isUnavailable);
    }
    // Above the budget too, where room is made before anything is written.
    await assert.rejects(rig.save('refused', 40 * kib), isUnavailable);
    for (const name of names) await rig.assertHas(name, 2000);
    disk.freeBytes = Number.POSITIVE_INFINITY;
    await rig.save('taken', 2000);
    const next = await rig.reopen();
    for (const name of [...names, 'taken']) await next.assertHas(name, 2000);
    await next.tier.close();
  });

  it('does not carry damaged bytes along, and tells the upload of a pending entry', async () => {
    const rig = await Rig.open();
    const durable = await rig.keep('durable', 1000);
    const pending = await rig.save('pending', 1000);
    durable.noteUse();
    const [name] = await readdir(rig.directory);
    const bytes = await readFile(`${rig.directory}/${name}`);
    for (const entry of [durable, pending]) bytes[(entry.disk?.offset ?? 0) + 500] ^= 1;
    await writeFile(`${rig.directory}/${name}`, bytes);
    for (let round = 0; round < 60; round += 1) await rig.keep(`after-${round}`, 2000);
    assert.equal(rig.errors.length, 2);
    assert.equal(rig.find('durable'), undefined);
    assert.deepEqual([durable.isCurrent, durable.disk], [false, undefined]);
    assert.equal(rig.find('pending'), undefined);
    assert.deepEqual([pending.isCurrent, pending.isLost, pending.disk], [false, true, undefined]);
    await rig.tier.close();
  });
});
