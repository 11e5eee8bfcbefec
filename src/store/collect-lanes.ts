import { limits } from '../blocks/limits.ts';

/**
 * Repeats the step in each lane until it says that nothing is left to do there, or until one fails:
 * then no other is begun. Settles when none runs any more.
 */
export async function runLanes(step: (lane: number) => Promise<boolean>): Promise<void> {
  const failures: unknown[] = [];
  const run = async (lane: number): Promise<void> => {
    try {
      while (failures.length === 0 && (await step(lane)));
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(Array.from({ length: limits.fetchesInFlightMax }, (_, lane) => run(lane)));
  if (failures.length > 0) throw failures[0];
}
