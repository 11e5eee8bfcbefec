import type { MissReason, Tier } from '../blocks/kv-store.ts';

/** What the store counts, since it was opened. Its parts add; `Store.stats()` reads. */
export class Counters {
  readonly hits: Record<Tier, number> = { memory: 0, disk: 0, object: 0 };
  readonly hitBytes: Record<Tier, number> = { memory: 0, disk: 0, object: 0 };
  readonly misses: Record<MissReason, number> = {
    unknown: 0,
    evicted: 0,
    corrupt: 0,
    decoded: 0,
    'other-fingerprint': 0,
    deadline: 0,
    unavailable: 0,
    incompatible: 0,
    closed: 0,
  };
  corrupt = 0;
  damagedRecords = 0;
  uploadFailures = 0;
  lastFailure: string | undefined;
  saved = 0;
  savedBytes = 0;
  known = 0;
  refused = 0;

  /** A payload was given from the tier. */
  addHit(tier: Tier, byteLength: number): void {
    this.hits[tier] += 1;
    this.hitBytes[tier] += byteLength;
  }
}
