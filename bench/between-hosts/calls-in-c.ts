import { CClient } from '../one-host/c-client.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { batchBlocks } from './batches.ts';
import type { Settings } from './batches-in-c.ts';
import type { BenchDaemon } from './bench-daemon.ts';

const doors = ['tcp', 'http'] as const;
const blockBytes = 1024 * 1024;
const clients = 16;
const callsWhileAway = 20;
const p99MsMax = 10;
const missMsMax = 50;

export interface CallsRig {
  /** Compiled from bench/between-hosts/clients.c. */
  readonly program: string;
  readonly environments: Readonly<Record<(typeof doors)[number], Settings>>;
  readonly isQuick: boolean;
}

/**
 * Many clients in C, small calls beside them, and a daemon that is killed and started again: gives the one that runs
 * then.
 */
export async function measureCallsInC(
  { program, environments, isQuick }: CallsRig,
  daemon: BenchDaemon,
): Promise<{ readonly table: Table; readonly daemon: BenchDaemon }> {
  const groups = new Map<string, CClient>();
  const rows: Row[] = [];
  try {
    for (const door of doors) {
      const group = CClient.start([program], environments[door]);
      groups.set(door, group);
      await group.order(`fill ${batchBlocks} ${blockBytes}`);
      rows.push(...(await measureLoads(group, door, isQuick)));
    }
    await daemon.kill();
    const away = new Map<string, number>();
    for (const [door, group] of groups) {
      away.set(door, (await group.order(`away ${callsWhileAway}`))[0] / 1e6);
    }
    const next = await daemon.startAgain();
    for (const [door, group] of groups) {
      rows.push(
        rowOf({
          what: `${door}: a miss while the daemon is away, longest of ${callsWhileAway}`,
          ...{ unit: 'ms', samples: [away.get(door) ?? Number.NaN], bar: atMost(missMsMax) },
        }),
        rowOf({
          ...{ what: `${door}: the first call when it is back`, unit: 'ms' },
          // Who fails here fails the benchmark.
          samples: [(await group.order('back'))[0] / 1e6],
        }),
      );
    }
    return { table: tableOf(rows), daemon: next };
  } finally {
    for (const group of groups.values()) await group.stop();
  }
}

async function measureLoads(group: CClient, door: string, isQuick: boolean): Promise<Row[]> {
  const calls = isQuick ? 100 : 500;
  const [, loading] = await group.order(`beside 1 ${calls}`);
  const [, saving] = await group.order(`saving 1 ${isQuick ? 50 : 200}`);
  const restMs = isQuick ? 500 : 2000;
  const [oneBytes, oneNs] = await group.order(`load 1 ${restMs}`);
  const [allBytes, allNs] = await group.order(`load ${clients} ${restMs}`);
  const p99 = { unit: 'ms' as const, bar: atMost(p99MsMax) };
  const lookup = `${door}: lookup of ${batchBlocks} while batches are`;
  return [
    rowOf({ ...p99, what: `${lookup} loaded, p99`, samples: [loading / 1e6] }),
    rowOf({ ...p99, what: `${lookup} saved, p99`, samples: [saving / 1e6] }),
    rowOf({
      ...{ what: `${door}: ${clients} clients load, together`, unit: 'GB/s' },
      samples: [allBytes / allNs],
      ...{ against: { what: 'one client', value: oneBytes / oneNs }, bar: atLeast(1) },
    }),
  ];
}

function tableOf(rows: readonly Row[]): Table {
  return {
    name: 'between-hosts-calls-c',
    title: 'Between hosts: small calls, many clients, a daemon that goes away, from C',
    rows,
    notes: [
      'Clients are threads of one process, with a handle and so with connections of its own each; batches are of ' +
        '40 blocks of 1 MiB.',
    ],
  };
}
