import fc from 'fast-check';
import { withTimeLimit } from '../support/waiting.ts';
import { runOperation } from './kv-store-operations.ts';
import type { Operation } from './kv-store-operations.ts';
import { openScene } from './kv-store-scene.ts';
import type { KvStoreCase, KvStoreHarness } from './kv-store-harness.ts';

/** Sequences of operations, their longest, and the seed that makes them the same in every run. */
const usualSequences = 20;
const operationsMax = 60;
const seed = 20_250_731;

/** Milliseconds for one sequence, for shrinking a failure, and for the whole case. */
const sequenceMs = 60_000;
const shrinkMs = 240_000;
const caseMs = 420_000;

const part = {
  namespace: fc.nat({ max: 1 }),
  chain: fc.nat({ max: 1 }),
  start: fc.nat({ max: 7 }),
  count: fc.integer({ min: 1, max: 8 }),
};
const tail = {
  namespace: part.namespace,
  chain: part.chain,
  tip: fc.nat({ max: 8 }),
  branch: fc.nat({ max: 1 }),
  length: fc.integer({ min: 1, max: 4 }),
};
const variant = fc.nat({ max: 3 });
const byteLength = fc.oneof(fc.constant(0), fc.nat({ max: 5000 }), fc.nat({ max: 70_000 }));

const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('save'),
      ...part,
      variant,
      byteLength,
      isDurable: fc.boolean(),
    }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('load'), ...part }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('lookup'), ...part }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('contains'), ...part }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('save-tail'), ...tail, byteLength }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('load-tail'), ...tail }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('save-raw-tail'), ...tail, variant, byteLength }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('load-raw-tail'), ...tail }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete-blocks'), ...part }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete-subtree'), ...part }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('delete-namespace'), namespace: part.namespace }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('flush') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reopen') }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('crash') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('wipe') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash-and-wipe') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('visit') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('outage') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('recovery') }) },
);

/** Runs the operations in a world of their own and checks every answer against the model. */
async function runSequence(
  harness: KvStoreHarness,
  operations: readonly Operation[],
): Promise<void> {
  const world = await harness.createWorld();
  try {
    const scene = await openScene(world);
    for (const next of operations) await runOperation(scene, next);
    // Whatever happened, everything accepted ends in the bucket, and a new host reads it.
    await runOperation(scene, { kind: 'visit' });
  } finally {
    await world.faults.setMode('none');
    await world.dispose();
  }
}

/** Random sequences of calls, restarts, crashes, wipes and outages against a model in memory. */
export const propertyCases: readonly KvStoreCase[] = [
  {
    name: 'random sequences of calls, crashes, wipes and outages agree with a model',
    timeoutMs: caseMs,
    async run(_world, harness) {
      const property = fc.asyncProperty(
        fc.array(operation, { minLength: 1, maxLength: operationsMax, size: 'max' }),
        (operations) =>
          withTimeLimit(sequenceMs, JSON.stringify(operations), () =>
            runSequence(harness, operations),
          ),
      );
      await fc.assert(property, {
        seed,
        numRuns: harness.sequences ?? usualSequences,
        interruptAfterTimeLimit: shrinkMs,
        markInterruptAsFailure: true,
      });
    },
  },
];
