import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { seededRandom } from '../support/random.ts';
import { CaseBucket, inTime } from './object-store-harness.ts';
import type { ObjectStoreCase, ObjectStoreHarness } from './object-store-harness.ts';
import { endingCases } from './object-store-endings.ts';
import { keyCases } from './object-store-keys.ts';
import { listingCases } from './object-store-listing.ts';
import { readingCases } from './object-store-reading.ts';
import { writingCases } from './object-store-writing.ts';

export type { ObjectStoreHarness, PutRace } from './object-store-harness.ts';
export { racePutsInProcess } from './object-store-harness.ts';
export { RaceFleet } from './race-fleet.ts';

/** Time after which a case has failed: enough for a bucket with 50 ms per request. */
const caseTimeoutMs = 120_000;

/** Every case of the contract. An implementation runs all of them or fails. */
export const objectStoreSuiteCases: readonly ObjectStoreCase[] = [
  ...readingCases,
  ...writingCases,
  ...keyCases,
  ...listingCases,
  ...endingCases,
];

/**
 * Registers the contract of `ObjectStore` as tests of one implementation. The last test prints how
 * many cases ran and fails unless that is all of them. Cases share a bucket when the harness says
 * so; each has keys of its own.
 *
 * @example
 * ```ts
 * objectStoreSuite('memory', memoryHarness());
 * ```
 */
export function objectStoreSuite(name: string, harness: ObjectStoreHarness): void {
  const cases = objectStoreSuiteCases;
  assert.equal(new Set(cases.map((entry) => entry.name)).size, cases.length, 'names are unique');
  // Runs on a bucket that outlives them must not meet each other's objects.
  const run = seededRandom(`${process.pid} ${process.hrtime.bigint()}`).word().toString(16);
  let ran = 0;
  describe(`ObjectStore contract: ${name}`, () => {
    after(() => harness.cleanup());
    for (const [index, entry] of cases.entries()) {
      it(entry.name, async () => {
        ran += 1;
        const store = await harness.open();
        try {
          const bucket = new CaseBucket(store, harness, `suite-${run}/${index}/`);
          await inTime(caseTimeoutMs, entry.name, entry.run(bucket));
        } finally {
          await store.close();
        }
      });
    }
    it(`runs all ${cases.length} cases`, (context) => {
      context.diagnostic(
        `${name}: ${ran} of ${cases.length} cases of the ObjectStore contract ran`,
      );
      assert.equal(ran, cases.length);
    });
  });
}
