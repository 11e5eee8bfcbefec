import { assert } from '../base/assert.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { StoreIdentity } from '../cache/cache-directory.ts';
import type { PayloadId } from '../cache/cache-entry.ts';
import { storeDigestOf } from '../cache/cache-owner.ts';
import type { SlabMemoryTier } from '../cache/slab-memory-tier.ts';
import { Catalog } from '../catalog/catalog.ts';
import type { ObjectFormat } from '../format/object-keys.ts';
import { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import type { RequestLedger } from '../objectstore/request-ledger.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import type { Platform } from '../platform/platform.ts';
import { Adoption, noteDamagedOwner } from './adopt.ts';
import type { AdoptionParts } from './adopt.ts';
import { CatalogMemory, catalogBytesOf } from './catalog-memory.ts';
import type { CatalogMemoryParts } from './catalog-memory.ts';
import { Collector } from './collect.ts';
import { Counters } from './counters.ts';
import { KnownSharing } from './known-sharing.ts';
import type { ReadLegacy } from './legacy-namespaces.ts';
import { beginAfter } from './later-task.ts';
import type { Beginnings } from './later-task.ts';
import { openLocalTiers } from './local-tiers.ts';
import type { LocalTiers } from './local-tiers.ts';
import { ObjectTier } from './object-tier.ts';
import type { ObjectTierParts } from './object-tier.ts';
import { Prefault } from './prefault.ts';
import { RawTails } from './raw-tails.ts';
import { ReadPath } from './read-path.ts';
import { Removal } from './removal.ts';
import { RingMerge } from './ring-merge.ts';
import { Store } from './store.ts';
import type { BackgroundTask } from './background-task.ts';
import type { Deadlines } from './store.ts';
import { Tails } from './tails.ts';
import type { Transcoder } from './transcoder.ts';
import { Uploads } from './uploads.ts';
import { WritePath } from './write-path.ts';

/** The settings of a store, all given. `ResolvedStoreConfig` of the config layer is one. */
export interface StoreSettings {
  readonly namespace: Namespace;
  readonly keyPrefix: string;
  /** False: no disk tier; a save returns when it is durable. */
  readonly cacheDirectory: string | false;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly objectStoreBytesMax: number | false;
  readonly compression: 'zstd' | 'off';
  readonly compressionLevel: number;
  readonly putDurable: boolean;
  /** Whether objects of the v1 format are looked for; `auto` when absent. */
  readonly readV1?: ReadLegacy | undefined;
  /** What new objects are, where that format can hold them; `v2` when absent. */
  readonly writeFormat?: ObjectFormat | undefined;
  readonly lookupDeadlineMs: number;
  readonly loadDeadlineMs: number;
  readonly callDeadlineMsMax: number;
  /** Bytes that may be accepted and not yet durable; a share of the disk budget when absent. */
  readonly backlogBytesMax?: number | undefined;
  /** Time that closing gives uploads; that of the limits when absent. */
  readonly drainMs?: number | undefined;
  /** Ends that time early. */
  readonly drainSignal?: AbortSignal | undefined;
  /** Bytes of the memory tier to touch ahead of need; none when absent. */
  readonly prefaultBytes?: number | undefined;
  /** Where the memory tier lies for other processes; in this process alone when absent. */
  readonly sharedDirectory?: string | undefined;
}

/** What a store is built on. It owns `objects` and `transcoder` from then on. */
export interface StoreFoundation {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly objects: ObjectStore;
  /** Where the object store writes what its requests cost, if it does. */
  readonly ledger?: RequestLedger | undefined;
  readonly transcoder: Transcoder;
  readonly settings: StoreSettings;
  /** When memory is made ahead of need; at once when absent. */
  readonly begin?: Beginnings | undefined;
  /** What else runs beside the store, and is stopped when it closes. */
  readonly background?: readonly BackgroundTask[] | undefined;
}

/** Puts a store together and resumes the uploads that earlier processes left. */
export async function assembleStore(foundation: StoreFoundation): Promise<Store> {
  const { platform, logger, transcoder, settings } = foundation;
  const { keyPrefix } = settings;
  const { clock } = platform;
  const objects = new MeteredObjectStore(foundation.objects, foundation.ledger);
  const catalog = new Catalog(clock, platform.random);
  const tiers = await openTiers(foundation, catalog);
  const { memory, cache, own, shows, damagedInMemory } = tiers;
  const counters = new Counters();
  counters.damagedRecords += damagedInMemory;
  const catalogMemory = catalogMemoryOf(foundation, { own, catalog, counters });
  await catalogMemory?.recall();
  if (own !== undefined) counters.damagedRecords += noteDamagedOwner(own, logger);
  const compression = {
    compress: settings.compression === 'zstd',
    level: settings.compressionLevel,
  };
  const common = { platform, clock, logger, objects, keyPrefix, cache, shows, catalog, counters };
  const encoding = { ...formatsOf(settings), transcoder, compression };
  const objectTier = new ObjectTier({ ...common, ...encoding });
  const deadlines = deadlinesOf(settings);
  const readPath = new ReadPath({ ...common, objectTier, loadDeadlineMs: deadlines.loadMs });
  const budgetBytes = settings.objectStoreBytesMax;
  const collector =
    budgetBytes === false ? undefined : new Collector({ ...common, objectTier, budgetBytes });
  const room = collector?.room;
  const uploads = new Uploads({ ...common, objectTier, room });
  const backlogBytesMax = backlogOf(settings);
  const most = { backlogBytesMax, payloadBytesMax: boundOf(budgetBytes) };
  const writePath = new WritePath({ ...common, objectTier, uploads, room, ...most });
  const rawTails = new RawTails({ ...common, objectTier, readPath });
  const tails = new Tails({ ...common, objectTier, readPath, rawTails });
  const removal = new Removal({ ...common, objectTier, uploads });
  const rings = new RingMerge({ ...common, writePath });
  for (const { entries, chain } of cache.takePending()) uploads.enqueue({ entries, chain });
  const background: BackgroundTask[] = [
    beginPrefault(foundation, memory),
    ...(foundation.background ?? []),
    ...(tiers.isShared ? await shareCatalog(foundation, catalog) : []),
  ];
  if (own !== undefined) {
    background.push(startAdoption(foundation, { cache, own, counters }, uploads, backlogBytesMax));
  }
  return new Store({
    ...common,
    ...{ namespace: settings.namespace, putDurable: settings.putDurable, deadlines },
    drainMs: settings.drainMs ?? limits.drainMs,
    drainSignal: settings.drainSignal,
    ...{ transcoder, readPath, writePath, uploads, tails, removal, rings, background, collector },
    release: async () => {
      try {
        await catalogMemory?.remember();
      } finally {
        await own?.release();
      }
    },
  });
}

/** Who writes objects of the v1 format reads them, whatever was there before. */
function formatsOf({
  readV1 = 'auto',
  writeFormat = 'v2',
}: StoreSettings): Pick<ObjectTierParts, 'readLegacy' | 'writeFormat'> {
  assert(writeFormat === 'v2' || readV1 !== 'off', 'what is written can be read');
  return { readLegacy: writeFormat === 'v1' ? 'on' : readV1, writeFormat };
}

function openTiers(foundation: StoreFoundation, catalog: Catalog): Promise<LocalTiers> {
  const { platform, logger, settings } = foundation;
  const onEvict = (id: PayloadId): void => catalog.noteEvicted(id);
  const identity = identityOf(foundation);
  const reservedBytes = catalogBytesOf(settings.diskBytes);
  return openLocalTiers({ platform, logger, settings, identity, reservedBytes, onEvict });
}

/** False: there is none. */
function boundOf(bytes: number | false): number | undefined {
  return bytes === false ? undefined : bytes;
}

/** The first load may be a moment away; but this thread has its calls to do then. */
function beginPrefault(
  { platform, settings, begin }: StoreFoundation,
  memory: SlabMemoryTier,
): BackgroundTask {
  const { prefaultBytes = 0, sharedDirectory } = settings;
  // Memory of shared files is dearer than that of the process, and a daemon has time between calls.
  const isKeptUp = sharedDirectory !== undefined;
  const when = memory.source.isTakenLater ? begin?.ready : begin?.rest;
  const upkeep = { isKeptUp, rest: begin?.rest };
  return beginAfter(when, () => new Prefault(memory, platform.clock, prefaultBytes, upkeep));
}

/** For clients on this host, which then ask for no key that it knows. */
async function shareCatalog(
  { platform, logger, settings }: StoreFoundation,
  catalog: Catalog,
): Promise<BackgroundTask[]> {
  const { sharedDirectory: directory, memoryBytes } = settings;
  assert(directory !== undefined, 'what is shared lies in a directory');
  const sharing = await KnownSharing.begin({ platform, logger, catalog, directory, memoryBytes });
  return sharing === undefined ? [] : [sharing];
}

function catalogMemoryOf(
  { platform, logger, ...foundation }: StoreFoundation,
  parts: Pick<CatalogMemoryParts, 'catalog' | 'counters'> & Pick<LocalTiers, 'own'>,
): CatalogMemory | undefined {
  const { own, catalog, counters } = parts;
  if (own === undefined) return undefined;
  const storeDigest = storeDigestOf(identityOf(foundation));
  const byteLengthMax = catalogBytesOf(foundation.settings.diskBytes);
  const place = { files: platform.files, directory: own.path, storeDigest };
  return new CatalogMemory({ ...place, catalog, counters, logger, byteLengthMax });
}

function startAdoption(
  foundation: StoreFoundation,
  local: Pick<AdoptionParts, 'cache' | 'own' | 'counters'>,
  uploads: Uploads,
  backlogBytesMax: number,
): Adoption {
  const { platform, logger, settings } = foundation;
  const identity = identityOf(foundation);
  const { cacheDirectory } = settings;
  if (cacheDirectory === false) throw new RangeError('a directory is owned but none is set');
  const storeDigest = storeDigestOf(identity);
  const place = { cacheDirectory, identity, storeDigest, backlogBytesMax };
  return new Adoption({ platform, logger, uploads, ...local, ...place });
}

function identityOf(foundation: Pick<StoreFoundation, 'objects' | 'settings'>): StoreIdentity {
  return { url: foundation.objects.url, keyPrefix: foundation.settings.keyPrefix };
}

/** No call but flush may take longer than the cap. */
function deadlinesOf(settings: StoreSettings): Deadlines {
  const capped = (ms: number): number => Math.min(ms, settings.callDeadlineMsMax);
  return {
    lookupMs: capped(settings.lookupDeadlineMs),
    loadMs: capped(settings.loadDeadlineMs),
    saveMs: capped(limits.saveDeadlineMs),
    tailMs: capped(limits.tailDeadlineMs),
    deleteMs: capped(limits.deleteDeadlineMs),
  };
}

/** Pending payloads cannot be evicted: room is left for the segments that are written meanwhile. */
function backlogOf(settings: StoreSettings): number {
  const wanted = settings.backlogBytesMax ?? limits.backlogBytesMax;
  if (settings.cacheDirectory === false) return wanted;
  return Math.min(wanted, Math.floor((settings.diskBytes * 3) / 4));
}
