import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';
import { doors } from './bench-daemon.ts';
import type { BenchDaemon, Door } from './bench-daemon.ts';
import { batchBlocks } from './batches.ts';

const blockBytes = 1024 * 1024;
const lookupBlocks = 80;
const clients = 16;
/** Processes that share the clients: more of them measure the machine's scheduler. */
const clientProcesses = 4;

/** What one client sees while others move batches, and what many move together. */
export async function measureUnderLoad(
  daemon: BenchDaemon,
  isQuick: boolean,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const door of doors) {
    const store = await connect(daemon.urls[door]);
    try {
      rows.push(...(await measureDoor(store, daemon, door, isQuick)));
    } finally {
      await store.close();
    }
  }
  return rows;
}

async function measureDoor(
  store: KvStore,
  daemon: BenchDaemon,
  door: Door,
  isQuick: boolean,
): Promise<readonly Row[]> {
  const chain = chainOf({ seed: 'lookup', blocks: lookupBlocks, blockBytes: 1024 });
  const keys = chain.map(({ key }) => key);
  await store.save(chain);
  await store.save(chainOf({ seed: 'bulk', blocks: batchBlocks, blockBytes }));
  await store.flush();
  const calls = isQuick ? 100 : 500;
  const idle = await lookups(store, keys, calls);
  const url = daemon.urls[door];
  const loading = await beside(url, 'load', 1, () => lookups(store, keys, calls));
  const saving = await beside(url, 'save', 1, () => lookups(store, keys, isQuick ? 50 : 200));
  await store.flush();
  const restMs = isQuick ? 500 : 2000;
  const one = await beside(url, 'load', 1, () => sleep(restMs));
  const many = await beside(url, 'load', clients, () => sleep(restMs));
  return [
    rowOf({ what: `${door}: lookup of 80, nothing else`, unit: 'ms', samples: idle }),
    rowOf({
      ...{ what: `${door}: lookup of 80 while batches are loaded, p99`, unit: 'ms' },
      ...{ samples: [percentile(loading.result, 0.99)], bar: atMost(10) },
    }),
    rowOf({
      ...{ what: `${door}: lookup of 80 while batches are saved, p99`, unit: 'ms' },
      ...{ samples: [percentile(saving.result, 0.99)], bar: atMost(10) },
    }),
    rowOf({
      ...{ what: `${door}: ${clients} clients load, together`, unit: 'GB/s' },
      samples: [many.rate],
      against: { what: 'one client', value: one.rate },
      bar: atLeast(1),
    }),
  ];
}

async function lookups(
  store: KvStore,
  keys: Parameters<KvStore['lookup']>[0],
  calls: number,
): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let call = 0; call < calls; call += 1) {
    samples.push(await timed(() => store.lookup(keys, { deadlineMs: 10_000 })));
    await sleep(2);
  }
  return samples;
}

/** Does the task while so many clients move batches; gives what they moved, in GB/s, too. */
async function beside<Result>(
  url: string,
  verb: 'load' | 'save',
  count: number,
  task: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly rate: number }> {
  const processes = Math.min(count, clientProcesses);
  const shares = Array.from({ length: processes }, () => String(count / processes));
  const children = shares.map((share) => startClients(url, verb, share));
  const outputs = children.map(linesOf);
  try {
    for (const lines of outputs) await lines.next();
    const result = await task();
    for (const child of children) child.stdin?.end();
    let rate = 0;
    for (const lines of outputs) {
      const { bytes, ms } = JSON.parse((await lines.next()).value ?? '{}') as Moved;
      rate += bytes / ms / 1e6;
    }
    return { result, rate };
  } finally {
    await Promise.all(children.map(ended));
  }
}

interface Moved {
  readonly bytes: number;
  readonly ms: number;
}

let starts = 0;

function startClients(url: string, verb: 'load' | 'save', count: string): ChildProcess {
  const module = fileURLToPath(new URL('./client-child.js', import.meta.url));
  starts += 1;
  // What is loaded is one chain; what is saved is new for every process.
  const seed = verb === 'load' ? 'bulk' : `saved/${starts}`;
  const args = [module, url, verb, seed, count, String(batchBlocks), String(blockBytes)];
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
}

function linesOf({ stdout }: ChildProcess): AsyncIterator<string, undefined> {
  if (stdout === null) throw new Error('a client has no output');
  return createInterface({ input: stdout })[Symbol.asyncIterator]();
}

async function ended(child: ChildProcess): Promise<void> {
  child.stdin?.end();
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
