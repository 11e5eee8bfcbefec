import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { blake3Hex } from '../../src/base/blake3.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { keyOf } from '../support/cached-payloads.ts';
import { randomPayload } from '../support/payloads.ts';
import { seededRandom } from '../support/random.ts';
import type { Phase, ReportLine } from './accepted.ts';

/** What the parent tells a child by its only argument, as JSON. */
export interface SaveJob {
  readonly config: StoreConfig;
  /** Decides what is saved. No two children of a cache directory have the same. */
  readonly seed: string;
  /** What to spend the time with. */
  readonly phase: Phase;
}

const job = JSON.parse(process.argv[2] ?? '') as SaveJob;
const random = seededRandom(job.seed);
let saves = 0;

let store = await openStore(job.config);
for (;;) {
  say({ kind: 'phase', phase: job.phase === 'evict' ? 'evict' : 'save' });
  const burst = job.phase === 'save' || job.phase === 'evict' ? 1 : 12;
  for (let count = 0; count < burst; count += 1) await saveSomething(store);
  if (job.phase === 'evict') await tellEvictions(store);
  if (job.phase === 'upload') {
    say({ kind: 'phase', phase: 'upload' });
    await store.flush();
  } else if (job.phase === 'close') {
    say({ kind: 'phase', phase: 'close' });
    await store.close();
    say({ kind: 'phase', phase: 'none' });
    store = await openStore(job.config);
  }
}

/** Saves a chain, a tail or a raw tail, and tells what was accepted. */
async function saveSomething(to: KvStore): Promise<void> {
  saves += 1;
  const name = `${job.seed}/${saves}`;
  try {
    const kind = random.below(6);
    if (kind === 0) await saveTail(to, name);
    else if (kind === 1) await saveRawTail(to, name);
    else await saveChain(to, name);
  } catch (error) {
    // The backlog is full: what was not accepted is not told.
    if (!isStoreError(error, 'BUSY')) throw error;
    await sleep(3);
  }
}

async function saveChain(to: KvStore, name: string): Promise<void> {
  const blocks = Array.from({ length: 1 + random.below(5) }, (_, index) => ({
    key: keyOf(`${name}/${index}`),
    payload: randomPayload(`${name}/${index}`, random.below(40_000)),
    tokens: 128,
  }));
  await to.save(blocks);
  for (const { key, payload } of blocks) say({ kind: 'block', key, digest: blake3Hex(payload) });
}

async function saveTail(to: KvStore, name: string): Promise<void> {
  const tip = keyOf(name);
  const tokens = Array.from({ length: 1 + random.below(100) }, () => random.word() | 0);
  const payload = randomPayload(name, random.below(20_000));
  await to.saveTail({ tip, tokens, payload });
  say({ kind: 'tail', tip, tokens, digest: blake3Hex(payload) });
}

/** Raw tails are few and replaced again and again, by every child of the cache directory. */
async function saveRawTail(to: KvStore, name: string): Promise<void> {
  const tip = keyOf(`tip/${random.below(3)}`);
  const payload = randomPayload(name, random.below(20_000));
  const digest = blake3Hex(payload);
  say({ kind: 'try', tip, digest });
  await to.saveRawTail(tip, payload);
  say({ kind: 'raw', tip, digest });
}

async function tellEvictions(of: KvStore): Promise<void> {
  say({ kind: 'evictions', count: (await of.stats()).disk.evictions });
}

function say(line: ReportLine): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}
