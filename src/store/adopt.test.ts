import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { claimDirectory } from '../cache/cache-directory.ts';
import type { OwnedDirectory, StoreIdentity } from '../cache/cache-directory.ts';
import type { CacheEntry } from '../cache/cache-entry.ts';
import type { FaultPicker } from '../objectstore/faulty-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { factsOf, keyOf } from '../../test/support/cached-payloads.ts';
import { chainOf, chainOfSizes, sliceChain } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { hookedFiles, systemError } from '../../test/support/hooked-files.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { UploadRig } from '../../test/support/upload-rig.ts';
import { eventually } from '../../test/support/waiting.ts';
import { Adoption } from './adopt.ts';

const platform = nodePlatform();
const identity: StoreIdentity = { url: 'memory:', keyPrefix: 'kv' };
const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('adopt');
after(() => root.remove());

const refusing: FaultPicker = ({ verb }) => (verb === 'put' ? { kind: 'fail-before' } : undefined);

/** A store process as far as adoption goes: a place in the cache directory, and what works on it. */
class Process {
  readonly own: OwnedDirectory;
  readonly rig: UploadRig;
  readonly errors: string[] = [];
  readonly #cacheDirectory: string;
  #adoption: Adoption | undefined;

  private constructor(own: OwnedDirectory, rig: UploadRig, cacheDirectory: string) {
    this.own = own;
    this.rig = rig;
    this.#cacheDirectory = cacheDirectory;
  }

  /** Takes the first free place; uploads are refused. What it finds pending there is enqueued. */
  static async start(cacheDirectory: string, store = identity): Promise<Process> {
    const own = await claimDirectory(platform, cacheDirectory, store);
    assert.ok(own !== undefined);
    const rig = await UploadRig.open(own.path);
    rig.faults = refusing;
    for (const { entries, chain } of rig.cache.takePending())
      rig.uploads.enqueue({ entries, chain });
    return new Process(own, rig, cacheDirectory);
  }

  adopt(options: { backlogBytesMax?: number; files?: typeof platform.files } = {}): Adoption {
    const { backlogBytesMax = 1024 * mib, files = platform.files } = options;
    const note = (event: string): unknown => this.errors.push(event);
    const ignore = (): void => undefined;
    const logger: Logger = { error: note, info: ignore, debug: ignore };
    this.#adoption = new Adoption({
      platform: { ...platform, files, clock: this.rig.clock },
      logger,
      cache: this.rig.cache,
      uploads: this.rig.uploads,
      counters: this.rig.counters,
      cacheDirectory: this.#cacheDirectory,
      identity,
      storeDigest: new Uint8Array(32),
      own: this.own,
      backlogBytesMax,
    });
    return this.#adoption;
  }

  /** Dies as a killed process does: what it had accepted stays in its place. */
  async die(): Promise<void> {
    await this.#adoption?.stop();
    await this.rig.close();
    await this.own.release();
  }

  async segments(): Promise<string[]> {
    return (await readdir(this.own.path)).filter((name) => name.startsWith('segment-'));
  }

  /** The entry of each block here, where there is one. */
  entriesOf(chain: Chain): (CacheEntry | undefined)[] {
    return chain.keys.map((key) => this.rig.cache.find({ ...factsOf('', empty), key }));
  }

  async bytesOf(entry: CacheEntry | undefined): Promise<Uint8Array | undefined> {
    if (entry?.disk === undefined) return undefined;
    const pinned = await this.rig.cache.readFromDisk(entry);
    const bytes = pinned?.payload.slice();
    pinned?.extent.unpin();
    return bytes;
  }

  async assertHas(chain: Chain): Promise<void> {
    for (const [index, entry] of this.entriesOf(chain).entries()) {
      assert.deepEqual(await this.bytesOf(entry), chain.blocks[index].payload, `block ${index}`);
    }
  }

  async rawTail(tip: string): Promise<Uint8Array | undefined> {
    return this.bytesOf(
      this.rig.cache.find(factsOf('', empty, { kind: 'raw-tail', key: keyOf(tip) })),
    );
  }
}

const empty = new Uint8Array(0);

/** Two processes side by side on a fresh cache directory. */
async function siblings(): Promise<{ own: Process; sibling: Process; directory: string }> {
  const directory = `${root.path}/${platform.random.hex(8)}`;
  const sibling = await Process.start(directory);
  const own = await Process.start(directory);
  return { own, sibling, directory };
}

describe('Adoption', () => {
  it('takes over what a dead process left pending, and empties its place', async () => {
    const { own, sibling } = await siblings();
    const chain = chainOf('left', 5, 1000);
    await sibling.rig.save(chain);
    await sibling.die();
    own.adopt();
    await eventually('the place is empty', async () => (await sibling.segments()).length === 0);
    await own.assertHas(chain);
    assert.equal(own.rig.uploads.pending, 5);
    own.rig.faults = () => undefined;
    await own.rig.finish();
    assert.deepEqual(own.rig.stored, new Set(chain.keys));
    // The keys of the save came along: the first block's list is whole.
    const head = own.rig.puts.find(({ header }) => header.key === chain.keys[0]);
    assert.deepEqual(head?.header.following, chain.keys.slice(1));
    assert.deepEqual(own.errors, []);
    await own.die();
  });

  it('takes over from every dead process, and what it adopted survives its own death', async () => {
    const { own, sibling, directory } = await siblings();
    const third = await Process.start(directory);
    const chains = [chainOf('of-first', 4, 500), chainOf('of-third', 3, 500)];
    await sibling.rig.save(chains[0]);
    await third.rig.save(chains[1]);
    await sibling.die();
    await third.die();
    own.adopt();
    await eventually('all are adopted', async () => own.rig.uploads.pending === 7);
    await own.die();
    const next = await Process.start(directory);
    next.adopt();
    await eventually('all are found again', async () => next.rig.uploads.pending === 7);
    for (const chain of chains) await next.assertHas(chain);
    await next.die();
  });

  it('leaves living processes, durable payloads and other stores alone', async () => {
    const { own, sibling, directory } = await siblings();
    const other = await Process.start(directory, { url: 's3://other', keyPrefix: 'kv' });
    await other.rig.save(chainOf('of-other', 3, 500));
    await other.die();
    const [name] = await other.segments();
    const before = await readFile(`${other.own.path}/${name}`);
    const uploaded = chainOf('uploaded', 3, 500);
    sibling.rig.faults = () => undefined;
    await sibling.rig.save(uploaded);
    await sibling.rig.finish();
    await own.adopt().stop();
    assert.equal((await sibling.segments()).length, 1);
    await sibling.assertHas(uploaded);
    await sibling.die();
    own.adopt();
    await eventually('the place is empty', async () => (await sibling.segments()).length === 0);
    assert.deepEqual(own.entriesOf(uploaded), [undefined, undefined, undefined]);
    assert.equal(own.rig.uploads.pending, 0);
    assert.deepEqual(await readFile(`${other.own.path}/${name}`), before);
    await own.die();
  });

  it('does not take what it has itself', async () => {
    const { own, sibling } = await siblings();
    const chain = chainOf('both', 6, 500);
    await sibling.rig.save(chain);
    const [first] = await own.rig.save(sliceChain(chain, 2, 4));
    await sibling.die();
    own.adopt();
    await eventually('the rest is adopted', async () => own.rig.uploads.pending === 6);
    assert.equal(own.entriesOf(chain)[2], first);
    await own.assertHas(chain);
    await own.die();
  });

  it('goes on with a save of which one payload is damaged', async () => {
    const { own, sibling } = await siblings();
    const chain = chainOf('damaged', 4, 500);
    const entries = await sibling.rig.save(chain);
    await sibling.rig.damage(entries[2]);
    await sibling.die();
    own.adopt();
    await eventually('the place is empty', async () => (await sibling.segments()).length === 0);
    const found = own.entriesOf(chain).map((entry) => entry !== undefined);
    assert.deepEqual(found, [true, true, false, true]);
    assert.equal(own.errors.length, 1);
    await own.die();
  });

  it('takes a long save over from its end, a part at a time', async () => {
    const { own, sibling } = await siblings();
    const chain = chainOfSizes('long', [12 * mib, 12 * mib, 12 * mib, 12 * mib]);
    await sibling.rig.save(chain);
    await sibling.die();
    own.adopt();
    await eventually('some is adopted', async () => own.rig.uploads.pending > 0);
    const found = own.entriesOf(chain).map((entry) => entry !== undefined);
    assert.equal(found.lastIndexOf(false) < found.indexOf(true), true, 'only the end shows');
    await eventually('all is adopted', async () => own.rig.uploads.pending === 4);
    await own.assertHas(chain);
    await own.die();
  });
});

describe('Adoption of raw tails', () => {
  async function saved(process: Process, version: string): Promise<void> {
    await process.rig.saveRawTail('tip', version);
  }

  it('puts a pending one in the place of what an earlier process had uploaded', async () => {
    const { own, sibling, directory } = await siblings();
    sibling.rig.faults = () => undefined;
    await saved(sibling, 'older');
    await sibling.rig.finish();
    await saved(own, 'newer');
    // The next process gets the place with the older one, and finds the newer one beside it.
    await sibling.die();
    await own.die();
    const next = await Process.start(directory);
    assert.deepEqual(await next.rawTail('tip'), randomPayload('older', 500));
    next.adopt();
    await eventually('it is adopted', async () => next.rig.uploads.pending === 1);
    assert.deepEqual(await next.rawTail('tip'), randomPayload('newer', 500));
    await next.die();
  });

  it('leaves what this process has saved itself, uploaded or not', async () => {
    for (const isUploaded of [true, false]) {
      const { own, sibling } = await siblings();
      await saved(sibling, 'older');
      await sibling.die();
      if (isUploaded) own.rig.faults = () => undefined;
      await saved(own, 'newer');
      if (isUploaded) await own.rig.finish();
      own.adopt();
      await eventually('the place is empty', async () => (await sibling.segments()).length === 0);
      assert.deepEqual(await own.rawTail('tip'), randomPayload('newer', 500));
      await own.die();
    }
  });
});

describe('Adoption of raw tails that are being saved', () => {
  it('leaves what this process is accepting as it comes to one of the same tip', async () => {
    const { own, sibling } = await siblings();
    await sibling.rig.saveRawTail('tip', 'older');
    await sibling.die();
    const gate = deferred<void>();
    own.rig.writeGate = gate.promise;
    const saving = own.rig.saveRawTail('tip', 'newer');
    let reads = 0;
    const files = hookedFiles(platform.files, (call) => {
      if (call === 'read') reads += 1;
    });
    own.adopt({ files });
    await eventually('the older one was read', async () => {
      const before = reads;
      await own.rig.settle();
      return before > 0 && reads === before;
    });
    gate.resolve();
    await saving;
    await eventually('the place is empty', async () => (await sibling.segments()).length === 0);
    assert.deepEqual(await own.rawTail('tip'), randomPayload('newer', 500));
    await own.die();
  });
});

describe('Adoption under pressure', () => {
  it('waits while much is pending, and goes on when it is not', async () => {
    const { own, sibling } = await siblings();
    const chains = [chainOf('one', 3, 1000), chainOf('two', 3, 1000), chainOf('three', 3, 1000)];
    for (const chain of chains) await sibling.rig.save(chain);
    await sibling.die();
    own.adopt({ backlogBytesMax: 7000 });
    await eventually('two are adopted', async () => own.rig.uploads.pending === 6);
    for (let round = 0; round < 5; round += 1) {
      own.rig.clock.advance(1000);
      await own.rig.settle();
    }
    assert.equal(own.rig.uploads.pending, 6);
    assert.equal((await sibling.segments()).length, 1);
    own.rig.faults = () => undefined;
    await eventually('the third follows', async () => {
      own.rig.clock.advance(limits.uploadRetryMostMs);
      await own.rig.settle();
      return own.rig.stored.size === 9;
    });
    await eventually('the place is empty', async () => (await sibling.segments()).length === 0);
    await own.die();
  });

  it('leaves the place as it was when it is stopped, for the next process', async () => {
    const { own, sibling, directory } = await siblings();
    const chains = [chainOf('first', 3, 1000), chainOf('second', 3, 1000)];
    for (const chain of chains) await sibling.rig.save(chain);
    await sibling.die();
    const adoption = own.adopt({ backlogBytesMax: 2000 });
    await eventually('one is adopted', async () => own.rig.uploads.pending === 3);
    await adoption.stop();
    assert.equal((await sibling.segments()).length, 1);
    assert.deepEqual(own.errors, []);
    await own.die();
    const next = await Process.start(directory);
    next.adopt();
    await eventually('both are there', async () => next.rig.uploads.pending === 6);
    for (const chain of chains) await next.assertHas(chain);
    await next.die();
  });

  it('leaves the place as it was when the disk refuses, and says so', async () => {
    const { own, sibling } = await siblings();
    await sibling.rig.save(chainOf('refused', 3, 1000));
    await sibling.die();
    let isBroken = true;
    const files = hookedFiles(platform.files, (call, path) => {
      if (isBroken && call === 'read' && path.includes('segment-')) throw systemError('EIO');
    });
    own.adopt({ files });
    await eventually('it has failed', async () => own.errors.length === 1);
    assert.equal((await sibling.segments()).length, 1);
    isBroken = false;
    own.adopt();
    await eventually('it is adopted', async () => own.rig.uploads.pending === 3);
    await own.die();
  });
});
