/** One thing to time, beside others: `run` does it once. */
export interface TimedCase {
  readonly name: string;
  readonly run: () => void;
}

export interface MeasureOptions {
  readonly rounds: number;
  /** CPU time that one round of one case takes, at least. */
  readonly roundMs: number;
}

/**
 * CPU milliseconds of one run of each case, per round: time of this process on a core, so that what
 * else runs on the machine counts little. For work that one thread does without waiting. Cases take
 * turns, so that what disturbs disturbs all; one more round comes first and does not count.
 */
export function measureInTurns(
  cases: readonly TimedCase[],
  { rounds, roundMs }: MeasureOptions,
): ReadonlyMap<string, readonly number[]> {
  const samples = new Map(cases.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const { name, run } of cases) {
      const ms = msOfOne(run, roundMs);
      if (round > 0) samples.get(name)?.push(ms);
    }
  }
  return samples;
}

/** Milliseconds that the task takes. */
export async function timed(task: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await task();
  return performance.now() - startMs;
}

/** Samples of a case as rates, in bytes per nanosecond, which is GB/s. */
export function ratesOf(samples: readonly number[], bytes: number): number[] {
  return samples.map((ms) => bytes / ms / 1e6);
}

/** The samples of the case, which was measured. */
export function samplesOf(
  measured: ReadonlyMap<string, readonly number[]>,
  name: string,
): readonly number[] {
  const samples = measured.get(name);
  if (samples === undefined) throw new RangeError(`nothing was measured of ${name}`);
  return samples;
}

function msOfOne(run: () => void, roundMs: number): number {
  // Asking for the time costs about a microsecond: short runs are timed several at a time.
  let batch = 1;
  let count = 0;
  const start = process.cpuUsage();
  for (;;) {
    for (let i = 0; i < batch; i += 1) run();
    count += batch;
    const { user, system } = process.cpuUsage(start);
    const elapsedMs = (user + system) / 1000;
    if (elapsedMs >= roundMs) return elapsedMs / count;
    if (elapsedMs < roundMs / 8) batch *= 2;
  }
}
