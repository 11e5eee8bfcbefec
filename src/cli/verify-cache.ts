import { silentLogger } from '../base/logger.ts';
import { messageOf, systemErrorCode } from '../base/errors.ts';
import { inspectDirectories } from '../cache/cache-directory.ts';
import type { DirectoryState, StoreIdentity } from '../cache/cache-directory.ts';
import type { LogDamage } from '../cache/log-audit.ts';
import { repairLogs } from '../cache/log-repair.ts';
import type { Repair } from '../cache/log-repair.ts';
import type { MemoryAudit, MemoryDamage } from '../cache/memory-audit.ts';
import { auditPlace } from '../cache/place-audit.ts';
import type { Platform } from '../platform/platform.ts';
import type { Progress } from './progress.ts';
import { formatBytes } from './quantity.ts';

/** Damage, and what repair did: `left` when the owner lives or nothing can be done about it. */
export interface CacheFinding extends LogDamage {
  readonly repair: Repair | 'left' | undefined;
}

/** What was found in one tier of a sub-directory. */
export interface TierAudit<Finding> {
  readonly payloads: number;
  readonly bytes: number;
  readonly pending: number;
  /** Payloads that are damaged, and everything else that is: what a store counts by these names. */
  readonly corrupt: number;
  readonly damagedRecords: number;
  readonly findings: readonly Finding[];
}

/** What was found in one sub-directory of the cache: in its files on disk … */
export interface CacheAudit extends TierAudit<CacheFinding> {
  readonly number: number;
  readonly state: DirectoryState['state'];
  /** … and in the shared memory that belongs to it, which the log does not have. It is never repaired. */
  readonly memory: TierAudit<MemoryDamage>;
  /** Why it could not be read. */
  readonly failure: string | undefined;
}

export interface CacheAuditOptions {
  readonly platform: Platform;
  readonly cacheDirectory: string;
  readonly diskBytes: number;
  readonly identity: StoreIdentity;
  readonly isRepair: boolean;
  readonly progress: Progress;
}

/** Reads the logs of all sub-directories that belong to the object store. */
export async function auditCache(options: CacheAuditOptions): Promise<readonly CacheAudit[]> {
  const { platform, cacheDirectory, identity, progress } = options;
  const states = await inspectDirectories(platform, cacheDirectory, identity);
  const own = states.filter(
    ({ state, byteLength }) => byteLength > 0 && state !== 'foreign' && state !== 'newer',
  );
  if (own.length === 0) return [];
  progress.begin('checking the cache directory');
  const total = own.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  const onRead = (byteLength: number): void => {
    done += byteLength;
    progress.update({ activity: '', done: Math.min(done, total), total, isBytes: true });
  };
  const audits: CacheAudit[] = [];
  for (const state of own) audits.push(await auditDirectory(options, state, onRead));
  progress.end(formatBytes(done));
  return options.isRepair ? repair(options, audits) : audits;
}

async function auditDirectory(
  { platform, identity }: CacheAuditOptions,
  { number, state, path }: DirectoryState,
  onRead: (byteLength: number) => void,
): Promise<CacheAudit> {
  const none = { payloads: 0, bytes: 0, pending: 0, corrupt: 0, damagedRecords: 0, findings: [] };
  try {
    const place = { platform, directory: path, identity, isDeep: true, onRead };
    const { log, memory } = await auditPlace({ ...place, isInUse: state === 'alive' });
    const { payloads, bytes, pending, damages } = log;
    const findings = damages.map((damage) => ({ ...damage, repair: undefined }));
    const corrupt = damages.filter(({ kind }) => kind === 'payload').length;
    const counts = { payloads, bytes, pending, corrupt, damagedRecords: damages.length - corrupt };
    const files = { number, state, ...counts, findings };
    return { ...files, memory: memoryTierOf(memory), failure: undefined };
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return { number, state, ...none, memory: none, failure: messageOf(error) };
  }
}

function memoryTierOf({ payloads, damages }: MemoryAudit): TierAudit<MemoryDamage> {
  const corrupt = damages.filter(({ kind }) => kind === 'payload').length;
  return {
    payloads: payloads.length,
    bytes: payloads.reduce((sum, { byteLength }) => sum + byteLength, 0),
    pending: payloads.filter(({ isPending }) => isPending).length,
    ...{ corrupt, damagedRecords: damages.length - corrupt, findings: damages },
  };
}

/** Repairs what is damaged where no living process owns it. */
async function repair(
  options: CacheAuditOptions,
  audits: readonly CacheAudit[],
): Promise<readonly CacheAudit[]> {
  const damages = audits.flatMap(({ findings }) => findings);
  if (damages.length === 0) return audits;
  const { platform, cacheDirectory, identity, diskBytes } = options;
  const held = audits.reduce((sum, { bytes }) => sum + bytes, 0);
  // The notes of what is dropped must not make the log drop anything else.
  const budgetBytes = Math.max(diskBytes, 2 * held);
  const place = { platform, cacheDirectory, identity, budgetBytes, logger: silentLogger };
  const repairs = await repairLogs({ ...place, damages });
  return audits.map((audit) => ({
    ...audit,
    findings: audit.findings.map((finding) => ({
      ...finding,
      repair: repairs.get(finding) ?? 'left',
    })),
  }));
}
