import type { Command } from 'commander';
import { isStoreError, messageOf } from '../base/errors.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { namespaceObjectPrefix } from '../format/object-keys.ts';
import { allObjectsPrefix, withBucket } from './bucket.ts';
import type { Bucket } from './bucket.ts';
import { printJson, settingsInEffect, withJsonFlag, withStoreFlags } from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { Progress } from './progress.ts';
import { formatBytes, formatCount } from './quantity.ts';
import type { Output } from './terminal.ts';
import { auditBucket } from './verify-bucket.ts';
import type { BucketAudit, BucketAuditOptions, ObjectFinding } from './verify-bucket.ts';
import { auditCache } from './verify-cache.ts';
import type { CacheAudit, CacheFinding } from './verify-cache.ts';
import { memoryLine, memorySummary, tierSummary } from './verify-memory.ts';
import { auditModelHashes } from './verify-models.ts';
import type { ModelHashesAudit } from './verify-models.ts';

interface VerifyFlags extends StoreFlags, OutputFlags {
  readonly repair?: boolean;
}

const explanation = `
Every object under the key prefix (with --namespace, those of one namespace), every file of the local
cache (log segments, their index files, owner files), what stores accepted in shared memory and their logs
do not have yet, and the remembered hashes of models are read, and each of their checksums compared. The
store may be in use; what clients left in a ring is looked at when its store is gone. Exit code 1: damage
was found, or something could not be read. "Damaged records" are headers, owner files and index files, as
a store counts them.

--repair removes a damaged object if it is still the one that was found damaged, and, from caches that
no process is using, damaged copies; there it also writes headers of segments and index files again
from the records of the segment. Shared memory is only read: the next store takes over what is sound in
it. A payload that was removed is a miss; the next save stores it again.
Objects in the format of the Rust WombatKV, of newer versions, and of others are never removed.`;

export function addVerifyCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('verify')
    .description('read everything that is stored, and check every byte of it')
    .option('--repair', 'remove what is damaged')
    .addHelpText('after', explanation);
  withJsonFlag(withStoreFlags(command)).action(async (flags: VerifyFlags) =>
    finish(await verify(context, flags)),
  );
}

async function verify(context: CommandContext, flags: VerifyFlags): Promise<number> {
  const { platform, terminal } = context;
  const config = settingsInEffect(context, flags);
  const { keyPrefix, cacheDirectory, diskBytes } = config;
  const progress = new Progress(terminal.notes, platform.clock);
  const isRepair = flags.repair === true;
  const beginning =
    flags.namespace === undefined
      ? allObjectsPrefix(keyPrefix)
      : namespaceObjectPrefix(keyPrefix, parseNamespace(config.namespace));
  try {
    const [objectStore, caches] = await withBucket(platform, config, async (bucket) => {
      const identity = { url: bucket.objects.url, keyPrefix };
      const local =
        cacheDirectory === false
          ? []
          : await auditCache({ platform, cacheDirectory, diskBytes, identity, isRepair, progress });
      const audit = await auditIfReached(bucket, { beginning, isRepair, progress });
      return [audit, local] as const;
    });
    const modelHashes = await auditModelHashes(platform, isRepair);
    if (flags.json === true) {
      printJson(context, { objectStore, cacheDirectories: caches, modelHashes });
    } else {
      const where = { beginning, cacheDirectory };
      terminal.results.write(
        reportText(terminal.results, { objectStore, caches, modelHashes, where }),
      );
    }
    return isSound(objectStore, caches) && !isFaulty(modelHashes) ? 0 : 1;
  } catch (error) {
    progress.fail();
    throw error;
  }
}

/** What is in the caches is told, also when the object store is out of reach. */
async function auditIfReached(
  bucket: Bucket,
  options: BucketAuditOptions,
): Promise<BucketAudit | Unreached> {
  try {
    return await auditBucket(bucket, options);
  } catch (error) {
    if (!isStoreError(error, 'UNAVAILABLE') && !isStoreError(error, 'ABORTED')) throw error;
    options.progress.fail();
    return { failure: messageOf(error) };
  }
}

/** The object store did not answer, or not to the end. */
interface Unreached {
  readonly failure: string;
}

function isSound(audit: BucketAudit | Unreached, caches: readonly CacheAudit[]): boolean {
  return (
    !('failure' in audit) &&
    audit.byVerdict.damaged === 0 &&
    audit.byVerdict.unreadable === 0 &&
    caches.every(
      ({ findings, memory, failure }) =>
        findings.length === 0 && memory.findings.length === 0 && failure === undefined,
    )
  );
}

interface VerifyReport {
  readonly objectStore: BucketAudit | Unreached;
  readonly caches: readonly CacheAudit[];
  readonly modelHashes: ModelHashesAudit;
  readonly where: { readonly beginning: string; readonly cacheDirectory: string | false };
}

function reportText(output: Output, report: VerifyReport): string {
  const { objectStore, caches, modelHashes, where } = report;
  const lines: string[] = [];
  if (!('failure' in objectStore)) lines.push(...findingLines(output, objectStore));
  for (const { number, findings: inCache, memory, failure } of caches) {
    if (failure !== undefined) lines.push(`${output.style('red', 'unreadable')}  ${failure}`);
    lines.push(...inCache.map((finding) => cacheLine(output, number, finding)));
    lines.push(...memory.findings.map((damage) => memoryLine(output, number, damage)));
  }
  if (isFaulty(modelHashes)) lines.push(modelHashesLine(output, modelHashes));
  if ('failure' in objectStore) {
    lines.push(`object store: ${output.style('red', 'not checked')}: ${objectStore.failure}`);
  } else lines.push(bucketSummary(objectStore, where.beginning));
  for (const cache of caches) lines.push(cacheSummary(cache), ...memorySummary(cache));
  if (caches.length === 0 && where.cacheDirectory !== false) {
    lines.push(`cache directory: nothing of this object store in ${where.cacheDirectory}`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

function findingLines(output: Output, { byVerdict, findings }: BucketAudit): readonly string[] {
  const lines = findings.map((finding) => objectLine(output, finding));
  const untold = byVerdict.damaged + byVerdict.unreadable - findings.length;
  return untold > 0 ? [...lines, `… and ${formatCount(untold)} more`] : lines;
}

function bucketSummary({ objects, bytes, byVerdict }: BucketAudit, beginning: string): string {
  if (objects === 0) return `object store: nothing is stored under ${beginning || 'any key'}`;
  const verdicts = Object.entries(byVerdict).filter(([, count]) => count > 0);
  const counts = verdicts.map(([verdict, count]) => `${formatCount(count)} ${verdict}`).join(', ');
  return `object store: ${formatCount(objects)} objects, ${formatBytes(bytes)}: ${counts}`;
}

function objectLine(output: Output, { verdict, objectKey, reason, repair }: ObjectFinding): string {
  const outcome = repair === undefined ? '' : ` – ${outcomes[repair]}`;
  return `${output.style('red', verdict)}  ${objectKey}: ${reason}${outcome}`;
}

/** What repair did, for who reads it. */
const outcomes: Readonly<Record<NonNullable<ObjectFinding['repair']>, string>> = {
  removed: 'removed',
  changed: 'replaced or removed meanwhile, and left',
  left: 'left, for this version never removes such objects',
};

function cacheLine(output: Output, number: number, finding: CacheFinding): string {
  const { record, isPending } = finding;
  const what = record === undefined ? placeText(finding) : `${record.kind} ${record.key}`;
  const lost = isPending ? '; it was never uploaded and is lost' : '';
  const outcome = outcomeOf(finding);
  return `${output.style('red', 'damaged')}  cache part ${number}, ${what}${lost}${outcome}`;
}

function isFaulty({ state }: ModelHashesAudit): boolean {
  return state === 'damaged' || state === 'unreadable';
}

function modelHashesLine(output: Output, { path, state, repair }: ModelHashesAudit): string {
  const outcome = repair === undefined ? '' : ` – ${repair}`;
  return `${output.style('red', state)}  remembered hashes of models, ${path}${outcome}`;
}

function placeText({ kind, path, offset, byteLength, isRead }: CacheFinding): string {
  switch (kind) {
    case 'owner':
      return `owner file ${path}`;
    case 'catalog':
      return `catalog file ${path}`;
    case 'index':
      return `index file ${path}`;
    case 'segment':
      return `header of ${path}; ${isRead === true ? 'its records were read all the same' : 'nothing in it can be read'}`;
    case 'payload':
    case 'records':
      return `${kind} in ${formatCount(byteLength)} bytes from ${formatCount(offset)} of ${path}`;
    default:
      return kind satisfies never;
  }
}

function outcomeOf({ kind, repair, isRead }: CacheFinding): string {
  if (repair === undefined) return '';
  if (repair !== 'left') return ` – ${repair}`;
  if (kind === 'records') return ' – left; it goes with its segment';
  if (kind === 'segment' && isRead !== true) return ' – left, for nobody can tell what it holds';
  return ' – left to the process that owns the cache';
}

function cacheSummary(audit: CacheAudit): string {
  return tierSummary(`cache part ${audit.number}`, audit);
}
