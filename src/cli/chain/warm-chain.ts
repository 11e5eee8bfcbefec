import type { BlockKey } from '../../blocks/block-key.ts';
import type { KvStore, MissReason, StoreStats, Tier } from '../../blocks/kv-store.ts';
import type { ResolvedStoreConfig } from '../../config/store-config.ts';
import { openStore } from '../../open-store.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Progress } from '../progress.ts';
import { formatBytes, formatCount } from '../quantity.ts';

export interface TierShare {
  readonly blocks: number;
  readonly bytes: number;
}

/** What came from where. */
export interface Warmed {
  /** Leading blocks that could be had, and why the next could not. */
  readonly had: number;
  readonly reason: MissReason | undefined;
  readonly byTier: Readonly<Record<Tier, TierShare>>;
  readonly stats: StoreStats;
}

export interface WarmOptions {
  readonly platform: Platform;
  readonly config: ResolvedStoreConfig;
  readonly keys: readonly BlockKey[];
  readonly fingerprint: string | undefined;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** Payload bytes of one load: enough for the store to write them at once, and not to refuse any. */
const batchBytes = 80 * 1024 * 1024;
/** The memory tier of this process is only passed through. */
const memoryBytesMax = 256 * 1024 * 1024;
/** Time for one load. Each of its requests has the time that the settings give a load. */
const batchMs = 600_000;
/** Wait for the disk to take a batch, and between two looks at it. */
const writeMs = 10_000;
const lookMs = 20;

/**
 * Loads the chain through a store of this process, so that its disk tier holds it. The memory of the
 * process ends with it.
 */
export async function warmChain(options: WarmOptions): Promise<Warmed> {
  const { config, progress, keys } = options;
  const memoryBytes = Math.min(config.memoryBytes, memoryBytesMax);
  const store = await openStore({ ...config, memoryBytes });
  try {
    progress.begin('loading blocks');
    const warmed = await loadAll(store, options);
    progress.end(`${formatCount(warmed.had)} of ${formatCount(keys.length)} blocks`);
    return warmed;
  } finally {
    await store.close();
  }
}

async function loadAll(store: KvStore, options: WarmOptions): Promise<Warmed> {
  const { keys, fingerprint, signal, progress } = options;
  const byTier = { memory: noShare(), disk: noShare(), object: noShare() };
  let [had, bytes, count] = [0, 0, 1];
  let reason: MissReason | undefined;
  while (had < keys.length && reason === undefined) {
    const before = await store.stats();
    const batch = keys.slice(had, had + count);
    const borrow = await store.load(batch, { fingerprint, signal, deadlineMs: batchMs });
    for (const { tier, payload } of borrow.blocks) {
      byTier[tier].blocks += 1;
      byTier[tier].bytes += payload.length;
      bytes += payload.length;
    }
    had += borrow.blocks.length;
    const fetched = borrow.blocks.filter(({ tier }) => tier === 'object').length;
    reason = borrow.reason;
    borrow.release();
    progress.update({ activity: formatBytes(bytes), done: had, total: keys.length });
    // The first block tells the size of the others.
    count = Math.max(1, Math.floor(batchBytes / Math.max(1, bytes / Math.max(1, had))));
    const isLast = had >= keys.length || reason !== undefined;
    if (!isLast && fetched > 1) await untilWritten(store, before, fetched, options);
  }
  return { had, reason, byTier, stats: await store.stats() };
}

/** Waits until the disk tier has taken what was fetched, for it refuses what it cannot keep up with. */
async function untilWritten(
  store: KvStore,
  { disk: before }: StoreStats,
  fetched: number,
  { platform: { clock }, signal }: WarmOptions,
): Promise<void> {
  const untilMs = clock.nowMs() + writeMs;
  while (clock.nowMs() < untilMs) {
    const { disk } = await store.stats();
    const taken = disk.entries + disk.evictions - before.entries - before.evictions;
    if (taken >= fetched) return;
    await clock.sleep(lookMs, signal);
  }
}

function noShare(): { blocks: number; bytes: number } {
  return { blocks: 0, bytes: 0 };
}
