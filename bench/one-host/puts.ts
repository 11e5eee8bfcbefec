import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import { Samples } from './samples.ts';

const mib = 1024 * 1024;
const batchBlocks = 40;
const batchBytes = batchBlocks * mib;
const smallBytes = 4096;
/** Blocks of 4 KiB whose saves are timed together. */
const smallBlocks = 1000;
/** How puts are measured. */
export interface PutRounds {
  readonly rounds: number;
  /** What is waited after uploads have ended, before the next put is timed. */
  readonly restMs: number;
}

/** Longer than a daemon rests before it writes to its log what it accepted in memory. */
export const usualRestMs = 1500;

/** Memory that the daemon of these rows may have: the first batches take new memory, later ones use it again. */
export const putMemoryBytes = 256 * mib;

/** Rounds in which batches go to memory that is new. */
export const growingRounds = Math.floor(putMemoryBytes / batchBytes) - 1;

/** What memory the batch of the round goes to: the first connects, and the one between the two has some of both. */
export function phaseOf(round: number): 'growing' | 'warm' | undefined {
  if (round > growingRounds) return 'warm';
  return round > 0 && round < growingRounds ? 'growing' : undefined;
}

/**
 * Puts of a client in Node on the daemon's host. Uploads have ended, and the log has everything, before the next
 * one is timed.
 */
export async function measurePuts(
  socketPath: string,
  { rounds, restMs }: PutRounds,
): Promise<Table> {
  const store = await connect(`shm:${socketPath}`);
  const samples = new Samples();
  const keep = samples.keep.bind(samples);
  try {
    const payloads = chainOf({ seed: 'puts', blocks: batchBlocks, blockBytes: mib });
    for (let round = 0; round < growingRounds + 1 + rounds; round += 1) {
      keep('M', copyRate(payloads));
      const batch = newBatch(payloads, `batch ${round}`);
      const rate = batchBytes / (await timed(() => store.save(batch))) / 1e6;
      const phase = phaseOf(round);
      if (phase !== undefined) keep(phase, rate);
      await settle(store, restMs);
      keep('again', (await timed(() => store.save(batch))) * 1000);
    }
    const small = chainOf({ seed: 'small', blocks: 1, blockBytes: smallBytes })[0].payload;
    for (let round = 0; round <= rounds; round += 1) {
      const one = await smallRate(store, small, { count: 1, seed: `one ${round}` });
      await settle(store, restMs);
      const many = await smallRate(store, small, { count: batchBlocks, seed: `many ${round}` });
      await settle(store, restMs);
      if (round > 0) keep('put one', one);
      if (round > 0) keep('put many', many);
    }
  } finally {
    await store.close();
  }
  return tableOf(samples);
}

/** Bytes a nanosecond of one copy of the batch to memory that was touched before. */
function copyRate(payloads: readonly BlockToSave[]): number {
  target ??= new Uint8Array(batchBytes).fill(1);
  const into = target;
  const startMs = performance.now();
  payloads.forEach(({ payload }, index) => into.set(payload, index * mib));
  return batchBytes / (performance.now() - startMs) / 1e6;
}

let target: Uint8Array | undefined;

async function settle(store: KvStore, restMs: number): Promise<void> {
  await store.flush();
  await new Promise((resolve) => setTimeout(resolve, restMs));
}

/** The same bytes under keys that nobody has saved before. */
function newBatch(payloads: readonly BlockToSave[], seed: string): readonly BlockToSave[] {
  const chain = chainOf({ seed, blocks: payloads.length, blockBytes: 1 });
  return chain.map((block, index) => ({ ...block, payload: payloads[index].payload }));
}

async function smallRate(
  store: KvStore,
  payload: Uint8Array,
  { count, seed }: { readonly count: number; readonly seed: string },
): Promise<number> {
  const calls = Array.from({ length: smallBlocks / count }, (_, call) =>
    chainOf({ seed: `${seed} ${call}`, blocks: count, blockBytes: 1 }).map((block) => ({
      ...block,
      payload,
    })),
  );
  const ms = await timed(async () => {
    for (const blocks of calls) await store.save(blocks);
  });
  return Math.round((smallBlocks * 1000) / ms);
}

/** What is asked of the rows, by client. */
export interface PutBars {
  readonly one: number;
  readonly many: number;
}

/** The rows of a client's puts. */
export function putRows(samples: Samples, bars: PutBars): Row[] {
  const against = { what: 'M', value: medianOf(samples.of('M')) };
  const put = `put of ${batchBlocks} × 1 MiB`;
  const rate = { unit: 'GB/s' as const, against };
  const each = 'puts of 4 KiB a second';
  const warm = samples.of('warm');
  const growing = samples.of('growing');
  return [
    rowOf({ what: `${put}, memory used before`, ...rate, samples: warm, bar: atLeast(1.1) }),
    rowOf({ what: `${put}, memory new`, ...rate, samples: growing, bar: atLeast(0.7) }),
    rowOf({
      ...{ what: `${put}, stored already`, unit: 'µs', samples: samples.of('again') },
      bar: atMost(100),
    }),
    rowOf({
      ...{ what: `${each}, one in a call`, unit: 'count', samples: samples.of('put one') },
      bar: atLeast(bars.one),
    }),
    rowOf({
      ...{ what: `${each}, 40 in a call`, unit: 'count', samples: samples.of('put many') },
      bar: atLeast(bars.many),
    }),
  ];
}

function tableOf(samples: Samples): Table {
  const rows = putRows(samples, { one: 30_000, many: 30_000 });
  return { name: 'one-host-puts', title: 'One host: puts of a client in Node', rows, notes };
}

const notes = [
  'Through `shm:`: the client leaves saves in a ring of the daemon’s memory, where they are accepted: short payloads in it, ' +
    'longer ones in memory that the daemon lends ahead of need. What is stored already the client finds in shared memory ' +
    'itself. M copies the batch within the client. Before the next put is timed uploads have ended and the log has ' +
    'what came before, so both processes have rested for a second and a half.',
];
