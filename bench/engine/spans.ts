import type { LlamaContextSequence } from 'node-llama-cpp';
import type { KvStore } from '../../src/blocks/kv-store.ts';

/** A call that was under way from `startMs` to `endMs`. */
export interface Span {
  readonly name: SpanName;
  readonly startMs: number;
  readonly endMs: number;
}

export type SpanName =
  'lookup' | 'load' | 'loadTail' | 'save' | 'loadState' | 'saveState' | 'prefill' | 'evaluate';

/** Calls as they happened, in the order of their ends. */
export class SpanLog {
  #spans: Span[] = [];

  async time<Result>(name: SpanName, task: () => Promise<Result>): Promise<Result> {
    const startMs = performance.now();
    try {
      return await task();
    } finally {
      this.#spans.push({ name, startMs, endMs: performance.now() });
    }
  }

  /** Notes a call whose end nobody sees. */
  mark(name: SpanName): void {
    const startMs = performance.now();
    this.#spans.push({ name, startMs, endMs: startMs });
  }

  /** Spans that ended by then, counted from `startMs` on; forgets all. */
  take(startMs: number, endMs: number): Span[] {
    const taken = this.#spans.filter((span) => span.startMs >= startMs && span.endMs <= endMs);
    this.#spans = [];
    return taken.map((span) => ({
      name: span.name,
      startMs: span.startMs - startMs,
      endMs: span.endMs - startMs,
    }));
  }
}

/** The store, with its calls in the log. Adds about a microsecond to each. */
export function withSpans(store: KvStore, log: SpanLog): KvStore {
  return {
    lookup: (keys, options) => log.time('lookup', () => store.lookup(keys, options)),
    contains: (keys, options) => store.contains(keys, options),
    load: (keys, options) => log.time('load', () => store.load(keys, options)),
    save: (blocks, options) => log.time('save', () => store.save(blocks, options)),
    loadTail: (query, options) => log.time('loadTail', () => store.loadTail(query, options)),
    saveTail: (tail, options) => log.time('save', () => store.saveTail(tail, options)),
    loadRawTail: (tip, options) => store.loadRawTail(tip, options),
    saveRawTail: (tip, payload, options) => store.saveRawTail(tip, payload, options),
    prefetch: (keys, options) => store.prefetch(keys, options),
    flush: (options) => store.flush(options),
    delete: (selection, options) => store.delete(selection, options),
    stats: (options) => store.stats(options),
    close: () => store.close(),
  };
}

/**
 * Puts the engine's own work on a sequence into the log. Comes before the adapter binds the
 * sequence's methods, so that what the adapter calls is seen too.
 */
export function logSequence(sequence: LlamaContextSequence, log: SpanLog): void {
  const prefill = sequence.evaluateWithoutGeneratingNewTokens.bind(sequence);
  const loadState = sequence.loadStateFromFile.bind(sequence);
  const saveState = sequence.saveStateToFile.bind(sequence);
  const evaluate = sequence.evaluateWithMetadata.bind(sequence);
  sequence.evaluateWithoutGeneratingNewTokens = (tokens, options) =>
    log.time('prefill', () => prefill(tokens, options));
  sequence.loadStateFromFile = (path, risk) => log.time('loadState', () => loadState(path, risk));
  sequence.saveStateToFile = (path) => log.time('saveState', () => saveState(path));
  sequence.evaluateWithMetadata = ((...args: Parameters<typeof evaluate>) => {
    log.mark('evaluate');
    return evaluate(...args);
  }) as typeof evaluate;
}
