import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { CClient } from '../one-host/c-client.ts';
import { Samples } from '../one-host/samples.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { batchBlocks } from './batches.ts';
import type { BatchSize } from './batches.ts';
import type { BenchDaemon } from './bench-daemon.ts';
import type { Direction, SocketLimit } from './socket-limit.ts';

/** How a program in C reaches a daemon on another host; `near` is TCP with a near-cache. */
export const cDoors = ['tcp', 'http', 'near'] as const;
export type CDoor = (typeof cDoors)[number];

/** What an engine's environment is to be. */
export type Settings = Readonly<Record<string, string>>;

export interface CRig {
  /** Compiled from bench/one-host/client.c. */
  readonly program: string;
  readonly environments: Readonly<Record<CDoor, Settings>>;
  readonly limit: SocketLimit;
}

const bars: Readonly<Record<Exclude<CDoor, 'near'>, number>> = { tcp: 0.85, http: 0.75 };
/** As of blocks that lie in shared memory of the same host. */
const nearUsMax = 20;
/** More than every batch that is there at a time. */
const nearBytes = 1024 ** 3;
const gets = 9;
const lookupMsMax = 10_000;
/** Three ways in turns, and uploads between them, take seconds. */
const roundsMax = 5;

/** The environments of clients of the daemon, which have their own files in the folder. */
export function cEnvironments(daemon: BenchDaemon, folder: string): CRig['environments'] {
  const home = join(folder, 'c-clients');
  mkdirSync(join(home, 'run'), { recursive: true, mode: 0o700 });
  const common = {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run'), WMBT_KV_NODE: process.execPath },
    PATH: process.env['PATH'] ?? '',
    // A lookup that waits for what loads beside it is to be measured, not cut off.
    WMBT_KV_LOOKUP_DEADLINE_MS: String(lookupMsMax),
  };
  const tcp = { ...common, WMBT_KV_TCP_ADDR: new URL(daemon.urls.tcp).host };
  return {
    tcp,
    http: { ...common, WMBT_KV_HTTP_ADDR: new URL(daemon.urls.http).host },
    near: { ...tcp, WMBT_KV_NEAR_CACHE_BYTES: String(nearBytes) },
  };
}

/** One size of batches by every way in turns, beside T; the first round warms up. */
export async function measureBatchesInC(
  { program, environments, limit }: CRig,
  { name, blockBytes }: BatchSize,
  rounds: number,
): Promise<readonly Row[]> {
  const bytes = batchBlocks * blockBytes;
  const samples = new Samples();
  const clients = new Map<CDoor, CClient>();
  try {
    for (const door of cDoors) {
      const client = CClient.start([program], environments[door]);
      clients.set(door, client);
      await client.order(`fill ${batchBlocks} ${blockBytes}`);
    }
    for (let round = 0; round <= Math.min(rounds, roundsMax); round += 1) {
      const keep = (what: string, value: number): void => {
        if (round > 0) samples.keep(what, value);
      };
      for (const direction of ['get', 'put'] as const) {
        keep(`T ${direction}`, bytes / (await limit.move(direction, bytes)) / 1e6);
      }
      for (const [door, client] of clients) {
        const [putNs] = await client.order('put 1');
        // What comes back is compared; uploads would take turns with what is measured next.
        await client.order('settle');
        const [getNs] = await client.order(`get ${gets}`);
        keep(`${door} get`, door === 'near' ? getNs / 1000 : bytes / getNs);
        keep(`${door} put`, bytes / putNs);
        keep(`${door} again`, (await client.order('again 9'))[0] / 1e6);
        await client.order('drop');
      }
    }
  } finally {
    for (const client of clients.values()) await client.stop();
  }
  return rowsOf(samples, name);
}

function rowsOf(samples: Samples, name: string): readonly Row[] {
  const moved = (door: Exclude<CDoor, 'near'>, direction: Direction, title: string): Row =>
    rowOf({
      ...{ what: `${name}, ${door}: ${title}`, unit: 'GB/s' },
      samples: samples.of(`${door} ${direction}`),
      against: { what: `T, ${direction}`, value: samples.of(`T ${direction}`) },
      bar: atLeast(bars[door]),
    });
  const again = (door: CDoor): Row =>
    rowOf({
      ...{ what: `${name}, ${door}: put, stored already`, unit: 'ms' },
      samples: samples.of(`${door} again`),
    });
  return [
    ...(['tcp', 'http'] as const).flatMap((door) => [
      moved(door, 'get', 'get'),
      moved(door, 'put', 'put, new'),
      again(door),
    ]),
    rowOf({
      ...{ what: `${name}, tcp: get again, from the near-cache`, unit: 'µs' },
      ...{ samples: samples.of('near get'), bar: atMost(nearUsMax) },
    }),
    rowOf({
      ...{ what: `${name}, tcp with a near-cache: put, new`, unit: 'GB/s' },
      samples: samples.of('near put'),
      against: { what: 'T, put', value: samples.of('T put') },
    }),
  ];
}

/** The table of all sizes. */
export function tableInC(rows: readonly Row[]): Table {
  return {
    name: 'between-hosts-c',
    title: `Between hosts: ${batchBlocks} blocks from C`,
    rows,
    notes: [
      'Through the fifteen functions of ABI 1.0 in a process of one thread, in rounds with T. A put is accepted when it ' +
        'returns; its blocks are read back and compared outside the time, and deleted before the next one. A get ends ' +
        'with all bytes in memory of the client, checked. The near-cache is that of the process which the ' +
        'library starts as the daemon’s client: its blocks are borrowed where they lie in memory of the host.',
    ],
  };
}
