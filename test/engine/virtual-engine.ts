import assert from 'node:assert/strict';
import type { LlamaContext, LlamaContextSequence } from 'node-llama-cpp';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore, LoadOptions } from '../../src/blocks/kv-store.ts';
import { CachedSequence } from '../../src/engines/llama/cached-sequence.ts';
import { ContextActivity } from '../../src/engines/llama/context-activity.ts';
import { identify } from '../../src/engines/llama/llama-identity.ts';
import { LlamaRestore } from '../../src/engines/llama/llama-restore.ts';
import { LlamaSave } from '../../src/engines/llama/llama-save.ts';
import { newStatistics } from '../../src/engines/llama/llama-statistics.ts';
import type { LlamaStatistics } from '../../src/engines/llama/llama-statistics.ts';
import { Payback } from '../../src/engines/llama/payback.ts';
import { StateFiles } from '../../src/engines/llama/state-files.ts';
import { StoredKeys } from '../../src/engines/llama/stored-keys.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { withMethods } from './altering-store.ts';
import type { EngineScene } from './engine-scene.ts';

/** What things take in virtual milliseconds: those of a model of 0.5 B parameters on one core. */
export const prefillMsPerToken = 15;
const decodeMs = 110;

/** How slow the store is; may change between calls. Infinite: it hangs. */
export interface StoreTimes {
  lookupMs: number;
  loadMs: number;
  tailMs: number;
}

/** A call of the store, and how long it might take. */
export interface StoreCall {
  readonly kind: 'lookup' | 'load' | 'loadTail' | 'save' | 'saveTail';
  readonly deadlineMs: number | undefined;
}

/**
 * A real engine over a real store in virtual time, so that a test can say what everything costs.
 * Only prefills and calls of the store take time; a call that would take longer than its deadline
 * takes that, and gives nothing.
 */
export class VirtualEngine {
  readonly statistics: LlamaStatistics = newStatistics();
  readonly calls: StoreCall[] = [];
  readonly times: StoreTimes = { lookupMs: 1, loadMs: 10, tailMs: 1 };
  readonly #context: LlamaContext;
  readonly #cached = new Map<LlamaContextSequence, CachedSequence>();
  readonly #remember: (sequence: LlamaContextSequence) => CachedSequence;
  readonly #timers = new Set<{ readonly atMs: number; readonly callback: () => void }>();
  #nowMs = 0;

  private constructor(
    context: LlamaContext,
    store: KvStore,
    platform: Platform,
    parts: FixedParts,
  ) {
    this.#context = context;
    const clock = {
      ...platform.clock,
      nowMs: () => this.#nowMs,
      schedule: (ms: number, callback: () => void) => {
        const timer = { atMs: this.#nowMs + ms, callback };
        this.#timers.add(timer);
        return { cancel: () => void this.#timers.delete(timer) };
      },
    };
    const common = {
      ...parts,
      ...{ clock, platform: { ...platform, clock }, store: this.#timed(store) },
      ...{ statistics: this.statistics, stored: new StoredKeys(), saveDelayMs: 20 },
      activity: new ContextActivity(),
      ...{ namespace: undefined, logger: silentLogger, stateFiles: new StateFiles(platform) },
      ...{ blockTokens: 128, stateFileBytesMax: 2 ** 30, exact: false },
      payback: new Payback(decodeMs, false),
    };
    const restore = new LlamaRestore({ ...common, policy: 'when-it-pays' });
    const save = new LlamaSave(common);
    this.#remember = (sequence) => new CachedSequence(sequence, { ...common, restore, save });
  }

  /** With so many sequences, on the micro model. */
  static async open(scene: EngineScene, store: KvStore, sequences = 1): Promise<VirtualEngine> {
    const modelPath = await scene.model('micro');
    const model = await scene.llama.loadModel({ modelPath });
    const context = await model.createContext({ contextSize: 1024, threads: 1, sequences });
    const platform = nodePlatform();
    const identity = await identify({
      ...{ platform, model, context, modelPath, loraAdapters: [], blockTokens: 128 },
      hashMemoryPath: `${scene.directory.path}/hashes.json`,
      metadataOverrides: undefined,
    });
    return new VirtualEngine(context, store, platform, { identity });
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  getSequence(): LlamaContextSequence {
    const sequence = this.#context.getSequence();
    const prefill = sequence.evaluateWithoutGeneratingNewTokens.bind(sequence);
    sequence.evaluateWithoutGeneratingNewTokens = async (tokens, options) => {
      await prefill(tokens, options);
      this.#nowMs += tokens.length * prefillMsPerToken;
    };
    const evaluate = sequence.evaluateWithMetadata.bind(sequence);
    const pass = (tokens: unknown[]): void => {
      // A token by itself is a decode step, with and without a store.
      if (tokens.length > 1) this.#nowMs += tokens.length * prefillMsPerToken;
    };
    async function* timed(...given: Parameters<typeof evaluate>): ReturnType<typeof evaluate> {
      pass(given[0]);
      yield* evaluate(...given);
    }
    sequence.evaluateWithMetadata = timed as typeof sequence.evaluateWithMetadata;
    this.#cached.set(sequence, this.#remember(sequence));
    return sequence;
  }

  /** Lets time pass in which nothing is asked, and what is due happen. */
  pass(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs);
      if (next === undefined || next.atMs > endMs) break;
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.callback();
    }
    this.#nowMs = endMs;
  }

  /** Saves what is new. */
  async settle(): Promise<void> {
    for (const cached of this.#cached.values()) await cached.settle();
  }

  /** Calls of the kind since the last look, which forgets all calls. */
  takeCalls(): Readonly<Record<StoreCall['kind'], number>> {
    const counts = { lookup: 0, load: 0, loadTail: 0, save: 0, saveTail: 0 };
    for (const { kind } of this.calls.splice(0)) counts[kind] += 1;
    return counts;
  }

  async dispose(): Promise<void> {
    await this.#context.dispose();
    await this.#context.model.dispose();
  }

  #timed(inner: KvStore): KvStore {
    return withMethods(inner, {
      lookup: async (keys, options) => {
        const isDone = this.#take('lookup', this.times.lookupMs, options);
        return isDone ? inner.lookup(keys, options) : { matched: 0, reason: 'deadline' };
      },
      load: async (keys, options) => {
        const isDone = this.#take('load', this.times.loadMs, options);
        return isDone
          ? inner.load(keys, options)
          : { blocks: [], reason: 'deadline', release: () => undefined };
      },
      loadTail: async (query, options) => {
        const isDone = this.#take('loadTail', this.times.tailMs, options);
        return isDone ? inner.loadTail(query, options) : undefined;
      },
      save: (blocks, options) => {
        this.calls.push({ kind: 'save', deadlineMs: undefined });
        return inner.save(blocks, options);
      },
      saveTail: (tail, options) => {
        this.calls.push({ kind: 'saveTail', deadlineMs: undefined });
        return inner.saveTail(tail, options);
      },
    });
  }

  /** Lets the time of a call pass; false when its deadline came first. */
  #take(kind: StoreCall['kind'], ms: number, options: LoadOptions = {}): boolean {
    const { deadlineMs } = options;
    this.calls.push({ kind, deadlineMs });
    assert.ok(deadlineMs !== undefined, `${kind} has a deadline`);
    this.#nowMs += Math.min(ms, deadlineMs);
    return ms <= deadlineMs;
  }
}

interface FixedParts {
  readonly identity: Awaited<ReturnType<typeof identify>>;
}
