import type { Command } from 'commander';
import { messageOf, StoreError } from '../base/errors.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import {
  blockObjectKey,
  legacyBlockObjectKey,
  legacyObjectPrefix,
  legacyRawTailObjectKey,
  namespaceObjectPrefix,
  rawTailObjectKey,
  tailObjectKey,
} from '../format/object-keys.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import type { ObjectInfo, ObjectKey } from '../objectstore/object-store.ts';
import type { StoredObject } from '../store/collect-inventory.ts';
import { removeInOrder } from '../store/collect-order.ts';
import type { HeaderAnswer } from '../store/collect-parents.ts';
import { planPrune } from '../store/prune.ts';
import type { PrunePlan } from '../store/prune.ts';
import { describeObject, pagesOf, request, withBucket } from './bucket.ts';
import type { Bucket } from './bucket.ts';
import {
  durationFlag,
  printJson,
  settingsInEffect,
  withJsonFlag,
  withStoreFlags,
} from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { lookAtHeader } from './frame-look.ts';
import { Progress } from './progress.ts';
import { formatAge, formatBytes, formatCount } from './quantity.ts';
import type { Output } from './terminal.ts';
import { renderTable } from './text-table.ts';

interface PruneFlags extends StoreFlags, OutputFlags {
  readonly olderThan: number;
  readonly dryRun?: boolean;
}

/** What was removed, or would be. */
interface PruneReport {
  readonly namespace: string;
  readonly isDryRun: boolean;
  readonly plan: PrunePlan;
  /** Those that are gone; with a dry run, those that would go. */
  readonly objects: readonly StoredObject[];
}

/** Younger objects may belong to a save that is not whole yet. */
const olderThanMsMin = 60_000;
/** Lines of the table; `--json` has all. */
const shownMax = 100;
const keyDigits = 16;

const explanation = `
Removes from one namespace what was written longer ago than that and has nothing younger hanging on
it: always next is the oldest end of a chain, tails first. Objects of the v1 format, which tell of no
chain, go by their own age, unless WMBT_KV_READ_V1 is off. Durations are 90m, 12h, 30d or 8w.`;

export function addPruneCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('prune')
    .description('remove what was written long ago from the object store, chains from their ends')
    .requiredOption(
      '--older-than <duration>',
      'age since it was written, such as 30d',
      durationFlag('--older-than', olderThanMsMin),
    )
    .option('--dry-run', 'only tell what would be removed')
    .addHelpText('after', explanation);
  withJsonFlag(withStoreFlags(command)).action(async (flags: PruneFlags) =>
    finish(await prune(context, flags)),
  );
}

async function prune(context: CommandContext, flags: PruneFlags): Promise<number> {
  const { platform, terminal } = context;
  const config = settingsInEffect(context, flags);
  const namespace = parseNamespace(config.namespace);
  const progress = new Progress(terminal.notes, platform.clock);
  const nowMs = platform.clock.wallMs();
  try {
    const report = await withBucket(platform, config, async (bucket): Promise<PruneReport> => {
      progress.begin('planning');
      const plan = await planPrune({
        keyPrefix: bucket.keyPrefix,
        readsLegacy: config.readV1 !== 'off',
        pages: infosOf(bucket, prefixesOf(bucket, namespace), progress),
        writtenBeforeMs: nowMs - flags.olderThan,
        readHeader: (block) => readHeader(bucket, block),
        pause: () => platform.clock.yield(),
      });
      progress.end(`${formatCount(plan.objects.length)} objects to remove`);
      const isDryRun = flags.dryRun === true;
      const objects = isDryRun ? plan.objects : await removeAll(bucket, plan, progress);
      return { namespace, isDryRun, plan, objects };
    });
    if (flags.json === true) printJson(context, asJson(report));
    else terminal.results.write(reportText(terminal.results, report, nowMs));
    return 0;
  } catch (error) {
    progress.fail();
    throw error;
  }
}

async function* infosOf(
  bucket: Bucket,
  beginnings: readonly string[],
  progress: Progress,
): AsyncGenerator<readonly ObjectInfo[], void, undefined> {
  let listed = 0;
  for (const beginning of beginnings) {
    for await (const page of pagesOf(bucket, beginning)) {
      listed += page.length;
      progress.update({ activity: `${formatCount(listed)} objects listed` });
      yield page.map(({ info }) => info);
    }
  }
}

/** What the keys of the namespace begin with: both formats spell some names in different ways. */
function prefixesOf({ keyPrefix }: Bucket, namespace: Namespace): readonly string[] {
  const own = namespaceObjectPrefix(keyPrefix, namespace);
  const legacy = legacyObjectPrefix(keyPrefix, namespace);
  return legacy.startsWith(own) ? [own] : [own, legacy];
}

async function readHeader(bucket: Bucket, block: StoredObject): Promise<HeaderAnswer> {
  const { byteLength, modifiedMs } = block;
  const info = { key: objectKeyOf(bucket, block), byteLength, modifiedMs, etag: '' };
  const look = await lookAtHeader(bucket, describeObject(bucket, info));
  if (look.verdict === 'gone') return 'absent';
  return look.verdict === 'sound' ? look.header : undefined;
}

/** Removes what is planned; resolves to what is gone. */
async function removeAll(
  bucket: Bucket,
  plan: PrunePlan,
  progress: Progress,
): Promise<readonly StoredObject[]> {
  const gone: StoredObject[] = [];
  const total = plan.objects.length;
  progress.begin('removing');
  try {
    await removeInOrder(plan.objects, async (object) => {
      if (!(await removeIfOld(bucket, object))) return false;
      gone.push(object);
      progress.update({ activity: '', done: gone.length, total });
      return true;
    });
  } catch (cause) {
    const done = `${formatCount(gone.length)} of ${formatCount(total)} objects were removed`;
    const code = cause instanceof StoreError ? cause.code : 'UNAVAILABLE';
    throw new StoreError(code, `${done}: ${messageOf(cause)}`, { cause });
  }
  progress.end(`${formatCount(gone.length)} objects`);
  return gone;
}

/** A raw tail may have been replaced since it was listed; nothing else is ever written anew. */
async function removeIfOld(bucket: Bucket, object: StoredObject): Promise<boolean> {
  const { objects } = bucket;
  const key = objectKeyOf(bucket, object);
  if (object.kind === 'raw-tail') {
    const info = await request(bucket, (signal) => objects.head(key, { signal }));
    if (info !== undefined && info.modifiedMs !== object.modifiedMs) return false;
  }
  await request(bucket, (signal) => objects.delete(key, { signal }));
  return true;
}

function objectKeyOf({ keyPrefix }: Bucket, object: StoredObject): ObjectKey {
  return parseObjectKey(objectKeyText(keyPrefix, object));
}

function objectKeyText(keyPrefix: string, object: StoredObject): string {
  const { format, kind, namespace, key, parent, tokens } = object;
  const isLegacy = format === 'v1';
  switch (kind) {
    case 'block': {
      const keyFor = isLegacy ? legacyBlockObjectKey : blockObjectKey;
      return keyFor(keyPrefix, namespace, key);
    }
    case 'raw-tail': {
      const keyFor = isLegacy ? legacyRawTailObjectKey : rawTailObjectKey;
      return keyFor(keyPrefix, namespace, key);
    }
    case 'tail':
      if (parent === undefined) throw new RangeError(`tail ${key} has no tip`);
      return tailObjectKey(keyPrefix, namespace, parent, tokens, key);
    default:
      return kind satisfies never;
  }
}

function reportText(output: Output, report: PruneReport, nowMs: number): string {
  const { namespace, isDryRun, plan, objects } = report;
  const verb = isDryRun ? 'would remove' : 'removed';
  const bytes = bytesOf(objects);
  const all = `${formatCount(plan.listedObjects)} objects, ${formatBytes(plan.listedBytes)}`;
  const summary =
    `${verb} ${formatCount(objects.length)} objects, ${formatBytes(bytes)} ` +
    `of ${all} in namespace ${JSON.stringify(namespace)}\n`;
  if (plan.listedObjects === 0)
    return `nothing is stored in namespace ${JSON.stringify(namespace)}\n`;
  if (objects.length === 0) return summary;
  const columns = [
    { title: 'kind', align: 'left' },
    { title: 'stored', align: 'right' },
    { title: 'age', align: 'right' },
    { title: 'key', align: 'left' },
  ] as const;
  const rows = objects
    .slice(0, shownMax)
    .map(({ kind, format, byteLength, modifiedMs, useKey }) => [
      format === 'v1' ? `${kind} (v1)` : kind,
      formatBytes(byteLength),
      formatAge(nowMs - modifiedMs),
      useKey.slice(0, keyDigits),
    ]);
  const more = objects.length - rows.length;
  const rest = more === 0 ? '' : `… and ${formatCount(more)} more (--json)\n`;
  return renderTable(columns, rows, (text) => output.style('bold', text)) + rest + summary;
}

function asJson({ namespace, isDryRun, plan, objects }: PruneReport): unknown {
  return {
    namespace,
    isDryRun,
    listedObjects: plan.listedObjects,
    listedBytes: plan.listedBytes,
    removedObjects: objects.length,
    removedBytes: bytesOf(objects),
    objects: objects.map(({ format, kind, key, parent, byteLength, modifiedMs }) => ({
      ...{ format, kind, key, parent, storedBytes: byteLength, modifiedMs },
    })),
  };
}

function bytesOf(objects: readonly StoredObject[]): number {
  return objects.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
