import type { ObjectVerb, StoreStats, TierStats } from '../blocks/kv-store.ts';
import { renderFamily } from './metrics-registry.ts';
import type { Sample } from './metrics-registry.ts';

/** What object stores bill apart: dear requests, cheap ones, and those that cost nothing. */
const requestClass: Readonly<Record<ObjectVerb, 'a' | 'b' | 'free'>> = {
  put: 'a',
  list: 'a',
  get: 'b',
  head: 'b',
  delete: 'free',
};

/** The numbers of a store in the text format of Prometheus. */
export function renderStoreMetrics(stats: StoreStats): string {
  return [
    hitFamilies(stats),
    tierFamilies(stats),
    writeFamilies(stats),
    objectFamilies(stats),
  ].join('');
}

function hitFamilies(stats: StoreStats): string {
  const { memory, disk, object, misses, corrupt, damagedRecords } = stats;
  const byTier = (pick: (tier: 'memory' | 'disk' | 'object') => number): Sample[] =>
    (['memory', 'disk', 'object'] as const).map((tier) => ({
      labels: { tier },
      value: pick(tier),
    }));
  const tiers = { memory, disk, object };
  return (
    counter(
      'wombatkv_hits_total',
      'Payloads that a tier gave.',
      byTier((tier) => tiers[tier].hits),
    ) +
    counter(
      'wombatkv_hit_bytes_total',
      'Bytes of the payloads that a tier gave.',
      byTier((tier) => tiers[tier].hitBytes),
    ) +
    counter(
      'wombatkv_misses_total',
      'Payloads asked for and not had, by reason.',
      Object.entries(misses).map(([reason, value]) => ({ labels: { reason }, value })),
    ) +
    counter('wombatkv_quarantines_total', 'Payloads set aside because a check failed.', [
      { labels: {}, value: corrupt },
    ]) +
    counter('wombatkv_damaged_records_total', 'Records and headers on disk that failed a check.', [
      { labels: {}, value: damagedRecords },
    ])
  );
}

function tierFamilies({ memory, disk }: StoreStats): string {
  const both = (pick: (tier: TierStats) => number): Sample[] => [
    { labels: { tier: 'memory' }, value: pick(memory) },
    { labels: { tier: 'disk' }, value: pick(disk) },
  ];
  return (
    gauge(
      'wombatkv_tier_entries',
      'Payloads that a tier holds.',
      both((tier) => tier.entries),
    ) +
    gauge(
      'wombatkv_tier_bytes',
      'Bytes that a tier holds.',
      both((tier) => tier.bytes),
    ) +
    gauge(
      'wombatkv_tier_budget_bytes',
      'Budget of a tier in bytes, 0 for none.',
      both((tier) => tier.budgetBytes),
    ) +
    counter(
      'wombatkv_evictions_total',
      'Payloads that a tier dropped for lack of room.',
      both((tier) => tier.evictions),
    )
  );
}

function writeFamilies(stats: StoreStats): string {
  return (
    counter('wombatkv_saved_total', 'Payloads accepted.', one(stats.saved)) +
    counter('wombatkv_saved_bytes_total', 'Bytes accepted.', one(stats.savedBytes)) +
    counter('wombatkv_known_total', 'Payloads saved that were stored before.', one(stats.known)) +
    counter('wombatkv_refused_total', 'Calls refused because of a limit.', one(stats.refused)) +
    gauge('wombatkv_pending', 'Payloads that wait for their upload.', one(stats.pending)) +
    gauge('wombatkv_pending_bytes', 'Bytes that wait for upload.', one(stats.pendingBytes)) +
    counter('wombatkv_upload_failures_total', 'Uploads that failed.', one(stats.uploadFailures))
  );
}

function objectFamilies({ object }: StoreStats): string {
  const verbs = Object.keys(requestClass) as ObjectVerb[];
  return (
    counter(
      'wombatkv_object_requests_total',
      'Requests to the object store, by verb and by the class that is billed.',
      verbs.map((verb) => ({
        labels: { verb, class: requestClass[verb] },
        value: object.requests[verb],
      })),
    ) +
    counter('wombatkv_object_read_bytes_total', 'Bytes of bodies read.', one(object.readBytes)) +
    counter(
      'wombatkv_object_written_bytes_total',
      'Bytes of bodies written.',
      one(object.writtenBytes),
    )
  );
}

function counter(name: string, help: string, samples: readonly Sample[]): string {
  return renderFamily({ name, type: 'counter', help }, samples);
}

function gauge(name: string, help: string, samples: readonly Sample[]): string {
  return renderFamily({ name, type: 'gauge', help }, samples);
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}
