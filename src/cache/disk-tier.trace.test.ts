import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { silentLogger } from '../base/logger.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { factsOf } from '../../test/support/cached-payloads.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { lruHitRatio, scanTrace } from '../../test/support/scan-trace.ts';
import type { ScanTrace } from '../../test/support/scan-trace.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { CacheEntry } from './cache-entry.ts';
import { DiskTier } from './disk-tier.ts';
import { EntryIndex } from './entry-index.ts';

const { files, random } = nodePlatform();
const root = await makeTemporaryDirectory('disk-trace');
after(() => root.remove());

const payload = randomPayload('trace', 800);
/** With its header and padding. */
const recordBytes = 1024;
/** The header once more, in the index file of its segment. */
const indexBytes = 170;
const things = 512;
const budgetBytes = things * (recordBytes + indexBytes);

interface TraceResult {
  readonly hitRatio: number;
  readonly bytesMost: number;
}

/** What a disk tier of that budget makes of the trace, when nothing is in memory. */
async function run(trace: Iterable<number>): Promise<TraceResult> {
  const directory = `${root.path}/${random.hex(8)}`;
  await files.makeDirectory(directory);
  const index = new EntryIndex();
  const storeDigest = new Uint8Array(32);
  const log = { files, random, directory, budgetBytes, storeDigest };
  const tier = await DiskTier.open({ ...log, index, logger: silentLogger });
  const held = new Map<number, CacheEntry>();
  let [hits, requests, bytesMost] = [0, 0, 0];
  for (const thing of trace) {
    requests += 1;
    const known = held.get(thing);
    if (known?.disk !== undefined) {
      hits += 1;
      known.noteUse();
      continue;
    }
    const origin = { sequence: requests, saveId: 0, saveIndex: 0, isPending: false };
    const entry = new CacheEntry(factsOf(thing, payload), origin);
    held.set(thing, entry);
    index.put(entry);
    await tier.writeDurable(entry, payload);
    bytesMost = Math.max(bytesMost, tier.usage.bytes);
  }
  await tier.close();
  return { hitRatio: hits / requests, bytesMost };
}

async function compare(
  name: string,
  changes: Pick<ScanTrace, 'scanEvery' | 'scanLength'>,
): Promise<number> {
  const options = { seed: 7, favourites: 5 * things, requests: 5_000, ...changes };
  const { hitRatio, bytesMost } = await run(scanTrace(options));
  const lru = lruHitRatio(scanTrace(options), things);
  process.stdout.write(`${name}: hit ratio ${hitRatio.toFixed(3)}, plain LRU ${lru.toFixed(3)}\n`);
  assert.ok(bytesMost <= budgetBytes + budgetBytes / 8, `${bytesMost} bytes`);
  return hitRatio / lru;
}

describe('eviction from the disk tier', () => {
  it('keeps favourites through scans: more hits than plain LRU of as many bytes', async () => {
    assert.ok((await compare('long scans', { scanEvery: 1000, scanLength: things })) > 1.08);
    assert.ok((await compare('a steady scan', { scanEvery: 2, scanLength: 1 })) > 1.02);
    assert.ok((await compare('nothing but scans', { scanEvery: 1, scanLength: 2 })) > 1.04);
    assert.ok((await compare('no scans', { scanEvery: 1_000_000, scanLength: 1 })) > 1);
  });
});
