import type { MemoryDamage } from '../cache/memory-audit.ts';
import { formatBytes, formatCount } from './quantity.ts';
import type { Output } from './terminal.ts';
import type { CacheAudit, TierAudit } from './verify-cache.ts';

/** A line about damage in the shared memory that belongs to a part of the cache. */
export function memoryLine(output: Output, number: number, damage: MemoryDamage): string {
  const lost = damage.isLost ? '; nothing else has what it held' : '';
  const why = damage.why === undefined ? '' : `: ${damage.why}`;
  const what = `${placeText(damage)}${why}${lost}`;
  return `${output.style('red', 'damaged')}  cache part ${number}, memory, ${what}`;
}

function placeText({ kind, path, offset, payload }: MemoryDamage): string {
  switch (kind) {
    case 'payload':
      return payload === undefined ? `payload in ${path}` : `${payload.kind} ${payload.key}`;
    case 'header':
      return `header at ${formatCount(offset)} of ${path}`;
    case 'keys':
      return `keys that follow ${payload?.key ?? 'a payload'}`;
    case 'index':
      return `index ${path}`;
    case 'ring':
      return `ring ${path}`;
    case 'link':
      return `link ${path}`;
    case 'gone':
      return path;
    default:
      return kind satisfies never;
  }
}

/** The line of the tier, where something is or was in memory alone. */
export function memorySummary({ number, state, memory }: CacheAudit): readonly string[] {
  if (memory.payloads === 0 && memory.findings.length === 0) return [];
  const owner =
    state === 'alive' ? 'its process writes it to disk' : 'the next store takes it over';
  return [`${tierSummary(`cache part ${number}, memory`, memory)} (${owner})`];
}

/** What was found in a tier. */
export function tierSummary(name: string, audit: TierAudit<unknown>): string {
  const { payloads, bytes, pending, corrupt, damagedRecords } = audit;
  const text = `${name}: ${formatCount(payloads)} payloads, ${formatBytes(bytes)}`;
  const waiting = pending === 0 ? '' : `, ${formatCount(pending)} of them wait for upload`;
  const others = damagedRecords === 0 ? '' : `, and ${formatCount(damagedRecords)} damaged records`;
  return `${text}${waiting}: ${formatCount(corrupt)} damaged${others}`;
}
