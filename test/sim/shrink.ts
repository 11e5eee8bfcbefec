import type { Plan } from './plan.ts';
import { simulate } from './simulate.ts';

/** Runs of a plan that a search for a shorter one may take. */
const runsMax = 80;

/**
 * A plan with fewer operations that fails as well, found by leaving out ever smaller pieces. Each
 * operation draws from its own seed, so those that stay do what they did.
 */
export async function shrink(plan: Plan): Promise<Plan> {
  let best = plan;
  let runs = 0;
  let size = Math.ceil(best.operations.length / 2);
  while (size >= 1 && runs < runsMax) {
    let start = 0;
    while (start < best.operations.length && runs < runsMax) {
      const { operations } = best;
      const fewer = [...operations.slice(0, start), ...operations.slice(start + size)];
      const candidate = { ...best, operations: fewer };
      runs += 1;
      if ((await simulate(candidate)).failure === undefined) start += size;
      else best = candidate;
    }
    size = size === 1 ? 0 : Math.ceil(size / 2);
  }
  return best;
}
