import { rmSync, mkdirSync, readSync, openSync, closeSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { ratesOf, timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { chainOf } from '../chain.ts';
import { medianOf } from '../statistics.ts';
import { doors } from './bench-daemon.ts';
import type { Door } from './bench-daemon.ts';
import type { RedisPeer } from './redis-peer.ts';
import type { SocketLimit } from './socket-limit.ts';

/** Blocks of a batch, as the bars name it. */
export const batchBlocks = 40;

/** A batch that is in memory of the same process: the bar of one host. */
const nearUsMax = 100;

export interface BatchSize {
  readonly name: string;
  readonly blockBytes: number;
}

export interface BatchRig {
  readonly stores: Readonly<Record<Door, KvStore>>;
  /** A client over TCP with a near-cache that holds every batch. */
  readonly near: KvStore;
  readonly limits: Readonly<Record<'unix' | 'tcp', SocketLimit>>;
  readonly redis: RedisPeer | undefined;
  /** A directory in memory, for plain files; undefined where there is none. */
  readonly filesDirectory: string | undefined;
}

/** Milliseconds by the name of what was done, one for each round. */
type Samples = Map<string, number[]>;

/** Every door, every limit and every peer in turns, one batch each; the first round warms up. */
export async function measureBatches(
  rig: BatchRig,
  { name, blockBytes }: BatchSize,
  rounds: number,
): Promise<Table> {
  const samples: Samples = new Map();
  const payloads = chainOf({ seed: 'between hosts', blocks: batchBlocks, blockBytes });
  for (let round = 0; round <= rounds; round += 1) {
    const keep = (what: string, ms: number): void => {
      if (round > 0) samples.set(what, [...(samples.get(what) ?? []), ms]);
    };
    const bytes = batchBlocks * blockBytes;
    for (const kind of ['tcp', 'unix'] as const) {
      keep(`${kind} limit get`, await rig.limits[kind].move('get', bytes));
      keep(`${kind} limit put`, await rig.limits[kind].move('put', bytes));
    }
    for (const door of doors) {
      const batch = newBatch(payloads, `${name}/${door}/${round}`);
      await measureDoor(rig.stores[door], batch, (what, ms) => keep(`${door} ${what}`, ms));
    }
    const batch = newBatch(payloads, `${name}/near/${round}`);
    await measureNear(rig.near, batch, (ms) => keep('near', ms));
    await measurePeers(rig, payloads, keep);
  }
  return {
    name: `between-hosts-${blockBytes}`,
    title: `Between hosts: ${batchBlocks} blocks of ${name}`,
    rows: rowsOf(samples, batchBlocks * blockBytes),
    notes: blockBytes === 1024 * 1024 ? notes : [],
  };
}

const notes = [
  'Client and daemon are two processes of one machine, over loopback. T and U: two processes that ' +
    'move the bytes over TCP and over a Unix socket and do nothing else. The rows of the store ' +
    'pay for a checksum at each end. A get comes from the memory of the daemon; a put is accepted: ' +
    'in its memory, which outlives it, or written to its log when half of that is taken. The ratio of a peer says how many times as fast WombatKV is by the same ' +
    'kind of socket, and below 1 it has lost. Redis keeps a put in memory and checks nothing; files are read and written ' +
    'without a socket, and nothing of them is checked either.',
];

/** The same bytes under keys that nobody has saved before. */
function newBatch(payloads: readonly BlockToSave[], seed: string): readonly BlockToSave[] {
  const chain = chainOf({ seed, blocks: payloads.length, blockBytes: 1 });
  return chain.map(({ key, tokens, position }, index) => ({
    ...{ key, tokens, position },
    payload: payloads[index].payload,
  }));
}

async function measureDoor(
  store: KvStore,
  batch: readonly BlockToSave[],
  keep: (what: string, ms: number) => void,
): Promise<void> {
  const keys = batch.map(({ key }) => key);
  keep('put', await timed(() => store.save(batch)));
  // Uploads would take turns with what is measured next.
  await store.flush();
  keep('put again', await timed(() => store.save(batch)));
  await load(store, batch);
  keep('get', await timed(() => load(store, batch)));
  await store.delete({ kind: 'blocks', keys });
}

/** Milliseconds of the second load by one client, which its near-cache answers. */
async function measureNear(
  store: KvStore,
  batch: readonly BlockToSave[],
  keep: (ms: number) => void,
): Promise<void> {
  await store.save(batch);
  await load(store, batch);
  keep(await timed(() => load(store, batch)));
  await store.flush();
  await store.delete({ kind: 'blocks', keys: batch.map(({ key }) => key) });
}

async function load(store: KvStore, batch: readonly BlockToSave[]): Promise<void> {
  const borrow = await store.load(batch.map(({ key }) => key));
  if (borrow.blocks.length !== batch.length) throw new Error(`a load stopped: ${borrow.reason}`);
  borrow.release();
}

async function measurePeers(
  { redis, filesDirectory }: BatchRig,
  batch: readonly BlockToSave[],
  keep: (what: string, ms: number) => void,
): Promise<void> {
  const names = batch.map(({ key }) => key);
  const payloads = batch.map(({ payload }) => payload);
  const into = payloads.map(({ length }) => new Uint8Array(length).fill(1));
  if (redis !== undefined) {
    for (const kind of ['unix', 'tcp'] as const) {
      keep(`redis ${kind} put`, await timed(() => redis[kind].set(names, payloads)));
      keep(`redis ${kind} get`, await timed(() => redis[kind].get(names, into)));
      await redis[kind].clear();
    }
  }
  if (filesDirectory === undefined) return;
  const paths = names.map((name) => join(filesDirectory, name));
  mkdirSync(filesDirectory, { recursive: true });
  const write = (): void => paths.forEach((path, at) => writeFileSync(path, payloads[at]));
  keep('files put', timedNow(write));
  const read = (): void => paths.forEach((path, at) => readInto(path, into[at]));
  keep('files get', timedNow(read));
  rmSync(filesDirectory, { recursive: true });
}

function readInto(path: string, memory: Uint8Array): void {
  const file = openSync(path, 'r');
  for (let at = 0; at < memory.length;) at += readSync(file, memory, at, memory.length - at, at);
  closeSync(file);
}

function timedNow(work: () => void): number {
  const startMs = performance.now();
  work();
  return performance.now() - startMs;
}

function rowsOf(samples: Samples, bytes: number): readonly Row[] {
  const rates = (what: string): number[] => ratesOf(samples.get(what) ?? [], bytes);
  const limit = (kind: 'tcp' | 'unix', direction: string): Reference => ({
    what: `${kind === 'tcp' ? 'T' : 'U'}, ${direction}`,
    value: medianOf(rates(`${kind} limit ${direction}`)),
  });
  const rowsOfDoor = (door: Door): readonly Row[] => {
    const kind = door === 'unix' ? 'unix' : 'tcp';
    const bar = barOf(door);
    const moved = (direction: string, title: string): Row =>
      rowOf({
        ...{ what: `${door}: ${title}`, unit: 'GB/s', samples: rates(`${door} ${direction}`) },
        against: limit(kind, direction),
        ...(bar === undefined ? {} : { bar: atLeast(bar) }),
      });
    const again = samples.get(`${door} put again`) ?? [];
    return [
      moved('get', 'get'),
      moved('put', 'put, new'),
      rowOf({ what: `${door}: put, stored already`, unit: 'ms', samples: again }),
    ];
  };
  const peers = [
    ...(['unix', 'tcp'] as const).map((door) => ({ door, peer: `redis ${door}` })),
    { door: 'unix' as const, peer: 'files' },
  ].filter(({ peer }) => samples.has(`${peer} get`));
  // How many times as fast as the peer the store is, by the same kind of socket: below 1 it has lost.
  const rowsOfPeer = ({ door, peer }: (typeof peers)[number]): readonly Row[] =>
    ['get', 'put'].map((direction) =>
      rowOf({
        ...{ what: `${peerNames[peer]}: ${direction}`, unit: 'GB/s', ratio: 'speed-up' },
        samples: rates(`${peer} ${direction}`),
        against: { what: `WombatKV, ${door}`, value: rates(`${door} ${direction}`) },
        bar: atLeast(1),
      }),
    );
  const near = rowOf({
    ...{ what: 'tcp: get again, from the near-cache', unit: 'µs' },
    ...{ samples: (samples.get('near') ?? []).map((ms) => 1000 * ms), bar: atMost(nearUsMax) },
  });
  return [...doors.flatMap(rowsOfDoor), near, ...peers.flatMap(rowsOfPeer)];
}

interface Reference {
  readonly what: string;
  readonly value: number;
}

const peerNames: Readonly<Record<string, string>> = {
  'redis unix': 'Redis over a Unix socket',
  'redis tcp': 'Redis over TCP',
  files: 'files in memory',
};

/** The bars for other hosts; a Unix socket has its bars on one host. */
function barOf(door: Door): number | undefined {
  if (door === 'unix') return undefined;
  return door === 'tcp' ? 0.85 : 0.75;
}
