/**
 * Runs the task for each item, at most `limit` at a time, and resolves or rejects only when none
 * runs any more: the tasks work on memory of a caller who gets it back then. The first failure ends
 * the others by their signal, which fires with `signal` too.
 */
export async function runPartLanes<Item, Result>(
  items: readonly Item[],
  options: { readonly limit: number; readonly signal: AbortSignal },
  task: (item: Item, signal: AbortSignal) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(options.signal.reason);
  let failure: { readonly error: unknown } | undefined;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && !controller.signal.aborted) {
      const index = next;
      next += 1;
      try {
        results[index] = await task(items[index], controller.signal);
      } catch (error) {
        failure ??= { error };
        controller.abort(error);
      }
    }
  };
  if (options.signal.aborted) onAbort();
  options.signal.addEventListener('abort', onAbort);
  try {
    await Promise.all(Array.from({ length: Math.min(options.limit, items.length) }, lane));
  } finally {
    options.signal.removeEventListener('abort', onAbort);
  }
  if (failure !== undefined) throw failure.error;
  options.signal.throwIfAborted();
  return results;
}
