import { FaultCounts, faultKinds } from './fault-counts.ts';
import { planOf } from './plan.ts';
import { simulate } from './simulate.ts';

/** What a process that ran some seeds tells. */
export interface SeedsReport {
  readonly failures: readonly { readonly seed: number; readonly failure: string }[];
  /** In the order of `faultKinds`. */
  readonly faults: readonly number[];
  readonly operations: number;
  readonly crashes: number;
  readonly comparisons: number;
}

/** The seeds to run, and whether to stop at the first that fails. */
const seeds = JSON.parse(process.argv[2] ?? '[]') as readonly number[];
const stopsAtFailure = process.argv[3] === 'first';
const counts = new FaultCounts();
const failures: { readonly seed: number; readonly failure: string }[] = [];
let operations = 0;
let crashes = Number.POSITIVE_INFINITY;
let comparisons = 0;
for (const seed of seeds) {
  const plan = planOf(seed);
  const result = await simulate(plan);
  counts.addAll(result.counts);
  operations += result.operations;
  comparisons += result.comparisons;
  crashes = Math.min(crashes, result.counts.get('process killed'));
  if (result.failure === undefined) continue;
  failures.push({ seed, failure: result.failure });
  if (stopsAtFailure) break;
}
const faults = faultKinds.map((kind) => counts.get(kind));
process.send?.({ failures, faults, operations, crashes, comparisons } satisfies SeedsReport);
