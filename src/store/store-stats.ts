import type { StoreStats } from '../blocks/kv-store.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import type { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import type { Counters } from './counters.ts';
import type { Uploads } from './uploads.ts';

interface StatsParts {
  readonly cache: LocalCache;
  readonly objects: MeteredObjectStore;
  readonly uploads: Uploads;
  readonly counters: Counters;
}

const noDisk = { entries: 0, bytes: 0, budgetBytes: 0, evictions: 0 };

/** A snapshot of the store's numbers. */
export function readStats(parts: StatsParts): StoreStats {
  const { cache, counters, objects, uploads } = parts;
  const { hits, hitBytes } = counters;
  const { entries, bytes, budgetBytes, evictions } = cache.memory.usage;
  const { requests, billed, readBytes, writtenBytes } = objects.snapshot();
  return {
    memory: {
      hits: hits.memory,
      hitBytes: hitBytes.memory,
      ...{ entries, bytes, budgetBytes, evictions },
    },
    disk: { hits: hits.disk, hitBytes: hitBytes.disk, ...(cache.diskUsage ?? noDisk) },
    object: {
      hits: hits.object,
      hitBytes: hitBytes.object,
      ...{ requests, billed, readBytes, writtenBytes },
    },
    misses: { ...counters.misses },
    corrupt: counters.corrupt + cache.damaged,
    damagedRecords: counters.damagedRecords + cache.damagedRecords,
    pending: uploads.pending,
    pendingBytes: uploads.pendingBytes,
    uploadFailures: counters.uploadFailures,
    lastFailure: counters.lastFailure,
    saved: counters.saved,
    savedBytes: counters.savedBytes,
    known: counters.known,
    refused: counters.refused,
  };
}
