import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from '../../src/base/deferred.ts';
import { withTimeLimit } from '../support/waiting.ts';
import { argumentCases } from './kv-store-arguments.ts';
import { basicCases } from './kv-store-basics.ts';
import { borrowCases } from './kv-store-borrows.ts';
import { budgetCases } from './kv-store-budgets.ts';
import { concurrencyCases } from './kv-store-concurrency.ts';
import { crashCases } from './kv-store-crashes.ts';
import { damageCases } from './kv-store-damage.ts';
import { deadlineCases } from './kv-store-deadlines.ts';
import { deletionCases } from './kv-store-deletion.ts';
import { durabilityCases } from './kv-store-durability.ts';
import type { KvStoreCase, KvStoreHarness } from './kv-store-harness.ts';
import { hostCases } from './kv-store-hosts.ts';
import { lifecycleCases } from './kv-store-lifecycle.ts';
import { namespaceCases } from './kv-store-namespaces.ts';
import { outageCases } from './kv-store-outages.ts';
import { propertyCases } from './kv-store-property.ts';
import { rawTailCases } from './kv-store-raw-tails.ts';
import { tailCases } from './kv-store-tails.ts';

/** Time after which a case has failed, unless it says otherwise. */
const caseTimeoutMs = 120_000;
/** Time to remove a world. Nothing waits for uploads there. */
const disposeTimeoutMs = 30_000;

/** Every case of the contract. An implementation runs all of them or fails. */
export const kvStoreSuiteCases: readonly KvStoreCase[] = [
  ...basicCases,
  ...argumentCases,
  ...lifecycleCases,
  ...durabilityCases,
  ...crashCases,
  ...hostCases,
  ...namespaceCases,
  ...tailCases,
  ...rawTailCases,
  ...borrowCases,
  ...budgetCases,
  ...deletionCases,
  ...damageCases,
  ...outageCases,
  ...deadlineCases,
  ...concurrencyCases,
  ...propertyCases,
];

/**
 * Registers the contract of `KvStore` as tests of one implementation. The last test prints how many
 * cases ran and fails unless that is all of them.
 *
 * @example
 * ```ts
 * kvStoreSuite('in process', inProcessHarness());
 * ```
 */
export function kvStoreSuite(name: string, harness: KvStoreHarness): void {
  const cases = kvStoreSuiteCases;
  assert.equal(new Set(cases.map((entry) => entry.name)).size, cases.length, 'names are unique');
  let ran = 0;
  const allRan = deferred<void>();
  describe(`KvStore contract: ${name}`, { concurrency: harness.concurrency ?? 1 }, () => {
    for (const entry of cases) {
      it(entry.name, async () => {
        try {
          await runCase(entry, harness);
        } finally {
          ran += 1;
          if (ran === cases.length) allRan.resolve();
        }
      });
    }
    it(`runs all ${cases.length} cases`, async (context) => {
      // Cases that were kept from running would leave this test waiting until the run ends.
      await allRan.promise;
      context.diagnostic(`${name}: ${ran} of ${cases.length} cases of the KvStore contract ran`);
    });
  });
}

async function runCase(entry: KvStoreCase, harness: KvStoreHarness): Promise<void> {
  const limitMs = entry.timeoutMs ?? caseTimeoutMs;
  const world = await withTimeLimit(limitMs, 'making a world', () => harness.createWorld());
  try {
    await withTimeLimit(limitMs, entry.name, () => entry.run(world, harness));
  } finally {
    await withTimeLimit(disposeTimeoutMs, 'removing the world', async () => {
      await world.faults.setMode('none');
      await world.dispose();
    });
  }
}
