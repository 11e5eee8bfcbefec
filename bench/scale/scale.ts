import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { crc32c } from '../../src/base/crc32c.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { CacheEntry } from '../../src/cache/cache-entry.ts';
import type { PayloadFacts } from '../../src/cache/cache-entry.ts';
import { readCatalogFile, writeCatalogFile } from '../../src/cache/catalog-file.ts';
import { DiskTier } from '../../src/cache/disk-tier.ts';
import { EntryIndex } from '../../src/cache/entry-index.ts';
import { Catalog } from '../../src/catalog/catalog.ts';
import type { CatalogId } from '../../src/catalog/catalog.ts';
import { searchChain } from '../../src/catalog/chain-search.ts';
import { withNative } from '../../src/platform/native.ts';
import { timed } from '../measure.ts';
import { mib } from '../measured-limits.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row, ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { budgetRows } from './budget-rows.ts';
import { daemonMemoryRows } from './daemon-memory.ts';
import { keyOf } from './known-keys.ts';
import { knownRows } from './known-through-clients.ts';

const chainBlocks = 80;
const blockBytes = 1024;
const blocksPerSave = 500;
const namespace = parseNamespace('default');

/** What the indexes cost with many blocks in them. */
export const scale: Scenario = {
  name: 'scale',
  about: 'ten million known blocks: memory, lookup; opening a disk tier of many small blocks',
  run,
};

async function run(given: BenchContext): Promise<ScenarioResult> {
  // As a store has it that was not told otherwise.
  const context = { ...given, platform: withNative(given.platform, 'auto') };
  const { isQuick, progress } = context;
  const known = isQuick ? 1_000_000 : 10_000_000;
  const local = isQuick ? 5000 : 100_000;
  progress.begin(`${known} known blocks`);
  const rows = await catalogRows(context, known);
  progress.begin(`a disk tier of ${local} blocks`);
  rows.push(...(await diskRows(context, local)));
  progress.begin('an idle daemon, and one that saves on and on');
  rows.push(...(await daemonMemoryRows(context.directory)));
  rows.push(...(await budgetRows(context.directory, isQuick)));
  progress.end('done');
  const table = {
    name: 'scale',
    title: 'Scale and bounds',
    rows,
    notes: [
      'Known blocks are those of the catalog: in the bucket, whatever is here. A lookup is one of 80 of them, other ones each time.',
      'What a process leaves to the next lies in the page cache when it is read.',
      'A disk tier is opened by reading the index files of its segments.',
      'Clients look up in a daemon that has taken over what another knew: 79 of the known keys and a block that is there, so ' +
        'that the bucket is asked nothing. Resident memory is what the process has for itself and of files, programs and libraries among them; the ' +
        'memory tier is shared by name, and not in it. Endless prefixes go to a daemon with little of everything: the bar is ' +
        'the budget and one segment, of the bucket 64 MiB.',
    ],
  };
  const settings = { known, local, chainBlocks, blockBytes };
  return { tables: [table], settings, versions: {}, voidReasons: [] };
}

async function catalogRows(context: BenchContext, known: number): Promise<Row[]> {
  const { platform, isQuick } = context;
  const catalog = new Catalog(platform.clock, platform.random);
  const idOf = (index: number): CatalogId => ({ namespace, kind: 'block', key: keyOf(index) });
  const insertions: number[] = [];
  for (let index = 0; index < known; index += 1) {
    const id = idOf(index);
    const start = performance.now();
    catalog.confirm(id);
    insertions.push(performance.now() - start);
    if (insertions.length >= 1000) insertions.splice(0, 1000, Math.max(...insertions));
  }
  const lookups: number[] = [];
  for (let round = 0; round < (isQuick ? 200 : 2000); round += 1) {
    const ids = Array.from({ length: chainBlocks }, () => idOf(Math.floor(Math.random() * known)));
    lookups.push(1000 * (await timed(() => lookUp(catalog, ids))));
  }
  const { keys, byteLength } = catalog.known;
  const opening = await recallMs(context, catalog);
  if (keys < 0.999 * known) throw new RangeError(`of ${known} keys ${keys} are known`);
  const throughClients = await knownRows({ ...context, catalog, known });
  const samples = { memory: [byteLength], longest: [Math.max(...insertions)] };
  const what = `${known / 1e6} million known`;
  return [
    rowOf({
      ...{ what: `${what}: memory`, unit: 'bytes', samples: samples.memory },
      bar: atMost(1024 * mib),
    }),
    rowOf({ what: `${what}: longest insertion`, unit: 'ms', samples: samples.longest }),
    rowOf({ what: `${what}: lookup of 80`, unit: 'µs', samples: lookups, bar: atMost(40) }),
    rowOf({
      what: `${what}: leaving them to the next process`,
      unit: 'ms',
      samples: opening.write,
    }),
    rowOf({
      ...{ what: `${what}: opening, from what a process left` },
      ...{ unit: 'ms', samples: opening.read, bar: atMost(1000) },
    }),
    ...throughClients,
  ];
}

/** Milliseconds in which the catalog is written for the next process, and read by it. */
async function recallMs(
  { platform, directory, isQuick }: BenchContext,
  catalog: Catalog,
): Promise<{ readonly write: readonly number[]; readonly read: readonly number[] }> {
  const path = join(directory, 'catalog');
  await platform.files.makeDirectory(path);
  const place = { files: platform.files, directory: path, storeDigest: new Uint8Array(32) };
  const [write, read]: [number[], number[]] = [[], []];
  for (let round = 0; round < (isQuick ? 2 : 5); round += 1) {
    write.push(await timed(() => writeCatalogFile(place, catalog.snapshot, 1024 * mib)));
    const next = new Catalog(platform.clock, platform.random);
    read.push(
      await timed(async () => {
        const snapshot = await readCatalogFile(place);
        if (typeof snapshot === 'string' || !next.recall(snapshot)) throw new RangeError('no file');
      }),
    );
    if (next.known.keys !== catalog.known.keys) throw new RangeError('keys were lost');
  }
  return { write, read };
}

async function lookUp(catalog: Catalog, ids: readonly CatalogId[]): Promise<void> {
  const isCertain = (index: number): boolean => catalog.presence(ids[index]) === 'confirmed';
  const unasked = (): never => {
    throw new RangeError('a known block is asked for');
  };
  const keys = ids.map(({ key }) => key);
  const knownEnd = (from: number): number =>
    from + catalog.leadingBlocks(ids[0].namespace, keys, from);
  const source = { isCertain, isKnown: isCertain, knownEnd, isAbsent: unasked, hope: unasked };
  const requests = { readFollowing: unasked, confirm: unasked };
  await searchChain(keys, { ...source, ...requests }, () => undefined);
}

async function diskRows({ platform, directory }: BenchContext, count: number): Promise<Row[]> {
  const { files, random } = platform;
  const path = join(directory, 'scale');
  await files.makeDirectory(path);
  const storeDigest = new Uint8Array(32);
  const log = { files, random, directory: path, budgetBytes: 8192 * mib, storeDigest };
  const open = (): Promise<DiskTier> =>
    DiskTier.open({ ...log, index: new EntryIndex(), logger: silentLogger });
  const tier = await open();
  const payload = new Uint8Array(blockBytes).fill(1);
  for (let first = 0; first < count; first += blocksPerSave) {
    const batch = Array.from({ length: blocksPerSave }, (_, at) => {
      const origin = { sequence: first + at + 1, saveId: 1, saveIndex: at, isPending: false };
      return { entry: new CacheEntry(factsOf(first + at, payload), origin), payload };
    });
    await tier.write(batch, []);
  }
  await tier.close();
  const heapBefore = heapInUse();
  let opened: DiskTier | undefined;
  const openMs = await timed(async () => (opened = await open()));
  const entries = opened?.usage.entries ?? 0;
  if (entries !== count) throw new RangeError(`of ${count} blocks ${entries} were found`);
  const bytesEach = (heapInUse() - heapBefore) / count;
  await opened?.close();
  const what = `a disk tier of ${count} blocks`;
  return [
    rowOf({ what: `${what}: opening`, unit: 'ms', samples: [openMs], bar: atMost(1000) }),
    rowOf({ what: `${what}: heap of an entry, about`, unit: 'bytes', samples: [bytesEach] }),
  ];
}

function factsOf(index: number, payload: Uint8Array): PayloadFacts {
  return {
    ...{ namespace, kind: 'block', key: keyOf(index), parent: undefined, fingerprint: undefined },
    ...{ tokens: 128, position: undefined, hasDecodedTokens: false },
    ...{ length: payload.length, crc: crc32c(payload) },
  };
}

/** Bytes of the heap that something refers to. */
function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  collectGarbage();
  return process.memoryUsage().heapUsed;
}
