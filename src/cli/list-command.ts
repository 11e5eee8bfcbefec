import type { Command } from 'commander';
import { mapBounded } from '../base/map-bounded.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { namespaceObjectPrefix } from '../format/object-keys.ts';
import { allObjectsPrefix, listBucket, withBucket } from './bucket.ts';
import type { BucketObject } from './bucket.ts';
import {
  printJson,
  settingsInEffect,
  wholeNumberFlag,
  withJsonFlag,
  withStoreFlags,
} from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { lookAtHeader } from './frame-look.ts';
import type { FrameLook } from './frame-look.ts';
import { formatAge, formatBytes, formatCount, orDash } from './quantity.ts';
import type { Output } from './terminal.ts';
import { renderTable } from './text-table.ts';

interface ListFlags extends StoreFlags, OutputFlags {
  readonly limit: number;
}

/** An object and its header. */
interface ListedObject {
  readonly object: BucketObject;
  readonly look: FrameLook;
}

/** Each object costs one request for its header. */
const objectsDefault = 100;
/** Hex digits of a key in the table: no two keys of a bucket share them, and `inspect` takes them. */
const keyDigits = 16;

export function addListCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('ls')
    .description('list blocks and tails in the object store; with --namespace, those of one')
    .option('--limit <count>', 'objects to list', wholeNumberFlag('--limit', 1), objectsDefault);
  withJsonFlag(withStoreFlags(command)).action(async (flags: ListFlags) =>
    finish(await list(context, flags)),
  );
}

async function list(context: CommandContext, flags: ListFlags): Promise<number> {
  const config = settingsInEffect(context, flags);
  const { keyPrefix } = config;
  const beginning =
    flags.namespace === undefined
      ? allObjectsPrefix(keyPrefix)
      : namespaceObjectPrefix(keyPrefix, parseNamespace(config.namespace));
  const { listed, isCut } = await withBucket(context.platform, config, async (bucket) => {
    const listing = await listBucket(bucket, beginning, flags.limit);
    const looks = await mapBounded(listing.objects, limits.fetchesInFlightMax, (object) =>
      lookAtHeader(bucket, object),
    );
    const all = listing.objects.map((object, index) => ({ object, look: looks[index] }));
    return { listed: all.sort(byChainOrder), isCut: listing.isCut };
  });
  if (flags.json === true) {
    printJson(context, { objectStore: config.objectStore, isCut, objects: listed.map(asJson) });
    return 0;
  }
  const { results } = context.terminal;
  const nowMs = context.platform.clock.wallMs();
  if (listed.length > 0) results.write(listTable(results, listed, nowMs));
  results.write(`${summaryOf(listed, isCut, config.objectStore)}\n`);
  return 0;
}

/** Namespaces together, and in them the beginnings of chains before what continues them. */
function byChainOrder(a: ListedObject, b: ListedObject): number {
  const names = [a, b].map(({ object }) => object.namespace ?? '');
  if (names[0] !== names[1]) return names[0] < names[1] ? -1 : 1;
  const positions = [a, b].map(({ look }) => look.header?.position ?? Number.MAX_SAFE_INTEGER);
  if (positions[0] !== positions[1]) return positions[0] - positions[1];
  return a.object.info.key < b.object.info.key ? -1 : 1;
}

function listTable(output: Output, listed: readonly ListedObject[], nowMs: number): string {
  const columns = [
    { title: 'kind', align: 'left' },
    { title: 'position', align: 'right' },
    { title: 'tokens', align: 'right' },
    { title: 'raw', align: 'right' },
    { title: 'stored', align: 'right' },
    { title: 'codec', align: 'left' },
    { title: 'age', align: 'right' },
    { title: 'namespace', align: 'left' },
    { title: 'key', align: 'left' },
  ] as const;
  const rows = listed.map(({ object, look }) => {
    const { info, kind, namespace } = object;
    const { header } = look;
    const isSound = look.verdict === 'sound';
    return [
      isSound ? kind : output.style('red', `${kind}, ${look.verdict}`),
      orDash(header?.position),
      orDash(header === undefined || header.tokens === 0 ? undefined : header.tokens),
      header === undefined ? orDash(undefined) : formatBytes(header.rawLength),
      formatBytes(info.byteLength),
      header === undefined ? orDash(undefined) : codecText(header),
      formatAge(nowMs - info.modifiedMs),
      orDash(namespace),
      shortKeyOf(object),
    ];
  });
  return renderTable(columns, rows, (text) => output.style('bold', text));
}

/** What `inspect` takes: digits of the key or tip, or the whole object key. */
function shortKeyOf({ info, name, legacyName }: BucketObject): string {
  const named = name ?? legacyName;
  if (named === undefined) return info.key;
  return (named.kind === 'block' ? named.key : named.tip).slice(0, keyDigits);
}

export function codecText({ codec, filter }: { codec: string; filter: string }): string {
  return filter === 'none' ? codec : `${codec} + ${filter}`;
}

function summaryOf(listed: readonly ListedObject[], isCut: boolean, objectStore: string): string {
  if (listed.length === 0) return `no objects in ${objectStore}`;
  const bytes = listed.reduce((sum, { object }) => sum + object.info.byteLength, 0);
  const noun = listed.length === 1 ? 'object' : 'objects';
  const text = `${formatCount(listed.length)} ${noun}, ${formatBytes(bytes)}`;
  return isCut ? `the first ${text}; there are more (--limit)` : text;
}

function namesOf(
  { name, legacyName }: BucketObject,
  header: FrameLook['header'],
): { readonly key: string | undefined; readonly tip: string | undefined } {
  const named = name ?? legacyName;
  if (named === undefined) return { key: header?.key, tip: undefined };
  if (named.kind !== 'block') return { key: header?.key, tip: named.tip };
  return { key: name === undefined ? named.key : header?.key, tip: undefined };
}

function asJson({ object, look }: ListedObject): unknown {
  const { info, kind, namespace } = object;
  const { header } = look;
  return {
    kind,
    namespace,
    ...namesOf(object, header),
    position: header?.position,
    tokens: header?.tokens,
    hasDecodedTokens: header?.hasDecodedTokens,
    rawBytes: header?.rawLength,
    storedBytes: info.byteLength,
    codec: header?.codec,
    filter: header?.filter,
    modifiedMs: info.modifiedMs,
    verdict: look.verdict,
    reason: look.reason,
    objectKey: info.key,
  };
}
