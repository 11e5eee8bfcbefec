import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { writeCatalogFile } from '../../src/cache/catalog-file.ts';
import { storeDigestOf } from '../../src/cache/cache-owner.ts';
import type { Catalog } from '../../src/catalog/catalog.ts';
import { connect } from '../../src/client.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';
import { buildCProgram, hasCompiler } from '../c-program.ts';
import { timed } from '../measure.ts';
import { mib } from '../measured-limits.ts';
import { CClient } from '../one-host/c-client.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';
import { residentBytes } from './daemon-memory.ts';
import { keyOf, tipNumber } from './known-keys.ts';

const chainBlocks = 80;
/** On a machine that does other things a lookup may take longer than usual. */
const lookupMsMax = 10_000;
const lookups = { quick: 200, usual: 2000 } as const;

export interface KnownParts {
  readonly platform: Platform;
  /** What a store before this one knew. */
  readonly catalog: Catalog;
  readonly known: number;
  readonly directory: string;
  readonly isQuick: boolean;
}

/**
 * Lookups of clients of a daemon that has taken over what another knew of the bucket: 79 of the many keys and one of a
 * block that is there, so that the bucket is not asked about the end of a list.
 */
export async function knownRows(parts: KnownParts): Promise<readonly Row[]> {
  const { known, directory, isQuick } = parts;
  const home = join(directory, 'known');
  const settings = {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run') },
    WMBT_KV_OBJECT_STORE: `file://${encodeURI(join(home, 'objects'))}`,
    WMBT_KV_PUFFER_DIR: join(home, 'cache'),
  };
  await leaveCatalog(parts, join(home, 'cache'), settings.WMBT_KV_OBJECT_STORE);
  const daemon = new DaemonProcess(['--prefix', 'bench'], settings);
  const what = `${known / 1e6} million known`;
  const calls = isQuick ? lookups.quick : lookups.usual;
  const rows: Row[] = [];
  try {
    await daemon.ready();
    const socketPath = join(settings.WMBT_KV_RUNTIME_DIR, 'bench.sock');
    const store = await connect(`unix:${socketPath}`);
    const reader = await connect(`shm:${socketPath}`);
    try {
      await store.save([tipBlock()], { durable: true });
      const { own, ofFiles } = residentBytes(daemon.child.pid ?? 0);
      rows.push(
        rowOf({
          ...{ what: `${what}: resident memory of the daemon, tiers left out`, unit: 'bytes' },
          samples: [own + ofFiles],
        }),
        lookupRow(
          `${what}: lookup of 80, Node, shared memory`,
          await timesOf(reader, known, calls),
        ),
        lookupRow(`${what}: lookup of 80, Node, Unix socket`, await timesOf(store, known, calls)),
      );
    } finally {
      await store.close();
      await reader.close();
    }
    if (hasCompiler()) rows.push(await rowInC(settings, { what, known, calls, directory }));
  } finally {
    await daemon.stop();
  }
  return rows;
}

/** As a store leaves it that has ended, at the first place of the cache directory. */
async function leaveCatalog(
  { platform, catalog }: KnownParts,
  cacheDirectory: string,
  objectStore: string,
): Promise<void> {
  const place = join(cacheDirectory, 'v1', '0');
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const storeDigest = storeDigestOf({ url: objectStore, keyPrefix: 'kv/cabi' });
  const directory = { files: platform.files, directory: place, storeDigest };
  const written = await writeCatalogFile(directory, catalog.snapshot, 1024 * mib);
  if (written === 0) throw new RangeError('the catalog is too large to be left');
}

function tipBlock(): Parameters<KvStore['save']>[0][number] {
  return { key: keyOf(tipNumber), payload: new Uint8Array(1024).fill(1), tokens: 128, position: 0 };
}

/** Microseconds of each lookup. */
async function timesOf(store: KvStore, known: number, calls: number): Promise<readonly number[]> {
  const requests = async (): Promise<number> => {
    const { get, head, list } = (await store.stats()).object.requests;
    return get + head + list;
  };
  const before = await requests();
  const times: number[] = [];
  for (let call = 0; call < calls; call += 1) {
    const keys = Array.from({ length: chainBlocks }, (_, at) =>
      keyOf(at < chainBlocks - 1 ? Math.floor(Math.random() * known) : tipNumber),
    );
    let matched = 0;
    const ms = await timed(
      async () => ({ matched } = await store.lookup(keys, { deadlineMs: lookupMsMax })),
    );
    if (matched !== chainBlocks)
      throw new RangeError(`of ${chainBlocks} known ${matched} are found`);
    times.push(1000 * ms);
  }
  if ((await requests()) > before) throw new RangeError('the bucket was asked');
  return times;
}

function lookupRow(what: string, samples: readonly number[]): Row {
  return rowOf({ what, unit: 'µs', samples, bar: atMost(40) });
}

interface RowInC {
  readonly what: string;
  readonly known: number;
  readonly calls: number;
  readonly directory: string;
}

async function rowInC(
  settings: Readonly<Record<string, string>>,
  { what, known, calls, directory }: RowInC,
): Promise<Row> {
  const program = await buildCProgram(directory, 'scale/known.c');
  const { HOME = '', WMBT_KV_RUNTIME_DIR = '' } = settings;
  const client = CClient.start([program], {
    ...{ HOME, WMBT_KV_RUNTIME_DIR, WMBT_KV_REMOTE_PREFIX: 'bench' },
    WMBT_KV_LOOKUP_DEADLINE_MS: String(lookupMsMax),
  });
  try {
    const [median] = await client.order(`lookup ${calls} ${known}`);
    return rowOf({
      ...{ what: `${what}: lookup of 80, C, p50`, unit: 'µs' },
      ...{ samples: [median / 1000], bar: atMost(5) },
    });
  } finally {
    await client.stop();
  }
}
