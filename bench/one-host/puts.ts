import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import { medianOf } from '../statistics.ts';

const mib = 1024 * 1024;
const batchBlocks = 40;
const batchBytes = batchBlocks * mib;
const smallBytes = 4096;
/** Saves of 4 KiB that are timed together. */
const smallSaves = 200;
/** Longer than a daemon rests before it writes to its log what it accepted in memory. */
const restMs = 1500;

/** Memory that the daemon of these rows may have: the first batches take new memory, later ones use it again. */
export const putMemoryBytes = 256 * mib;

type Samples = Map<string, number[]>;

/**
 * Puts of a client in Node on the daemon's host. Uploads have ended, and the log has everything, before the next
 * one is timed.
 */
export async function measurePuts(socketPath: string, rounds: number): Promise<Table> {
  const store = await connect(`shm:${socketPath}`);
  const samples: Samples = new Map();
  const keep = (what: string, value: number): void => {
    samples.set(what, [...(samples.get(what) ?? []), value]);
  };
  try {
    const payloads = chainOf({ seed: 'puts', blocks: batchBlocks, blockBytes: mib });
    const growing = Math.floor(putMemoryBytes / batchBytes) - 1;
    for (let round = 0; round < growing + 1 + rounds; round += 1) {
      keep('M', copyRate(payloads));
      const batch = newBatch(payloads, `batch ${round}`);
      const rate = batchBytes / (await timed(() => store.save(batch))) / 1e6;
      // The first connects, and the one between the two has some of both.
      if (round > 0 && round < growing) keep('growing', rate);
      if (round > growing) keep('warm', rate);
      await settle(store);
      keep('again', (await timed(() => store.save(batch))) * 1000);
    }
    const small = chainOf({ seed: 'small', blocks: 1, blockBytes: smallBytes })[0].payload;
    for (let round = 0; round <= rounds; round += 1) {
      const one = await smallRate(store, small, { count: 1, seed: `one ${round}` });
      const many = await smallRate(store, small, { count: batchBlocks, seed: `many ${round}` });
      if (round > 0) keep('one', one);
      if (round > 0) keep('many', many);
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

async function settle(store: KvStore): Promise<void> {
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
  const calls = Array.from({ length: smallSaves }, (_, call) =>
    chainOf({ seed: `${seed} ${call}`, blocks: count, blockBytes: 1 }).map((block) => ({
      ...block,
      payload,
    })),
  );
  const ms = await timed(async () => {
    for (const blocks of calls) await store.save(blocks);
  });
  await settle(store);
  return Math.round((smallSaves * count * 1000) / ms);
}

function tableOf(samples: Samples): Table {
  const of = (what: string): number[] => samples.get(what) ?? [];
  const against = { what: 'M', value: medianOf(of('M')) };
  const put = `put of ${batchBlocks} × 1 MiB`;
  const rate = { unit: 'GB/s' as const, against };
  const rows = [
    rowOf({ what: `${put}, memory used before`, ...rate, samples: of('warm'), bar: atLeast(1.1) }),
    rowOf({ what: `${put}, memory new`, ...rate, samples: of('growing'), bar: atLeast(0.7) }),
    rowOf({ what: `${put}, stored already`, unit: 'µs', samples: of('again'), bar: atMost(100) }),
    rowOf({
      ...{ what: 'puts of 4 KiB a second, one in a call', unit: 'count', samples: of('one') },
      bar: atLeast(30_000),
    }),
    rowOf({
      ...{ what: 'puts of 4 KiB a second, 40 in a call', unit: 'count', samples: of('many') },
      bar: atLeast(30_000),
    }),
  ];
  return { name: 'one-host-puts', title: 'One host: puts of a client in Node', rows, notes };
}

const notes = [
  'Through `shm:`: the client copies payloads of 64 KiB and more into memory that the daemon lends, and they are ' +
    'accepted there; shorter ones go over the Unix socket. What is stored already the client finds in shared memory ' +
    'itself. M copies the batch within the client. Before the next put is timed uploads have ended and the log has ' +
    'what came before, so both processes have rested for a second and a half.',
];
