/** What several rounds of one measurement came to. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly rounds: number;
}

/**
 * The median and the range of the samples.
 *
 * @throws RangeError when there are none, or one is not a number.
 */
export function summarize(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError('no samples to summarize');
  const wrong = samples.find((sample) => !Number.isFinite(sample));
  if (wrong !== undefined) throw new RangeError(`a sample is ${wrong}`);
  const sorted = [...samples].sort((a, b) => a - b);
  return {
    median: medianOfSorted(sorted),
    min: sorted[0],
    max: sorted[sorted.length - 1],
    rounds: sorted.length,
  };
}

/** The middle sample, or the mean of the two in the middle. */
export function medianOf(samples: readonly number[]): number {
  return summarize(samples).median;
}

function medianOfSorted(sorted: readonly number[]): number {
  const middle = sorted.length >>> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
