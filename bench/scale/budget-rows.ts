import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import type { Dirent } from 'node:fs';
import { join } from 'node:path';
import { isStoreError, systemErrorCode } from '../../src/base/errors.ts';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { connect } from '../../src/client.ts';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';
import { chainOf } from '../chain.ts';
import { mib } from '../measured-limits.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';

const budgets = { memory: 128 * mib, disk: 512 * mib, bucket: 512 * mib } as const;
/** Each tier grows by so much at a time; the bucket by what is saved together. */
const segments = {
  memory: limits.slabBytes,
  disk: Math.min(limits.segmentBytes, budgets.disk / 8),
  bucket: limits.segmentBytes,
} as const;
const batch = { blocks: 16, blockBytes: mib } as const;
const batchesOf = { quick: 48, usual: 128 } as const;

type Place = keyof typeof budgets;

/** What lies on disk, in memory and in the bucket while chains are saved that nobody asks for again. */
export async function budgetRows(directory: string, isQuick: boolean): Promise<readonly Row[]> {
  const home = join(directory, 'endless');
  mkdirSync(home);
  const objects = join(home, 'objects');
  const cache = join(home, 'cache');
  const daemon = new DaemonProcess(['--prefix', 'bench'], {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run') },
    ...{ WMBT_KV_OBJECT_STORE: `file://${encodeURI(objects)}`, WMBT_KV_PUFFER_DIR: cache },
    WMBT_KV_PUFFER_RAM_BYTES: String(budgets.memory),
    WMBT_KV_PUFFER_DISK_BYTES: String(budgets.disk),
    WMBT_KV_OBJECT_STORE_MAX_BYTES: String(budgets.bucket),
  });
  try {
    await daemon.ready();
    const socketPath = join(home, 'run', 'bench.sock');
    const memory = readFileSync(announcementOf(socketPath), 'utf8').trim();
    const places: Readonly<Record<Place, string>> = { memory, disk: cache, bucket: objects };
    const store = await connect(`unix:${socketPath}`);
    try {
      const batches = isQuick ? batchesOf.quick : batchesOf.usual;
      return rowsOf(await saveOnAndOn(store, places, batches), batches);
    } finally {
      await store.close();
    }
  } finally {
    await daemon.stop();
  }
}

/** The most bytes that each place had. */
async function saveOnAndOn(
  store: KvStore,
  places: Readonly<Record<Place, string>>,
  batches: number,
): Promise<Readonly<Record<Place, number>>> {
  const most = { memory: 0, disk: 0, bucket: 0 };
  const payloads = chainOf({ seed: 'endless', ...batch });
  for (let round = 0; round < batches; round += 1) {
    const chain = chainOf({ seed: `endless ${round}`, blocks: batch.blocks, blockBytes: 1 });
    const renamed = chain.map((block, at) => ({ ...block, payload: payloads[at].payload }));
    await saveInTime(store, renamed);
    for (const place of ['memory', 'disk', 'bucket'] as const) {
      most[place] = Math.max(most[place], bytesBelow(places[place]));
    }
  }
  return most;
}

/** A store whose backlog is full says so, and is given time. */
async function saveInTime(store: KvStore, chain: readonly BlockToSave[]): Promise<void> {
  for (;;) {
    try {
      await store.save(chain);
      return;
    } catch (error) {
      if (!isStoreError(error) || error.code !== 'BUSY') throw error;
      // Fails by its own deadline when nothing moves.
      await store.flush();
    }
  }
}

/** Bytes that the system holds for the files below the folder; files and folders come and go meanwhile. */
function bytesBelow(folder: string): number {
  let bytes = 0;
  for (const entry of entriesOf(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += bytesBelow(path);
    else bytes += 512 * (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0);
  }
  return bytes;
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    // A folder that is not there holds nothing.
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

const names: Readonly<Record<Place, string>> = {
  ...{ memory: 'in memory', disk: 'on disk', bucket: 'in the bucket' },
};

function rowsOf(most: Readonly<Record<Place, number>>, batches: number): readonly Row[] {
  const saved = `${(batches * batch.blocks) / 1024} GiB of new prefixes`;
  return (['memory', 'disk', 'bucket'] as const).map((place) =>
    rowOf({
      ...{ what: `${saved}: most bytes ${names[place]}`, unit: 'bytes', samples: [most[place]] },
      against: { what: 'budget', value: budgets[place] },
      ...{ bar: atMost(budgets[place] + segments[place]), barOn: 'measured' },
    }),
  );
}
