import { setTimeout as sleep } from 'node:timers/promises';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, RowParts, Table } from '../report.ts';
import { CClient } from './c-client.ts';
import { putSettings, startDaemon } from './daemon-place.ts';
import type { Stops } from './daemon-place.ts';
import type { PutRounds } from './puts.ts';
import { Samples } from './samples.ts';

const mib = 1024 * 1024;
const batchBlocks = 40;

interface Size {
  readonly name: string;
  readonly blockBytes: number;
}

/** Those that batches of 1 MiB leave out. */
const sizes: readonly Size[] = [
  { name: '16 KiB', blockBytes: 16 * 1024 },
  { name: '1.76 MB', blockBytes: 1_760_000 },
  { name: '4 MiB', blockBytes: 4 * mib },
];

/** Batches that stay, in memory that is new; the first of them connects, and does not count. */
const growingBatches = 4;
/** Large batches take long, and vary less. */
const warmRoundsMax = 5;
const memoryBytesMin = 256 * mib;
/** A median of copies of so many bytes in all, and of five at least. */
const copiedBytes = 200 * mib;
/** Batches that the memory has room for: more than stay, so that none is evicted. */
const memoryBatches = 8;

/** Batches of a client in C of a daemon on its host, of other sizes than 1 MiB. */
export async function measureBatchSizes(
  directory: string,
  isQuick: boolean,
  { rounds, restMs }: PutRounds,
): Promise<Table> {
  const program = await CClient.build(directory);
  const warmRounds = Math.min(rounds, warmRoundsMax);
  const rows: Row[] = [];
  for (const size of isQuick ? sizes.slice(0, 1) : sizes) {
    const stops: Stops = [];
    try {
      rows.push(
        ...(await measureSize({ directory, program, stops }, size, { warmRounds, restMs })),
      );
    } finally {
      for (const stop of stops.reverse()) await stop();
    }
  }
  return { name: 'one-host-sizes', title: 'One host: other sizes of blocks from C', rows, notes };
}

async function measureSize(
  { directory, program, stops }: SizeRig,
  { name, blockBytes }: Size,
  { warmRounds, restMs }: { readonly warmRounds: number; readonly restMs: number },
): Promise<readonly Row[]> {
  const bytes = batchBlocks * blockBytes;
  const memoryBytes = Math.max(memoryBytesMin, memoryBatches * bytes);
  const place = `size-${blockBytes}`;
  const settings = putSettings(directory, place, memoryBytes);
  const { environment } = await startDaemon(directory, place, stops, settings);
  const client = CClient.start([program], environment);
  stops.push(() => client.stop());
  await client.order(`fill ${batchBlocks} ${blockBytes}`);
  const samples = new Samples();
  const copies = Math.max(5, Math.round(copiedBytes / bytes));
  const put = async (phase: string): Promise<void> => {
    samples.keep(`${phase} M`, bytes / (await client.order(`copy ${copies}`))[0]);
    samples.keep(phase, bytes / (await client.order('put 1'))[0]);
    // What comes back is compared, and uploads end.
    await client.order('settle');
  };
  for (let batch = 0; batch < growingBatches; batch += 1) {
    await put(batch === 0 ? 'first' : 'growing');
    // The log gets what stays.
    await sleep(restMs);
  }
  for (let round = 0; round <= warmRounds; round += 1) {
    await client.order('drop');
    await put(round === 0 ? 'first' : 'warm');
    if (round === 0) continue;
    samples.keep('again', (await client.order('again 9'))[0] / 1000);
    samples.keep('get', (await client.order('get 2000'))[0] / 1000);
    samples.keep('out', bytes / (await client.order(`out ${copies}`))[0]);
  }
  return rowsOf(samples, name);
}

interface SizeRig {
  readonly directory: string;
  readonly program: string;
  readonly stops: Stops;
}

function rowsOf(samples: Samples, name: string): readonly Row[] {
  const batch = `${batchBlocks} × ${name}`;
  const rate = (
    what: string,
    kept: string,
    phase: string,
    bar: NonNullable<RowParts['bar']>,
  ): Row =>
    rowOf({
      ...{ what, unit: 'GB/s', samples: samples.of(kept), bar },
      against: { what: 'M', value: samples.of(`${phase} M`) },
    });
  const time = (what: string, kept: string, usMax: number): Row =>
    rowOf({ what, unit: 'µs', samples: samples.of(kept), bar: atMost(usMax) });
  return [
    time(`get of ${batch}, borrowed and released: p50`, 'get', 20),
    rate(`get of ${batch}, copied out`, 'out', 'warm', atLeast(0.9)),
    rate(`put of ${batch}, memory used before`, 'warm', 'warm', atLeast(1.1)),
    rate(`put of ${batch}, memory new`, 'growing', 'growing', atLeast(0.7)),
    time(`put of ${batch}, stored already`, 'again', 100),
  ];
}

const notes = [
  'As the rows of 1 MiB, with a daemon for each size. M copies the batch within the client, in the same rounds. Memory is new while ' +
    'batches stay; it was used before where the last batch was deleted first. What is put is read back and compared, and ' +
    'uploaded, outside the time.',
];
