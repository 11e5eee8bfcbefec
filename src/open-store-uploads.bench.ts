/**
 * What it costs to bring small blocks to a bucket in a directory:
 * `node dist/src/open-store-uploads.bench.js [temporary directory]`. For the directory alone, for a
 * store in this process and for a daemon: blocks a second until all are durable, and processor time
 * of the main thread for one of them, which is the time that nothing else happens in its process.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { chainOf } from '../bench/chain.ts';
import { DaemonProcess } from '../test/cli/daemon-process.ts';
import { mapBounded } from './base/map-bounded.ts';
import { limits } from './blocks/limits.ts';
import type { KvStore } from './blocks/kv-store.ts';
import { connect } from './client/connect.ts';
import { DirectoryObjectStore } from './objectstore/directory-object-store.ts';
import { parseObjectKey } from './objectstore/object-key.ts';
import { openStore } from './open-store.ts';
import { withNative } from './platform/native.ts';
import type { NativeMode } from './platform/native.ts';
import { nodePlatform } from './platform/node-platform.ts';

const kib = 1024;
const perSave = 40;
const rounds = 5;
const sizes = [4 * kib, 64 * kib, 1024 * kib];
const home = await mkdtemp(`${process.argv[2] ?? tmpdir()}/wombatkv-uploads-`);
const seen = new Set<string>();

/** Prepares a round of so many blocks; what it gives resolves when all of them are durable. */
type Round = (round: number) => () => Promise<void>;

try {
  for (const native of ['auto', 'off'] as const) {
    for (const blockBytes of sizes) await measureDirectory(blockBytes, native);
    await measureStore(native);
    await measureDaemon(native);
  }
} finally {
  await rm(home, { recursive: true, force: true });
}

async function measureDirectory(blockBytes: number, native: NativeMode): Promise<void> {
  const name = `directory, ${blockBytes / kib} KiB, native ${native}`;
  const platform = withNative(nodePlatform(), native);
  const store = new DirectoryObjectStore(platform, freshPath(name));
  const payload = chainOf({ seed: name, blocks: 1, blockBytes })[0].payload;
  const count = Math.min(1000, (64 * 1024 * kib) / blockBytes);
  await measure(name, process.pid, count, (round) => async () => {
    const numbers = Array.from({ length: count }, (_, index) => index);
    await mapBounded(numbers, limits.uploadsInFlightMax, (number) => {
      const key = `kv/${(number % 256).toString(16)}/${round}-${number}`;
      return store.put(parseObjectKey(key), [payload], { condition: { kind: 'if-absent' } });
    });
  });
  await store.close();
}

async function measureStore(native: NativeMode): Promise<void> {
  const path = freshPath(`store ${native}`);
  const store = await openStore({
    objectStore: `file://${path}/objects`,
    cacheDirectory: `${path}/cache`,
    native,
  });
  await measureSaves(`store, 4 KiB, native ${native}`, store, process.pid);
  await store.close();
}

async function measureDaemon(native: NativeMode): Promise<void> {
  const path = freshPath(`daemon ${native}`);
  const daemon = new DaemonProcess(['--prefix', 'bench'], {
    HOME: path,
    WMBT_KV_RUNTIME_DIR: `${path}/run`,
    WMBT_KV_OBJECT_STORE: `file://${path}/objects`,
    WMBT_KV_PUFFER_DIR: `${path}/cache`,
    ...(native === 'off' ? { WMBT_KV_NATIVE: 'off' } : {}),
  });
  const [url = ''] = await daemon.ready();
  const store = await connect(url);
  await measureSaves(`daemon, 4 KiB, native ${native}`, store, daemon.child.pid ?? 0);
  await store.close();
  await daemon.stop();
}

async function measureSaves(name: string, store: KvStore, pid: number): Promise<void> {
  const saves = 25;
  await measure(name, pid, saves * perSave, (round) => {
    const chains = Array.from({ length: saves }, (_, save) =>
      chainOf({ seed: `${name} ${round} ${save}`, blocks: perSave, blockBytes: 4 * kib }),
    );
    return async () => {
      for (const chain of chains) await store.save(chain);
      await store.flush();
    };
  });
}

/** Medians of all rounds but the first, in which code is compiled and directories are made. */
async function measure(name: string, pid: number, count: number, prepare: Round): Promise<void> {
  const rates: number[] = [];
  const busy: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const save = prepare(round);
    const [startMs, startBusyUs] = [performance.now(), mainThreadUs(pid)];
    await save();
    if (round === 0) continue;
    rates.push((count / (performance.now() - startMs)) * 1000);
    busy.push((mainThreadUs(pid) - startBusyUs) / count);
  }
  const [rate, us] = [median(rates).toFixed(0), median(busy).toFixed(0)];
  console.log(`${name.padEnd(34)} ${rate.padStart(7)} a second ${us.padStart(6)} µs each`);
}

/** Processor time of the main thread of a process so far. */
function mainThreadUs(pid: number): number {
  const [nanoseconds = ''] = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ');
  return Number(nanoseconds) / 1000;
}

function freshPath(name: string): string {
  const path = `${home}/${name.replaceAll(/[^a-z0-9]+/g, '-')}`;
  if (seen.has(path)) throw new RangeError(path);
  seen.add(path);
  return path;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
