import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import type { Deferred } from '../../src/base/deferred.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { limits } from '../../src/blocks/limits.ts';
import type { UploadOrder } from '../../src/blocks/served-store.ts';
import type { CacheEntry } from '../../src/cache/cache-entry.ts';
import { DiskTier } from '../../src/cache/disk-tier.ts';
import { EntryIndex } from '../../src/cache/entry-index.ts';
import { LocalCache } from '../../src/cache/local-cache.ts';
import { SlabMemoryTier } from '../../src/cache/slab-memory-tier.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import { decodeFrameHeader } from '../../src/format/frame.ts';
import type { FrameHeader } from '../../src/format/frame.ts';
import { FaultyObjectStore } from '../../src/objectstore/faulty-object-store.ts';
import type { FaultPicker } from '../../src/objectstore/faulty-object-store.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import type {
  ObjectKey,
  ObjectStore,
  PutOptions,
  PutResult,
} from '../../src/objectstore/object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { Counters } from '../../src/store/counters.ts';
import { ObjectTier } from '../../src/store/object-tier.ts';
import type { Transcoder } from '../../src/store/transcoder.ts';
import { Uploads } from '../../src/store/uploads.ts';
import { factsOf, keyOf } from './cached-payloads.ts';
import type { Chain } from './chains.ts';
import { hookedFiles, systemError } from './hooked-files.ts';
import { ManualClock } from './manual-clock.ts';
import { randomPayload } from './payloads.ts';
import { rawTranscoder } from './raw-transcoder.ts';
import { eventually } from './waiting.ts';

const real = nodePlatform();

/** A put that reached the bucket, in the order of arrival. */
interface RecordedPut {
  readonly header: FrameHeader;
  isDone: boolean;
}

/** Uploads over a bucket in memory whose puts are recorded, a real log, and a clock moved by hand. */
export class UploadRig {
  readonly clock = new ManualClock();
  readonly bucket = new MemoryObjectStore(this.clock);
  readonly puts: RecordedPut[] = [];
  /** Keys of the blocks in the bucket. */
  readonly stored = new Set<BlockKey>();
  faults: FaultPicker = () => undefined;
  /** Set: a put waits for it. */
  gate: Deferred<void> | undefined;
  /** Set: the check of a fetched payload waits for it. */
  decodeGate: Promise<void> | undefined;
  inFlight = 0;
  inFlightMost = 0;
  /** Set: reads of files wait for it, or writes. */
  readGate: Promise<void> | undefined;
  writeGate: Promise<void> | undefined;
  /** True: every read of a file fails. */
  isUnreadable = false;
  readonly catalog = new Catalog(this.clock, real.random);
  readonly counters = new Counters();
  readonly cache: LocalCache;
  readonly objectTier: ObjectTier;
  readonly uploads: Uploads;
  readonly directory: string;

  private constructor(directory: string, index: EntryIndex, disk: DiskTier) {
    this.directory = directory;
    const { clock, catalog, counters } = this;
    const memory = new SlabMemoryTier(1024 * 1024);
    const cache = new LocalCache({ memory, index, disk, clock });
    this.cache = cache;
    const objects = new FaultyObjectStore(this.#recording(), (call) => this.faults(call));
    const common = { cache, catalog, counters, logger: silentLogger };
    const compression = { compress: false, level: 1 };
    const transcoder: Transcoder = {
      ...rawTranscoder,
      decode: async (task) => {
        await this.decodeGate;
        await rawTranscoder.decode(task);
      },
    };
    const parts = { ...common, objects, keyPrefix: 'kv', transcoder, compression, clock };
    this.objectTier = new ObjectTier({ ...parts, readLegacy: 'off', writeFormat: 'v2' });
    const random = { ...real.random, fraction: () => 0.5 };
    const platform = { ...real, clock, random };
    this.uploads = new Uploads({ ...common, platform, objectTier: this.objectTier });
  }

  /** A process on that cache directory, with a bucket of its own. */
  static async open(directory: string): Promise<UploadRig> {
    await real.files.makeDirectory(directory);
    let rig: UploadRig | undefined = undefined;
    const files = hookedFiles(real.files, async (call) => {
      if (call === 'write') await rig?.writeGate;
      if (call !== 'read') return;
      await rig?.readGate;
      if (rig?.isUnreadable === true) throw systemError('EIO');
    });
    const index = new EntryIndex();
    const storeDigest = new Uint8Array(32);
    const log = { files, random: real.random, directory, budgetBytes: 2 ** 26, storeDigest };
    const disk = await DiskTier.open({ ...log, index, logger: silentLogger });
    rig = new UploadRig(directory, index, disk);
    return rig;
  }

  /** Accepts those blocks of the chain that are new here, as one save of the whole chain. */
  async save(chain: Chain): Promise<readonly CacheEntry[]> {
    const payloads = chain.blocks.flatMap(({ key, payload }, saveIndex) => {
      const facts = { ...factsOf('', payload), key };
      return this.cache.find(facts) === undefined ? [{ facts, payload, saveIndex }] : [];
    });
    const entries = await this.cache.accept(payloads, chain.keys);
    this.uploads.enqueue({ entries, chain: chain.keys });
    return entries;
  }

  /** Accepts the blocks from `start` up to `end`, as a part of a save of the whole chain that somebody waits for. */
  async savePart(
    chain: Chain,
    { start, end }: { readonly start: number; readonly end: number },
    order: UploadOrder,
  ): Promise<readonly CacheEntry[]> {
    const payloads = chain.blocks.slice(start, end).map(({ key, payload }, saveIndex) => ({
      ...{ facts: { ...factsOf('', payload), key }, payload, saveIndex },
    }));
    const keys = chain.keys.slice(start);
    const entries = await this.cache.accept(payloads, keys);
    this.uploads.enqueue({ entries, chain: keys, order, countBefore: start, isAwaited: true });
    return entries;
  }

  async saveRawTail(tip: string, version: string): Promise<CacheEntry> {
    const payload = randomPayload(version, 500);
    const facts = factsOf('', payload, { kind: 'raw-tail', key: keyOf(tip) });
    const entries = await this.cache.accept([{ facts, payload, saveIndex: 0 }], []);
    this.uploads.enqueue({ entries, chain: [] });
    return entries[0];
  }

  /** Lets whatever waits only for its turn, or for a file, go on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 30; turn += 1) await this.clock.yield();
  }

  /** Waits until that many uploads have failed and wait for their next attempt. */
  async rest(count: number): Promise<void> {
    await eventually(`${count} uploads have failed`, async () => {
      return this.clock.waiting === count && this.counters.uploadFailures >= count;
    });
    await this.settle();
  }

  /** Waits until that many puts are under way, and for whatever else would begin. */
  async underWay(count: number): Promise<void> {
    await eventually(`${count} puts are under way`, async () => this.inFlight === count);
    await this.settle();
  }

  /** Moves the clock on until nothing is pending. */
  async finish(): Promise<void> {
    await eventually('everything is durable', async () => {
      if (this.clock.waiting > 0) this.clock.advance(limits.uploadRetryMostMs);
      await this.settle();
      return this.uploads.pending === 0;
    });
  }

  /** Flips a bit of the entry's payload in its file. */
  async damage({ disk }: CacheEntry): Promise<void> {
    assert.ok(disk !== undefined);
    const bytes = await readFile(disk.segment.path);
    bytes[disk.offset] ^= 1;
    await writeFile(disk.segment.path, bytes);
  }

  async close(): Promise<void> {
    await this.uploads.stop();
    await this.cache.close();
  }

  /** The bucket, with every put written down and its list of following keys held to the truth. */
  #recording(): ObjectStore {
    const { bucket } = this;
    const put = async (
      key: ObjectKey,
      parts: readonly Uint8Array[],
      options?: PutOptions,
    ): Promise<PutResult> => {
      const header = decodeFrameHeader(parts[0]);
      for (const one of header.following) assert.ok(this.stored.has(one), 'lists what is there');
      const record = { header, isDone: false };
      this.puts.push(record);
      this.inFlight += 1;
      this.inFlightMost = Math.max(this.inFlightMost, this.inFlight);
      try {
        await this.gate?.promise;
        const result = await bucket.put(key, parts, options);
        if (header.kind === 'block') this.stored.add(header.key);
        record.isDone = true;
        return result;
      } finally {
        this.inFlight -= 1;
      }
    };
    return {
      url: bucket.url,
      put,
      get: (key, options) => bucket.get(key, options),
      head: (key, options) => bucket.head(key, options),
      list: (prefix, options) => bucket.list(prefix, options),
      delete: (key, options) => bucket.delete(key, options),
      close: () => bucket.close(),
    };
  }
}
