import { seededRandom } from './random.ts';

/** Numbers of things asked for: favourites by Zipf's law, and scans that ask for each thing once. */
export interface ScanTrace {
  readonly seed: number;
  /** Things that are asked for again and again; the k-th one as often as 1 / k. */
  readonly favourites: number;
  readonly requests: number;
  /** Every so many requests for favourites a scan comes, of so many things that never come again. */
  readonly scanEvery: number;
  readonly scanLength: number;
}

export function* scanTrace(options: ScanTrace): Generator<number> {
  const { favourites, requests, scanEvery, scanLength } = options;
  const random = seededRandom(options.seed);
  const sums: number[] = [];
  let sum = 0;
  for (let rank = 1; rank <= favourites; rank += 1) sums.push((sum += 1 / rank));
  let scanned = favourites;
  for (let request = 0; request < requests; request += 1) {
    const at = (random.word() / 2 ** 32) * sum;
    yield firstAbove(sums, at);
    if (request % scanEvery !== scanEvery - 1) continue;
    for (let i = 0; i < scanLength; i += 1) yield scanned++;
  }
}

function firstAbove(sums: readonly number[], value: number): number {
  let [low, high] = [0, sums.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sums[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Share of the requests that a plain LRU of so many things of one size answers. */
export function lruHitRatio(trace: Iterable<number>, sizeMax: number): number {
  const held = new Map<number, true>();
  let [hits, requests] = [0, 0];
  for (const thing of trace) {
    requests += 1;
    if (held.delete(thing)) hits += 1;
    held.set(thing, true);
    if (held.size > sizeMax) held.delete(held.keys().next().value ?? 0);
  }
  return hits / requests;
}
