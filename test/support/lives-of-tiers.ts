import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { CacheEntry } from '../../src/cache/cache-entry.ts';
import type { PayloadFacts } from '../../src/cache/cache-entry.ts';
import type { StoreIdentity } from '../../src/cache/cache-directory.ts';
import { storeDigestOf } from '../../src/cache/cache-owner.ts';
import { DiskTier } from '../../src/cache/disk-tier.ts';
import { EntryIndex } from '../../src/cache/entry-index.ts';
import type { PinnedPayload } from '../../src/cache/local-cache.ts';
import { auditMemory } from '../../src/cache/memory-audit.ts';
import type { MemoryAudit } from '../../src/cache/memory-audit.ts';
import { newSharedDirectory } from '../../src/cache/shared-directories.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { openLocalTiers } from '../../src/store/local-tiers.ts';
import type { LocalTiers } from '../../src/store/local-tiers.ts';
import { factsOf, keyOf, tenant } from './cached-payloads.ts';
import { withHookedFiles } from './hooked-files.ts';
import type { FileHook } from './hooked-files.ts';
import { ManualClock } from './manual-clock.ts';
import { randomPayload } from './payloads.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

const mib = 1024 * 1024;
const memoryBytes = 4 * mib;
const identity: StoreIdentity = { url: 'memory:', keyPrefix: 'kv' };

/** One life of a store's local tiers. */
export interface Life extends LocalTiers {
  readonly directory: string | undefined;
  readonly clock: ManualClock;
}

/** Lives of one store's local tiers that accept in memory, one after another, in a directory of their own. */
export class LivesOfTiers {
  /** Events that they told. */
  readonly lines: string[] = [];
  readonly #lives: Life[] = [];
  readonly #temporary: TemporaryDirectory;

  private constructor(temporary: TemporaryDirectory) {
    this.#temporary = temporary;
  }

  static async begin(): Promise<LivesOfTiers> {
    return new LivesOfTiers(await makeTemporaryDirectory('accepting'));
  }

  async end(): Promise<void> {
    for (const life of this.#lives) {
      await this.die(life);
      // What a killed process holds the system lets go of.
      await life.cache.close();
    }
    await this.#temporary.remove();
  }

  /** The place in the cache directory. */
  place(): string {
    return join(this.#temporary.path, 'cache/v1/0');
  }

  platformOf(isNative: boolean, clock: ManualClock): Platform {
    const { sharedMemory, ...platform } = withNative(nodePlatform(), 'auto');
    const host = { ...platform.host, memoryDirectory: join(this.#temporary.path, 'memory') };
    // A lock would outlive the death of a store whose process lives on.
    const common = { ...platform, host, clock, locks: undefined };
    return isNative ? { ...common, sharedMemory } : common;
  }

  /** `hook`: what happens before each call of its files. */
  async open(
    isNative = true,
    of: StoreIdentity = identity,
    hook: FileHook = () => undefined,
  ): Promise<Life> {
    const clock = new ManualClock();
    const platform = withHookedFiles(this.platformOf(isNative, clock), hook);
    const tell = (event: string): void => void this.lines.push(event);
    const logger = { ...silentLogger, info: tell, error: tell };
    const sharedDirectory = await newSharedDirectory(platform);
    const cacheDirectory = join(this.#temporary.path, 'cache');
    const settings = { cacheDirectory, memoryBytes, diskBytes: 64 * mib, sharedDirectory };
    const parts = { platform, logger, identity: of, settings, reservedBytes: 0 };
    const tiers = await openLocalTiers({ ...parts, onEvict: () => undefined });
    const life = { ...tiers, directory: sharedDirectory, clock };
    this.#lives.push(life);
    return life;
  }

  /** Writes the payload to the log of the place, where nobody lives, as whoever died there might have. */
  async writeToLog(
    entry: CacheEntry,
    payload: Uint8Array,
    chain: readonly BlockKey[],
  ): Promise<void> {
    const { files, random } = nodePlatform();
    const log = { files, random, directory: this.place(), storeDigest: storeDigestOf(identity) };
    const parts = { ...log, budgetBytes: 64 * mib, index: new EntryIndex(), logger: silentLogger };
    const tier = await DiskTier.open(parts);
    const { facts, sequence, saveId, saveIndex } = entry;
    const written = new CacheEntry(facts, { sequence, saveId, saveIndex, isPending: true });
    await tier.write([{ entry: written, payload }], chain);
    await tier.close();
  }

  /** Leaves everything as a process that is killed leaves it. */
  async die({ own }: Life): Promise<void> {
    await own?.release();
  }

  /** Saves blocks of a chain of that name. */
  save(
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
  async assertPending(life: Life, name: string, count = 3, bytes = 5000): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const key = keyOf(`${name}/${index}`);
      const entry = life.cache.find({ namespace: tenant, kind: 'block', key });
      assert.ok(entry?.isPending, `${name}/${index} is pending`);
      const pinned = life.cache.pinResident(entry) ?? (await life.cache.readFromDisk(entry));
      assertBytes(pinned, randomPayload(`${name}/${index}`, bytes));
      pinned?.extent.unpin();
    }
  }

  /** What commands find in memory while nobody lives in the place. */
  audit(): Promise<MemoryAudit> {
    const platform = this.platformOf(false, new ManualClock());
    const place = { platform, directory: this.place(), identity };
    return auditMemory({ ...place, isInUse: false, isDeep: true });
  }

  hasBlock({ cache }: Life, name: string): boolean {
    return cache.find({ namespace: tenant, kind: 'block', key: keyOf(name) }) !== undefined;
  }

  async filesOfPlace(pattern: RegExp): Promise<readonly string[]> {
    return (await readdir(this.place())).filter((name) => pattern.test(name));
  }
}

function assertBytes(pinned: PinnedPayload | undefined, payload: Uint8Array): void {
  assert.ok(Buffer.from(pinned?.payload ?? []).equals(payload), 'the payload is as it was saved');
}

/** Changes bits of a file: at that offset, or so far behind the beginning of the header with that key. */
export async function flip(path: string, at: number, key?: string, bits = 0x10): Promise<void> {
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
  bytes[start + at] ^= bits;
  await writeFile(path, bytes);
}
