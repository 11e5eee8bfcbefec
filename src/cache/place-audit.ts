import { auditLog, findInLog } from './log-audit.ts';
import type { LogAudit, LogAuditOptions, LoggedBlock, LogSearchOptions } from './log-audit.ts';
import type { PayloadId } from './cache-entry.ts';
import { auditMemory, idOf } from './memory-audit.ts';
import type { HeldPayload, MemoryAudit } from './memory-audit.ts';
import type { BlockKey } from '../blocks/block-key.ts';

/** What lies in a place of the cache directory, and in shared memory that it leads to. */
export interface PlaceAudit {
  readonly log: LogAudit;
  /** What the log does not have. */
  readonly memory: MemoryAudit;
}

export interface InUse {
  /** A process may be using the place. */
  readonly isInUse: boolean;
}

/** Reads a place and changes nothing. */
export async function auditPlace(options: LogAuditOptions & InUse): Promise<PlaceAudit> {
  // What is accepted goes from memory to the log, so it is looked for in this order.
  const memory = await auditMemory(options);
  const logged = new Map<string, number>();
  const note = (record: PayloadId & { readonly sequence: number }): void => {
    const id = idOf(record);
    logged.set(id, Math.max(logged.get(id) ?? 0, record.sequence));
  };
  const isEmpty = memory.payloads.length === 0 && memory.damages.length === 0;
  const log = await auditLog({ ...options, ...(isEmpty ? {} : { onPayload: note }) });
  const isAlone = (payload: HeldPayload): boolean => {
    const sequence = logged.get(idOf(payload));
    return sequence === undefined || (payload.kind === 'raw-tail' && sequence < payload.sequence);
  };
  const payloads = memory.payloads.filter(isAlone);
  const damages = memory.damages.filter(({ payload }) => payload === undefined || isAlone(payload));
  return { log, memory: { payloads, damages } };
}

/** A block that a place holds: in its log, or in memory alone. */
export interface PlacedBlock extends Pick<LoggedBlock, 'isPending' | 'isIntact'> {
  readonly tier: 'disk' | 'memory';
  readonly fingerprint: string | undefined;
  readonly hasDecodedTokens: boolean;
}

/** Finds blocks in a place and changes nothing. */
export async function findInPlace(
  options: LogSearchOptions & InUse,
): Promise<ReadonlyMap<BlockKey, PlacedBlock>> {
  const { namespace, keys } = options;
  const isWanted = (id: PayloadId): boolean =>
    id.kind === 'block' && id.namespace === namespace && keys.has(id.key);
  const { payloads } = await auditMemory({ ...options, isWanted });
  const found = new Map<BlockKey, PlacedBlock>();
  for (const payload of payloads.filter(isWanted)) {
    const { isPending, isIntact, fingerprint, hasDecodedTokens } = payload;
    const facts = { isPending, isIntact, fingerprint, hasDecodedTokens };
    found.set(payload.key, { tier: 'memory', ...facts });
  }
  for (const [key, { record, isPending, isIntact }] of await findInLog(options)) {
    const { fingerprint, hasDecodedTokens } = record;
    found.set(key, { tier: 'disk', isPending, isIntact, fingerprint, hasDecodedTokens });
  }
  return found;
}
