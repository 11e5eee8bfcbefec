import type { Command } from 'commander';
import { messageOf, systemErrorCode } from '../base/errors.ts';
import { inspectDirectories } from '../cache/cache-directory.ts';
import type { DirectoryState, StoreIdentity } from '../cache/cache-directory.ts';
import { auditPlace } from '../cache/place-audit.ts';
import { objectStoreDirectory } from '../config/object-store-url.ts';
import { withoutSecrets } from '../config/store-config.ts';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import type { ObjectStoreMeter } from '../objectstore/metered-object-store.ts';
import type { Platform } from '../platform/platform.ts';
import { allObjectsPrefix, listBucket, withBucket } from './bucket.ts';
import type { Bucket, BucketObject, ObjectKind } from './bucket.ts';
import {
  printJson,
  settingsInEffect,
  wholeNumberFlag,
  withJsonFlag,
  withStoreFlags,
} from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { daemonAsked, daemonStatus } from './daemon-status.ts';
import { formatBytes, formatCount, formatDuration, formatPayloads } from './quantity.ts';
import { formatMoney, pricesOf, requestPrice, storagePrice, withPriceFlag } from './prices.ts';
import type { PriceFlags, Prices } from './prices.ts';
import type { Output } from './terminal.ts';
import { renderFacts, renderTable } from './text-table.ts';

interface StatusFlags extends StoreFlags, OutputFlags, PriceFlags {
  readonly limit: number;
  readonly connect?: string;
}

/** What a namespace has in the object store. */
interface NamespaceUse {
  readonly namespace: string | undefined;
  readonly objects: number;
  readonly bytes: number;
  readonly byKind: Readonly<Partial<Record<ObjectKind, number>>>;
}

/** What the records of a sub-directory tell, and of the shared memory that belongs to it. */
interface CacheCounts {
  /** What waits for its upload, in the log or in memory. */
  readonly pending: number;
  readonly pendingBytes: number;
  /** What was accepted in memory and is not in the log; it goes with the machine. */
  readonly inMemory: number;
  readonly inMemoryBytes: number;
  /** Headers and owner files that fail their checks; `verify` says which, and checks payloads too. */
  readonly damagedRecords: number;
}

/** A sub-directory; without counts where it cannot be read. */
interface CacheState extends DirectoryState, Partial<CacheCounts> {}

interface BucketStatus {
  readonly isReachable: boolean;
  /** Why not. */
  readonly failure: string | undefined;
  /** False for a directory that the first save will make. */
  readonly isThere: boolean;
  /** Milliseconds that the listing took. */
  readonly listMs: number;
  /** True when there are more objects than were counted. */
  readonly isCut: boolean;
  readonly namespaces: readonly NamespaceUse[];
  /** What this command asked of the object store; other processes count their own. */
  readonly meter: ObjectStoreMeter | undefined;
}

/** Ten pages of a listing: a second or so on a directory, ten billed requests on a bucket. */
const objectsDefault = 10_000;

export function addStatusCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('status')
    .description(
      'show the store in effect: settings, cache directory, object store; or what a daemon counts',
    )
    .option('--connect <url>', 'the daemon at unix:/path, tcp:, tls:, http: or https://host:port')
    .option(
      '--limit <count>',
      'objects to count at most',
      wholeNumberFlag('--limit', 1),
      objectsDefault,
    );
  withJsonFlag(withStoreFlags(withPriceFlag(command))).action(async (flags: StatusFlags) =>
    finish(await status(context, flags)),
  );
}

async function status(context: CommandContext, flags: StatusFlags): Promise<number> {
  const config = settingsInEffect(context, flags);
  const daemon = await daemonAsked(context, flags.connect);
  if (daemon !== undefined) return daemonStatus(context, daemon, flags);
  const [directories, bucket] = await withBucket(context.platform, config, (opened) =>
    Promise.all([lookAtCache(context, config, opened), lookAtBucket(context, opened, flags.limit)]),
  );
  if (flags.json === true) {
    printJson(context, {
      settings: withoutSecrets(config),
      cacheDirectories: directories,
      objectStore: bucket,
      cost: costOf(bucket, pricesOf(config.objectStore, flags)),
    });
  } else {
    const { results } = context.terminal;
    results.write(settingsText(results, config));
    results.write(directoriesText(results, config, directories));
    results.write(bucketText(results, bucket, flags.limit));
    results.write(costText(results, bucket, pricesOf(config.objectStore, flags)));
  }
  return bucket.isReachable ? 0 : 1;
}

async function lookAtCache(
  { platform }: CommandContext,
  { cacheDirectory }: ResolvedStoreConfig,
  { objects, keyPrefix }: Bucket,
): Promise<readonly CacheState[]> {
  if (cacheDirectory === false) return [];
  const identity = { url: objects.url, keyPrefix };
  const states = await inspectDirectories(platform, cacheDirectory, identity);
  const shown = states.filter(({ state, byteLength }) => state !== 'free' || byteLength > 0);
  const withCounts: CacheState[] = [];
  for (const state of shown) {
    withCounts.push({ ...state, ...(await countsOf(platform, identity, state)) });
  }
  return withCounts;
}

/** By the records of the log and the headers in memory: payloads are not read. */
async function countsOf(
  platform: Platform,
  identity: StoreIdentity,
  { state, path }: DirectoryState,
): Promise<CacheCounts | undefined> {
  if (state !== 'alive' && state !== 'dead') return undefined;
  try {
    const place = { platform, directory: path, identity, isDeep: false };
    const { log, memory } = await auditPlace({ ...place, isInUse: state === 'alive' });
    const waiting = memory.payloads.filter(({ isPending }) => isPending);
    return {
      pending: log.pending + waiting.length,
      pendingBytes: log.pendingBytes + sumOf(waiting),
      inMemory: memory.payloads.length,
      inMemoryBytes: sumOf(memory.payloads),
      damagedRecords: log.damages.length + memory.damages.length,
    };
  } catch (error) {
    // Another user's, or removed under us: the rest of the status is still of use.
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}

function sumOf(payloads: readonly { readonly byteLength: number }[]): number {
  return payloads.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

async function lookAtBucket(
  { platform }: CommandContext,
  bucket: Bucket,
  objectsMax: number,
): Promise<BucketStatus> {
  const startMs = bucket.clock.nowMs();
  const directory = objectStoreDirectory(bucket.objects.url);
  const unknown = { isThere: true, isCut: false, namespaces: [] };
  const meter = (): ObjectStoreMeter | undefined => bucket.meter?.();
  try {
    const isThere =
      directory === undefined || (await platform.files.status(directory)) !== undefined;
    const prefix = allObjectsPrefix(bucket.keyPrefix);
    const { objects, isCut } = await listBucket(bucket, prefix, objectsMax);
    const listMs = bucket.clock.nowMs() - startMs;
    const namespaces = usesOf(objects);
    const reached = { isReachable: true, failure: undefined, isThere, listMs, isCut };
    return { ...reached, namespaces, meter: meter() };
  } catch (error) {
    const listMs = bucket.clock.nowMs() - startMs;
    const failure = messageOf(error);
    return { ...unknown, isReachable: false, failure, listMs, meter: meter() };
  }
}

function usesOf(objects: readonly BucketObject[]): readonly NamespaceUse[] {
  const uses = new Map<string | undefined, BucketObject[]>();
  for (const object of objects) {
    const known = uses.get(object.namespace);
    if (known === undefined) uses.set(object.namespace, [object]);
    else known.push(object);
  }
  return [...uses.entries()].map(([namespace, own]) => {
    const byKind: Partial<Record<ObjectKind, number>> = {};
    for (const { kind } of own) byKind[kind] = (byKind[kind] ?? 0) + 1;
    const bytes = own.reduce((sum, { info }) => sum + info.byteLength, 0);
    return { namespace, objects: own.length, bytes, byKind };
  });
}

function settingsText(output: Output, config: ResolvedStoreConfig): string {
  const { objectStoreBytesMax, cacheDirectory, diskBytes } = config;
  const bound =
    objectStoreBytesMax === false ? 'no bound' : `at most ${formatBytes(objectStoreBytesMax)}`;
  return (
    heading(output, 'Settings', 'wombatkv config shows all') +
    renderFacts(
      [
        ['object store', `${config.objectStore} (${bound})`],
        ['key prefix', config.keyPrefix === '' ? '(none)' : config.keyPrefix],
        ['namespace', config.namespace],
        ['memory', `${formatBytes(config.memoryBytes)} for each process`],
        [
          'disk',
          cacheDirectory === false ? '(none)' : `${formatBytes(diskBytes)} for each process`,
        ],
        ['cache directory', cacheDirectory === false ? '(none)' : cacheDirectory],
      ],
      '  ',
    )
  );
}

/** What each state of a sub-directory means to the one who reads it. */
const meanings: Readonly<Record<DirectoryState['state'], string>> = {
  free: 'free',
  alive: 'in use',
  dead: 'left behind; the next store takes it over',
  foreign: 'belongs to another object store',
  newer: 'belongs to a newer version',
  unreadable: 'cannot be read',
};

function directoriesText(
  output: Output,
  { cacheDirectory }: ResolvedStoreConfig,
  directories: readonly CacheState[],
): string {
  const title = `\n${heading(output, 'Cache directory')}`;
  if (cacheDirectory === false) return `${title}  none: there is no disk tier\n`;
  if (directories.length === 0) return `${title}  empty\n`;
  const columns = [
    { title: '  part', align: 'right' },
    { title: 'bytes', align: 'right' },
    { title: 'to upload', align: 'right' },
    { title: 'in memory alone', align: 'right' },
    { title: 'damaged', align: 'right' },
    { title: 'state', align: 'left' },
    { title: 'last owner', align: 'left' },
  ] as const;
  const rows = directories.map(({ number, state, owner, byteLength, ...own }) => [
    String(number),
    formatBytes(byteLength),
    formatPayloads(own.pending ?? 0, own.pendingBytes ?? 0),
    formatPayloads(own.inMemory ?? 0, own.inMemoryBytes ?? 0),
    own.damagedRecords === undefined ? '–' : formatCount(own.damagedRecords),
    meanings[state],
    owner === undefined ? '–' : ownerText(owner, state),
  ]);
  return title + renderTable(columns, rows, (text) => output.style('dim', text));
}

function ownerText(
  { processId, hostName, storeIdentity }: NonNullable<DirectoryState['owner']>,
  state: DirectoryState['state'],
): string {
  const owner = `process ${processId} on ${hostName}`;
  return state === 'foreign' ? `${owner}, of ${storeIdentity.url}` : owner;
}

function bucketText(output: Output, bucket: BucketStatus, objectsMax: number): string {
  const title = `\n${heading(output, 'Object store')}`;
  if (!bucket.isReachable) {
    return `${title}  ${output.style('red', 'not reachable')}: ${bucket.failure}\n`;
  }
  if (!bucket.isThere) return `${title}  not there yet; the first save makes it\n`;
  const reached = `${title}  reachable; listed in ${formatDuration(bucket.listMs)}${askedText(bucket)}\n`;
  if (bucket.namespaces.length === 0) return `${reached}  empty\n`;
  const columns = [
    { title: '  objects', align: 'right' },
    { title: 'bytes', align: 'right' },
    { title: 'blocks', align: 'right' },
    { title: 'tails', align: 'right' },
    { title: 'other', align: 'right' },
    { title: 'namespace', align: 'left' },
  ] as const;
  const rows = bucket.namespaces.map(({ namespace, objects, bytes, byKind }) => {
    const { block = 0, tail = 0, 'raw-tail': rawTail = 0 } = byKind;
    const tails = tail + rawTail;
    const counts = [objects, block, tails, objects - block - tails].map(formatCount);
    return [
      counts[0],
      formatBytes(bytes),
      ...counts.slice(1),
      namespace ?? '(not of this version)',
    ];
  });
  const cut = bucket.isCut
    ? `  only the first ${formatCount(objectsMax)} objects were counted (--limit)\n`
    : '';
  return reached + renderTable(columns, rows, (text) => output.style('dim', text)) + cut;
}

/** What the bucket costs; undefined where nobody sends a bill, or prices are off. */
interface Cost {
  readonly prices: Prices;
  /** Dollars for the objects that were counted, a month. */
  readonly storageMonth: number;
  /** Dollars for the requests of this command. */
  readonly thisLook: number | undefined;
}

function costOf(bucket: BucketStatus, prices: Prices | undefined): Cost | undefined {
  if (prices === undefined || !bucket.isReachable) return undefined;
  const stored = bucket.namespaces.reduce((sum, { bytes }) => sum + bytes, 0);
  const billed = bucket.meter?.billed;
  return {
    prices,
    storageMonth: storagePrice(prices, stored),
    thisLook: billed === undefined ? undefined : requestPrice(prices, billed),
  };
}

function costText(output: Output, bucket: BucketStatus, prices: Prices | undefined): string {
  const cost = costOf(bucket, prices);
  if (cost === undefined) return '';
  const { write, read, storage } = cost.prices;
  const counted = bucket.isCut ? 'what was counted' : 'what is stored';
  const facts: (readonly [string, string])[] = [
    ['stored', `${formatMoney(cost.storageMonth)} a month for ${counted}, at $${storage} a GiB`],
    ['requests', `$${write} for 1,000 puts or lists, $${read} for 1,000 gets or heads`],
  ];
  if (cost.thisLook !== undefined) facts.push(['this look', formatMoney(cost.thisLook)]);
  const title = heading(output, 'Cost', '--prices sets or switches off; traffic is not in it');
  return `\n${title}${renderFacts(facts, '  ')}`;
}

/** `, by 2 list`: what the look cost. */
function askedText({ meter }: BucketStatus): string {
  const asked = Object.entries(meter?.requests ?? {}).filter(([, count]) => count > 0);
  if (asked.length === 0) return '';
  return `, by ${asked.map(([verb, count]) => `${formatCount(count)} ${verb}`).join(', ')}`;
}

function heading(output: Output, text: string, aside?: string): string {
  const end = aside === undefined ? '' : output.style('dim', `  (${aside})`);
  return `${output.style('bold', text)}${end}\n`;
}
