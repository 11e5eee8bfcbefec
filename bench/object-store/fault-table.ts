import { join } from 'node:path';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore, MissReason } from '../../src/blocks/kv-store.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { mib } from '../measured-limits.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import { DelayRelay } from './delay-relay.ts';
import { saveChain } from './place.ts';
import type { Place } from './place.ts';
import { openOn } from './restore-client.ts';

const lookupDeadlineMs = 250;
/** Shorter than the usual ten seconds, so that a bucket of 5 s a request is past it. */
const loadDeadlineMs = 2000;
/** How late a timer may be on a machine that others use. */
const lateMs = 50;
const slowMs = 5000;
/** Longer than anything waits: who connects is never answered. */
const neverMs = 3_600_000;
const diskBytes = 64 * mib;
/** Three quarters of the disk's budget, by decision of the store. */
const backlogBytes = (diskBytes * 3) / 4;
const shape = { seed: 'faults', blocks: 8, blockBytes: 64 * 1024 };
const saveBlocks = 4;

interface BadBucket {
  readonly name: string;
  /** Undefined: nobody listens at its port. */
  readonly delayMs: number | undefined;
}

const badBuckets: readonly BadBucket[] = [
  { name: `${slowMs / 1000} s a request`, delayMs: slowMs / 2 },
  { name: 'connects and is silent', delayMs: neverMs },
  { name: 'gone', delayMs: undefined },
];

/** What a call costs while the bucket is slow or gone. */
export async function faultTable(context: BenchContext, near: Place): Promise<Table> {
  await saveChain(near.access, join(context.directory, 'faults-save'), shape);
  const rows: Row[] = [];
  for (const bad of badBuckets) {
    context.progress.begin(`bucket: ${bad.name}`);
    rows.push(...(await rowsOf(context, near, bad)));
    context.progress.end('done');
  }
  return { name: 'object-store-faults', title: 'A bucket that is slow or gone', rows, notes };
}

const notes = [
  `The deadline of a lookup is ${lookupDeadlineMs} ms, that of a load was set to ${loadDeadlineMs} ms; bars allow a ` +
    `timer to be ${lateMs} ms late. A miss tells its reason. Blocks of 1 MiB are saved until the store says BUSY; with ` +
    `a disk budget of ${diskBytes / mib} MiB its backlog may hold ${backlogBytes / mib} MiB. Then the bucket is well ` +
    'again, and everything accepted must come to it.',
];

async function rowsOf(context: BenchContext, near: Place, bad: BadBucket): Promise<Row[]> {
  const targetPort = Number(new URL(near.access.endpoint).port);
  let relay = await DelayRelay.start({ targetPort, delayMs: bad.delayMs ?? 0 });
  const { port } = relay;
  if (bad.delayMs === undefined) await relay.stop();
  const directory = join(context.directory, `faults-${badBuckets.indexOf(bad)}`);
  const access = { ...near.access, endpoint: `http://127.0.0.1:${port}` };
  const store = await openOn(access, directory, { diskBytes, loadDeadlineMs });
  try {
    const reads = await readRows(store, bad.name);
    const writes = await writeRows(store, bad.name);
    if (bad.delayMs !== undefined) await relay.stop();
    relay = await DelayRelay.start({ targetPort, delayMs: 0, port });
    await store.flush({ deadlineMs: 60_000 });
    return [...reads, ...writes];
  } finally {
    await store.close();
    await relay.stop();
  }
}

async function readRows(store: KvStore, name: string): Promise<Row[]> {
  const keys = chainOf(shape).map(({ key }) => key);
  const rows: Row[] = [];
  const add = (what: string, ms: number, most: number): void => {
    const bar = atMost(most + lateMs);
    rows.push(rowOf({ what: `${name}: ${what}`, unit: 'ms', samples: [ms], bar }));
  };
  let matched = 0;
  let reason: MissReason | undefined;
  const lookupMs = await timed(async () => ({ matched, reason } = await store.lookup(keys)));
  if (matched > 0) throw new Error(`${name}: a lookup found ${matched} blocks`);
  add(`lookup, a miss (${reason})`, lookupMs, lookupDeadlineMs);
  let loaded = 0;
  const loadMs = await timed(async () => {
    const borrow = await store.load(keys);
    ({ reason } = borrow);
    loaded = borrow.blocks.length;
    borrow.release();
  });
  if (loaded > 0) throw new Error(`${name}: a load brought ${loaded} blocks`);
  add(`load, a miss (${reason})`, loadMs, loadDeadlineMs);
  return rows;
}

async function writeRows(store: KvStore, name: string): Promise<Row[]> {
  const times: number[] = [];
  let accepted = 0;
  for (;;) {
    const chain = chainOf({ seed: `${name} ${accepted}`, blocks: saveBlocks, blockBytes: mib });
    try {
      times.push(await timed(() => store.save(chain)));
    } catch (error) {
      if (!isStoreError(error, 'BUSY')) throw error;
      break;
    }
    accepted += saveBlocks * mib;
    if (accepted > 2 * backlogBytes) throw new Error(`${name}: ${accepted} bytes and never BUSY`);
  }
  return [
    rowOf({
      ...{ what: `${name}: accepted before BUSY`, unit: 'bytes', samples: [accepted] },
      bar: atLeast(backlogBytes - saveBlocks * mib),
    }),
    rowOf({ what: `${name}: one save of ${saveBlocks} MiB`, unit: 'ms', samples: times }),
  ];
}
