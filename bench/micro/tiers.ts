import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { BlockToSave, KvStore, Tier } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { mib } from '../measured-limits.ts';
import { tierRows } from './tier-rows.ts';
import type { TierSamples } from './tier-rows.ts';
import type { ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';

/** A batch: what one prompt saves. */
const batchBlocks = 40;
const chainBlocks = 80;
const sizes = [mib, 16 * 1024];
/** What the store prepares when it is opened is done by then. */
const restMs = 200;
/** Calls that take microseconds are timed so many at once. */
const repeats = 200;

/** The store in this process, tier by tier. */
export const tiers: Scenario = {
  name: 'tiers',
  about: 'the store in process: save, lookup, load from each tier, against plain files',
  run,
};

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { isQuick, limits: measuredLimits, progress } = context;
  const rounds = context.rounds ?? (isQuick ? 3 : 7);
  const rows = [];
  for (const blockBytes of sizes) {
    progress.begin(`tiers, ${batchBlocks} blocks of ${blockBytes / 1024} KiB`);
    const samples: TierSamples[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      const sample = await runRound(context, round, blockBytes);
      // The first round warms the code up.
      if (round > 0) samples.push(sample);
    }
    progress.end('done');
    rows.push(
      ...tierRows({ blocks: batchBlocks, blockBytes, chainBlocks }, samples, measuredLimits),
    );
  }
  const notes = [
    'Random bytes, which do not compress. The store is opened anew for disk and object store; all ' +
      'files are in the page cache. Plain files: one for each block, written and read one after ' +
      'another, with neither checksums nor an index. The object store is a directory.',
  ];
  return {
    tables: [{ name: 'tiers', title: 'The store in process', rows, notes }],
    settings: { rounds, batchBlocks, chainBlocks },
    versions: {},
    voidReasons: [],
  };
}

async function runRound(
  { directory }: BenchContext,
  round: number,
  blockBytes: number,
): Promise<TierSamples> {
  const place = join(directory, `tiers-${blockBytes}-${round}`);
  const blocks = chainOf({ seed: `${blockBytes} ${round}`, blocks: chainBlocks, blockBytes });
  const batch = blocks.slice(0, batchBlocks);
  const keys = batch.map(({ key }) => key);
  const chain = blocks.map(({ key }) => key);
  try {
    const first = await openAt(place);
    const saveMs = await timed(() => first.save(batch));
    await first.save(blocks.slice(batchBlocks), { parent: keys[batchBlocks - 1] });
    // Uploads would take turns with what is measured next.
    await first.flush();
    const againMs = (await timed(() => repeatSave(first, batch))) / repeats;
    const lookupMs = (await timed(() => repeatLookup(first, chain))) / repeats;
    await loadFrom(first, keys, undefined);
    const residentMs = (await timed(() => repeatLoad(first, keys))) / repeats;
    await first.close();
    const restarted = await openAt(place);
    const diskMs = await loadFrom(restarted, keys, 'disk');
    await restarted.close();
    rmSync(join(place, 'cache'), { recursive: true });
    const wiped = await openAt(place);
    const objectMs = await loadFrom(wiped, keys, 'object');
    await wiped.close();
    return { saveMs, againMs, lookupMs, residentMs, diskMs, objectMs, ...plainFiles(place, batch) };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

async function openAt(place: string): Promise<KvStore> {
  const store = await openStore({
    objectStore: `file://${encodeURI(join(place, 'objects'))}`,
    cacheDirectory: join(place, 'cache'),
  });
  await sleep(restMs);
  return store;
}

/** Milliseconds of one load of all blocks, which all must come from the tier. */
async function loadFrom(
  store: KvStore,
  keys: readonly BlockKey[],
  tier: Tier | undefined,
): Promise<number> {
  const startMs = performance.now();
  const borrow = await store.load(keys);
  const ms = performance.now() - startMs;
  const { blocks, reason } = borrow;
  const others = blocks.filter((block) => tier !== undefined && block.tier !== tier).length;
  borrow.release();
  if (blocks.length === keys.length && others === 0) return ms;
  throw new Error(
    `${blocks.length} of ${keys.length} loaded, ${others} not from ${tier}; ${reason}`,
  );
}

async function repeatSave(store: KvStore, batch: readonly BlockToSave[]): Promise<void> {
  for (let i = 0; i < repeats; i += 1) {
    const { saved } = await store.save(batch);
    if (saved !== 0) throw new Error(`${saved} blocks were saved again`);
  }
}

async function repeatLookup(store: KvStore, chain: readonly BlockKey[]): Promise<void> {
  for (let i = 0; i < repeats; i += 1) {
    const { matched } = await store.lookup(chain);
    if (matched !== chain.length) throw new Error(`lookup matched ${matched} of ${chain.length}`);
  }
}

async function repeatLoad(store: KvStore, keys: readonly BlockKey[]): Promise<void> {
  for (let i = 0; i < repeats; i += 1) await loadFrom(store, keys, 'memory');
}

function plainFiles(
  place: string,
  batch: readonly BlockToSave[],
): Pick<TierSamples, 'plainWriteMs' | 'plainReadMs'> {
  const directory = join(place, 'plain');
  mkdirSync(directory);
  const startMs = performance.now();
  for (const { key, payload } of batch) writeFileSync(join(directory, key), payload);
  const writtenMs = performance.now();
  for (const { key } of batch) readFileSync(join(directory, key));
  return { plainWriteMs: writtenMs - startMs, plainReadMs: performance.now() - writtenMs };
}
