import { isStoreError, messageOf, StoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import type { UploadOrder } from '../blocks/served-store.ts';
import { claimAbandoned } from '../cache/cache-directory.ts';
import type { OwnedDirectory, StoreIdentity } from '../cache/cache-directory.ts';
import type { CacheEntry, PayloadFacts } from '../cache/cache-entry.ts';
import { DiskTier } from '../cache/disk-tier.ts';
import { EntryIndex } from '../cache/entry-index.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import { MemoryTakeover } from '../cache/memory-takeover.ts';
import type { PendingSave } from '../cache/recovered-entries.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { Platform } from '../platform/platform.ts';
import type { BackgroundTask } from './background-task.ts';
import type { Counters } from './counters.ts';
import type { Uploads } from './uploads.ts';

export interface AdoptionParts {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly cache: LocalCache;
  readonly uploads: Uploads;
  readonly counters: Counters;
  readonly cacheDirectory: string;
  readonly identity: StoreIdentity;
  readonly storeDigest: Uint8Array;
  /** This process's own directory. */
  readonly own: OwnedDirectory;
  /** Adoption waits while more than this is pending. */
  readonly backlogBytesMax: number;
}

/** Bytes taken over at a time. */
const adoptedBytesMax = 32 * 1024 * 1024;
/** Wait between looks at a full backlog. */
const backlogWaitMs = 500;

/**
 * Takes over what dead processes of this host left pending: copies it into this process's own log,
 * from where it is uploaded, and then empties their directories.
 */
export class Adoption implements BackgroundTask {
  readonly #parts: AdoptionParts;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  /** Begins at once. */
  constructor(parts: AdoptionParts) {
    this.#parts = parts;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new StoreError('CLOSED', 'the store was closed'));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { platform, cacheDirectory, identity, own, logger } = this.#parts;
    try {
      await claimAbandoned(platform, cacheDirectory, identity, own, (directory) =>
        this.#adopt(directory),
      );
    } catch (error) {
      // A directory that cannot be taken over now waits for the next process.
      if (isStoreError(error, 'CLOSED')) return;
      logger.error('adoption: pending payloads of another process stay behind', {
        reason: messageOf(error),
      });
    }
  }

  async #adopt(directory: OwnedDirectory): Promise<void> {
    const { platform, logger, counters, storeDigest } = this.#parts;
    const tier = await DiskTier.open({
      files: platform.files,
      random: platform.random,
      memory: platform.memory,
      directory: directory.path,
      budgetBytes: Number.MAX_SAFE_INTEGER,
      storeDigest,
      index: new EntryIndex(),
      logger,
    });
    counters.damagedRecords += tier.damagedRecords + noteDamagedOwner(directory, logger);
    try {
      const place = { place: directory.path, storeDigest, tier };
      counters.damagedRecords += await MemoryTakeover.run({ platform, logger, ...place });
      for (const save of tier.takePending()) await this.#adoptSave(tier, save);
      await tier.empty();
      logger.info('adoption: took over a directory', { directory: directory.path });
    } finally {
      await tier.close();
    }
  }

  /** From the last block to the first, so that a save shows from its head only when it is whole. */
  async #adoptSave(tier: DiskTier, save: PendingSave): Promise<void> {
    const order: UploadOrder = { after: Promise.resolve() };
    let chunk: CacheEntry[] = [];
    let bytes = 0;
    for (const entry of [...save.entries].reverse()) {
      chunk.push(entry);
      bytes += entry.facts.length;
      if (bytes < adoptedBytesMax) continue;
      await this.#adoptChunk(tier, chunk.reverse(), save, order);
      chunk = [];
      bytes = 0;
    }
    if (chunk.length > 0) await this.#adoptChunk(tier, chunk.reverse(), save, order);
  }

  async #adoptChunk(
    tier: DiskTier,
    entries: readonly CacheEntry[],
    save: PendingSave,
    order: UploadOrder,
  ): Promise<void> {
    const { platform, cache, uploads, counters, logger } = this.#parts;
    await this.#awaitRoom();
    const found = [];
    for (const { facts, disk, saveIndex } of entries) {
      if (disk === undefined || this.#isKnown(facts)) continue;
      const payload = needMemory(platform.memory, disk.length);
      if (await tier.read(disk, payload)) found.push({ facts, payload, saveIndex });
      else {
        counters.corrupt += 1;
        logger.error('adoption: a pending payload is damaged and lost', { key: facts.key });
      }
    }
    // Calls of this process may have saved some of them while they were read, or while those wait for their turn.
    const adopted = await cache.accept(found, save.chain, (facts) => !this.#isKnown(facts));
    if (adopted.length === 0) return;
    uploads.enqueue({ entries: adopted, chain: save.chain, order });
  }

  /**
   * True when what this process has serves as well. A raw tail that it only found on disk or fetched
   * may be older than the one that is pending there.
   */
  #isKnown(facts: PayloadFacts): boolean {
    const { cache } = this.#parts;
    const present = cache.find(facts);
    if (present === undefined || facts.kind !== 'raw-tail') return present !== undefined;
    return present.isPending || cache.isOfThisProcess(present);
  }

  async #awaitRoom(): Promise<void> {
    const { platform, uploads, backlogBytesMax } = this.#parts;
    this.#stopping.signal.throwIfAborted();
    while (uploads.pendingBytes > backlogBytesMax / 2) {
      await platform.clock.sleep(backlogWaitMs, this.#stopping.signal, 'idle');
    }
  }
}

/** Says that a place was taken without its owner file, if so; how many files that is. */
export function noteDamagedOwner(
  { path, wasOwnerDamaged }: OwnedDirectory,
  logger: Logger,
): number {
  if (!wasOwnerDamaged) return 0;
  logger.error(
    'cache directory: an owner file is damaged; nobody lives there and its blocks are ours',
    {
      directory: path,
    },
  );
  return 1;
}
