import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import type { ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { measureAway } from './away.ts';
import { measureBatches } from './batches.ts';
import type { BatchRig, BatchSize } from './batches.ts';
import { BenchDaemon, doors } from './bench-daemon.ts';
import type { Door } from './bench-daemon.ts';
import { measureClientsInC } from './clients-in-c.ts';
import { RedisPeer } from './redis-peer.ts';
import { SocketLimit } from './socket-limit.ts';
import { measureUnderLoad } from './under-load.ts';

/** The daemon and its clients over Unix socket, TCP and HTTP, against what sockets can do. */
export const betweenHosts: Scenario = {
  name: 'between-hosts',
  about: 'a daemon over Unix socket, TCP and HTTP, against plain sockets, Redis and files',
  run,
};

const mib = 1024 * 1024;
const sizes: readonly BatchSize[] = [
  { name: '1 MiB', blockBytes: mib },
  { name: '1.76 MB', blockBytes: 1_760_000 },
  { name: '4 MiB', blockBytes: 4 * mib },
  { name: '16 KiB', blockBytes: 16 * 1024 },
];

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { isQuick, progress, directory } = context;
  const place = join(directory, 'between-hosts');
  mkdirSync(place);
  let daemon = await BenchDaemon.start(place);
  const stops: (() => Promise<void>)[] = [];
  try {
    const rig = await makeRig(place, daemon, stops);
    const tables: Table[] = [];
    const measured = isQuick ? [sizes[0], sizes[3]] : sizes;
    // Large batches take long, and vary less.
    const roundsOf = ({ blockBytes }: BatchSize): number =>
      context.rounds ?? (isQuick ? 2 : blockBytes > mib ? 5 : 9);
    for (const size of measured) {
      progress.begin(`between hosts, 40 blocks of ${size.name}`);
      tables.push(await measureBatches(rig, size, roundsOf(size)));
      progress.end('done');
    }
    progress.begin('between hosts, small calls while batches move');
    const underLoad = await measureUnderLoad(daemon, isQuick);
    progress.end('done');
    const away = await measureAway(daemon);
    daemon = away.daemon;
    tables.push({
      name: 'between-hosts-calls',
      title: 'Between hosts: small calls, many clients, a daemon that goes away',
      rows: [...underLoad, ...away.rows],
      notes: [],
    });
    const limit = rig.limits.tcp;
    const inC = await measureClientsInC(context, {
      ...{ place, daemon, limit, sizes: measured, roundsOf },
    });
    daemon = inC.daemon;
    tables.push(...inC.tables);
    const redis = rig.redis?.version;
    return {
      tables,
      settings: { limits: SocketLimit.isNative ? 'C to C' : 'Node to Node' },
      versions: redis === undefined ? {} : { redis },
      voidReasons: [],
    };
  } finally {
    for (const stop of stops.reverse()) await stop();
    await daemon.stop();
  }
}

/** What is measured, and how to stop each of it. */
async function makeRig(
  place: string,
  daemon: BenchDaemon,
  stops: (() => Promise<void>)[],
): Promise<BatchRig> {
  const limits = { unix: SocketLimit.start('unix', place), tcp: SocketLimit.start('tcp', place) };
  stops.push(
    () => limits.unix.stop(),
    () => limits.tcp.stop(),
  );
  const redis = await RedisPeer.start(place);
  if (redis !== undefined) stops.push(() => redis.stop());
  const connected: [Door, KvStore][] = [];
  for (const door of doors) {
    const store = await connect(daemon.urls[door]);
    stops.push(() => store.close());
    connected.push([door, store]);
  }
  const near = await connect(daemon.urls.tcp, { nearCacheBytes: 1024 * mib });
  stops.push(() => near.close());
  const stores = Object.fromEntries(connected) as Record<Door, KvStore>;
  const filesDirectory = existsSync('/dev/shm')
    ? `/dev/shm/wombatkv-bench-${process.pid}`
    : undefined;
  if (filesDirectory !== undefined) {
    // Whoever ends this process from outside ends what lies in memory too.
    process.once('exit', () => rmSync(filesDirectory, { recursive: true, force: true }));
  }
  return { stores, near, limits, redis, filesDirectory };
}
