import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { blake3Hex } from '../../src/base/blake3.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { keyOf } from '../support/cached-payloads.ts';
import { randomPayload } from '../support/payloads.ts';
import { seededRandom } from '../support/random.ts';
import type { Phase, ReportLine } from './accepted.ts';
import { announcedPlatform } from './announced-files.ts';
import { openCrashStore, sharingPlatform } from './crash-store.ts';
import type { Instant, KillOrder } from './killer-thread.ts';

/** What the parent tells a child by its only argument, as JSON. */
export interface SaveJob {
  readonly config: StoreConfig;
  /** Decides what is saved. No two children of a cache directory have the same. */
  readonly seed: string;
  /** What to be killed in. */
  readonly phase: Phase;
  readonly instant: Instant;
  /** Where file systems in memory are, for a store that accepts in shared memory. */
  readonly memoryDirectory?: string | undefined;
}

const job = JSON.parse(process.argv[2] ?? '') as SaveJob;
const random = seededRandom(job.seed);
const cells = new Int32Array(new SharedArrayBuffer(8));
let phases = 0;
let isCommitting = false;
let saves = 0;

const order: KillOrder = { cells, ms: job.instant.ms };
new Worker(new URL('./killer-thread.js', import.meta.url), { workerData: order }).unref();
const { memoryDirectory } = job;
const plain = nodePlatform();
const base = memoryDirectory === undefined ? plain : sharingPlatform(plain, memoryDirectory);
const platform = announcedPlatform(base, { begin, end });
let store = await openCrashStore(job.config, platform);
for (;;) {
  const burst = job.phase === 'close' ? 6 : 12;
  for (let count = 0; count < burst; count += 1) await saveSomething(store);
  if (job.phase === 'upload') {
    await store.flush();
  } else if (job.phase === 'close') {
    begin('close');
    await store.close();
    end('close');
    store = await openCrashStore(job.config, platform);
  }
}

/** Saves a chain, a tail or a raw tail, and tells what was accepted. */
async function saveSomething(to: KvStore): Promise<void> {
  saves += 1;
  const name = `${job.seed}/${saves}`;
  try {
    const kind = random.below(6);
    begin('save');
    if (kind === 0) await saveTail(to, name);
    else if (kind === 1) await saveRawTail(to, name);
    else await saveChain(to, name);
  } catch (error) {
    // The backlog is full: what was not accepted is not told.
    if (!isStoreError(error, 'BUSY')) throw error;
    end('save');
    await sleep(3);
  }
}

async function saveChain(to: KvStore, name: string): Promise<void> {
  const blocks = Array.from({ length: 1 + random.below(5) }, (_, index) => ({
    key: keyOf(`${name}/${index}`),
    payload: randomPayload(`${name}/${index}`, random.below(40_000)),
    tokens: 128,
  }));
  const lines = blocks.map(
    ({ key, payload }) => ({ kind: 'block', key, digest: blake3Hex(payload) }) as const,
  );
  await to.save(blocks);
  tellAccepted(lines);
}

async function saveTail(to: KvStore, name: string): Promise<void> {
  const tip = keyOf(name);
  const tokens = Array.from({ length: 1 + random.below(100) }, () => random.word() | 0);
  const payload = randomPayload(name, random.below(20_000));
  const digest = blake3Hex(payload);
  await to.saveTail({ tip, tokens, payload });
  tellAccepted([{ kind: 'tail', tip, tokens, digest }]);
}

/** Raw tails are few and replaced again and again, by every child of the cache directory. */
async function saveRawTail(to: KvStore, name: string): Promise<void> {
  const tip = keyOf(`tip/${random.below(3)}`);
  const payload = randomPayload(name, random.below(20_000));
  const digest = blake3Hex(payload);
  say([{ kind: 'try', tip, digest }]);
  await to.saveRawTail(tip, payload);
  tellAccepted([{ kind: 'raw', tip, digest }]);
}

/** A save is over for its caller when the caller knows. */
function tellAccepted(lines: readonly ReportLine[]): void {
  say(lines);
  end('save');
  if (isCommitting) end('commit');
}

function begin(phase: Phase): void {
  // A batch that does not fit its segment goes on in the next one.
  if (phase === 'write' && isCommitting) end('commit');
  if (phase === 'commit') isCommitting = true;
  say([{ kind: 'begin', phase }]);
  if (phase !== job.phase) return;
  phases += 1;
  if (phases !== job.instant.phases) return;
  Atomics.store(cells, 0, 1);
  Atomics.notify(cells, 0);
}

function end(phase: Phase): void {
  if (phase === 'commit') isCommitting = false;
  say([{ kind: 'end', phase }]);
}

function say(lines: readonly ReportLine[]): void {
  writeSync(1, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}
