import { resolve } from 'node:path';
import type {
  Llama,
  LlamaContext,
  LlamaContextOptions,
  LlamaContextSequence,
  LlamaModel,
  LlamaModelOptions,
} from 'node-llama-cpp';
import { isStoreError, messageOf, StoreError } from '../../base/errors.ts';
import { silentLogger } from '../../base/logger.ts';
import type { Logger } from '../../base/logger.ts';
import type { Fingerprint } from '../../blocks/fingerprint.ts';
import type { KvStore } from '../../blocks/kv-store.ts';
import { limits } from '../../blocks/limits.ts';
import { parseNamespace } from '../../blocks/namespace.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { isBlockTokens } from '../../blocks/prefix.ts';
import { withNativeInUse } from '../../platform/native.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import type { Platform } from '../../platform/platform.ts';
import { CachedSequence } from './cached-sequence.ts';
import { ContextActivity } from './context-activity.ts';
import { identify } from './llama-identity.ts';
import type { LlamaIdentity } from './llama-identity.ts';
import { rehearseRestore } from './llama-rehearsal.ts';
import { LlamaRestore } from './llama-restore.ts';
import type { RestorePolicy } from './llama-restore.ts';
import { LlamaSave } from './llama-save.ts';
import { newStatistics } from './llama-statistics.ts';
import type { LlamaStatistics } from './llama-statistics.ts';
import { defaultHashMemoryPath } from './model-hash.ts';
import { Payback } from './payback.ts';
import { StateFiles } from './state-files.ts';
import { StoredKeys } from './stored-keys.ts';

export interface LlamaEngineOptions {
  /** The store. It stays the caller's: closing the engine does not close it. */
  readonly store: KvStore;
  /** Path of the GGUF file; of the first shard when there are several. */
  readonly modelPath: string;
  /** The tenant; the store's own namespace when absent. */
  readonly namespace?: string | undefined;
  /** An instance of `getLlama()`, which stays the caller's; one is made when absent. */
  readonly llama?: Llama | undefined;
  /** Options for loading the model, besides its path. */
  readonly model?: Omit<LlamaModelOptions, 'modelPath'> | undefined;
  /** Options of the context. */
  readonly context?: LlamaContextOptions | undefined;
  /** Tokens of a block: a multiple of 128. */
  readonly blockTokens?: number | undefined;
  /** Never restore KV of tokens that were decoded one by one. */
  readonly exact?: boolean | undefined;
  readonly restore?: RestorePolicy | undefined;
  /** States larger than this are not saved. 8 GiB when absent. */
  readonly stateFileBytesMax?: number | undefined;
  /** Rest after an answer before it is saved, in milliseconds. */
  readonly saveDelayMs?: number | undefined;
  readonly logger?: Logger | undefined;
  /** Where hashes of models are remembered; in the home directory when absent. */
  readonly hashMemoryPath?: string | undefined;
}

/** Largest state that is saved unless the options say otherwise. */
const stateFileBytesDefault = 8 * 1024 ** 3;
/** Long enough for a caller that asks again at once, short enough to be done before the next user. */
const saveDelayDefaultMs = 20;

/**
 * Loads a model and makes a context whose sequences remember: what was computed once, in this or
 * any other process with the same store, is restored instead of computed again.
 *
 * States that cannot be stored (sliding-window, recurrent and multimodal models) leave the engine
 * as it is without a store, as does a machine without room for a state file; `uncachedReason` says
 * why.
 *
 * @example
 * ```ts no-run
 * const store = await openStore();
 * const engine = await openLlama({ store, modelPath: 'model.gguf' });
 * const session = new LlamaChatSession({ contextSequence: engine.getSequence() });
 * ```
 */
export async function openLlama(options: LlamaEngineOptions): Promise<LlamaEngine> {
  const blockTokens = options.blockTokens ?? limits.blockTokensUnit;
  if (!isBlockTokens(blockTokens)) {
    throw new RangeError(`blockTokens must be a multiple of 128 up to 8192; got ${blockTokens}`);
  }
  const tenant = options.namespace === undefined ? undefined : parseNamespace(options.namespace);
  const { getLlama } = await import('node-llama-cpp');
  const llama = options.llama ?? (await getLlama());
  const modelPath = resolve(options.modelPath);
  const model = await llama.loadModel({ ...options.model, modelPath });
  const context = await model.createContext(options.context);
  const owned = options.llama === undefined ? llama : undefined;
  const engine = { llama: owned, model, context };
  try {
    const connection = await connect(engine, { ...options, modelPath, blockTokens, tenant });
    return new LlamaEngine(engine, connection);
  } catch (error) {
    await context.dispose();
    await model.dispose();
    await owned?.dispose();
    throw error;
  }
}

interface EngineParts {
  /** Disposed with the engine, when it made it. */
  readonly llama: Llama | undefined;
  readonly model: LlamaModel;
  readonly context: LlamaContext;
}

/** What binds a context to the store; or why nothing can. */
interface Connection {
  readonly statistics: LlamaStatistics;
  readonly identity: LlamaIdentity | undefined;
  readonly uncachedReason: string | undefined;
  remember(sequence: LlamaContextSequence): CachedSequence | undefined;
  close(): Promise<void>;
}

/** A model and a context with a memory. */
export class LlamaEngine {
  readonly model: LlamaModel;
  readonly context: LlamaContext;
  readonly #llama: Llama | undefined;
  readonly #connection: Connection;
  readonly #sequences = new Set<CachedSequence>();

  /** Made by {@link openLlama}. */
  constructor(parts: EngineParts, connection: Connection) {
    this.model = parts.model;
    this.context = parts.context;
    this.#llama = parts.llama;
    this.#connection = connection;
  }

  /** Identity of everything that changes KV values; undefined when nothing is cached. */
  get fingerprint(): Fingerprint | undefined {
    return this.#connection.identity?.fingerprint;
  }

  /** All that stored blocks depend on, with the seed of their keys; undefined when nothing is cached. */
  get identity(): LlamaIdentity | undefined {
    return this.#connection.identity;
  }

  /** Why nothing is cached; undefined when the context is. */
  get uncachedReason(): string | undefined {
    return this.#connection.uncachedReason;
  }

  /** A copy of the counters. */
  get statistics(): Readonly<LlamaStatistics> {
    const { statistics } = this.#connection;
    return { ...statistics, misses: { ...statistics.misses } };
  }

  /** A free sequence of the context, for whatever node-llama-cpp can do with one. */
  getSequence(options?: Parameters<LlamaContext['getSequence']>[0]): LlamaContextSequence {
    const sequence = this.context.getSequence(options);
    const cached = this.#connection.remember(sequence);
    if (cached !== undefined) {
      for (const other of this.#sequences) {
        if (other.sequence.disposed) this.#sequences.delete(other);
      }
      this.#sequences.add(cached);
    }
    return sequence;
  }

  /** Saves what is new in all sequences at rest, and resolves when it is accepted by the store. */
  async settle(): Promise<void> {
    await Promise.all([...this.#sequences].map((cached) => cached.settle()));
  }

  /** Saves what is new and frees context and model. The store stays open. */
  async dispose(): Promise<void> {
    await this.settle();
    await this.#connection.close();
    await this.context.dispose();
    await this.model.dispose();
    await this.#llama?.dispose();
  }
}

type ConnectOptions = LlamaEngineOptions & {
  readonly blockTokens: number;
  readonly tenant: Namespace | undefined;
};

async function connect(engine: EngineParts, options: ConnectOptions): Promise<Connection> {
  const statistics = newStatistics();
  const logger = options.logger ?? silentLogger;
  try {
    return await connectStore(engine, options, statistics);
  } catch (error) {
    // A state that cannot be stored, or no room to look at one: both leave a sound engine.
    const isHarmless = isStoreError(error, 'INCOMPATIBLE') || isStoreError(error, 'UNAVAILABLE');
    if (!isHarmless) throw error;
    const uncachedReason = messageOf(error);
    logger.info('llama: the context is not cached', { reason: uncachedReason });
    return {
      ...{ statistics, identity: undefined, uncachedReason },
      ...{ remember: () => undefined, close: () => Promise.resolve() },
    };
  }
}

async function connectStore(
  engine: EngineParts,
  options: ConnectOptions,
  statistics: LlamaStatistics,
): Promise<Connection> {
  const platform = withNativeInUse(nodePlatform());
  const { store, blockTokens } = options;
  const identity = await identifyEngine(platform, engine, options);
  const stateFiles = new StateFiles(platform);
  await stateFiles.removeLeftovers();
  await stateFiles.keepOne();
  const payback = new Payback(identity.decodeMs, engine.model.llama.gpu !== false);
  const common = {
    ...{ platform, store, identity, blockTokens, statistics, payback, stateFiles },
    clock: platform.clock,
    logger: options.logger ?? silentLogger,
    namespace: options.tenant,
    stored: new StoredKeys(),
    activity: new ContextActivity(),
    stateFileBytesMax: options.stateFileBytesMax ?? stateFileBytesDefault,
    saveDelayMs: options.saveDelayMs ?? saveDelayDefaultMs,
  };
  const policy = options.restore ?? 'when-it-pays';
  const restoreParts = { ...common, policy, exact: options.exact ?? false };
  await rehearseRestore(restoreParts);
  const restore = new LlamaRestore(restoreParts);
  const save = new LlamaSave(common);
  return {
    statistics,
    identity,
    uncachedReason: undefined,
    remember: (sequence) => new CachedSequence(sequence, { ...common, restore, save }),
    close: () => stateFiles.close(),
  };
}

async function identifyEngine(
  platform: Platform,
  engine: EngineParts,
  options: ConnectOptions,
): Promise<LlamaIdentity> {
  const window = slidingWindowOf(engine.model);
  if (window !== undefined) {
    throw new StoreError('INCOMPATIBLE', `the model has a sliding window of ${window} tokens`);
  }
  const { lora } = options.context ?? {};
  const adapters = typeof lora === 'string' ? [{ filePath: lora }] : (lora?.adapters ?? []);
  return identify({
    platform,
    model: engine.model,
    context: engine.context,
    modelPath: options.modelPath,
    metadataOverrides: options.model?.metadataOverrides,
    loraAdapters: adapters.map(({ filePath, scale }) => ({
      filePath: resolve(filePath),
      scale: scale ?? 1,
    })),
    blockTokens: options.blockTokens,
    hashMemoryPath: options.hashMemoryPath ?? defaultHashMemoryPath(platform.host.homeDirectory),
  });
}

/** The sliding window that the model's metadata name, if any. */
function slidingWindowOf(model: LlamaModel): number | undefined {
  const { architectureMetadata } = model.fileInfo;
  const window: unknown = architectureMetadata.attention?.sliding_window;
  return typeof window === 'number' && window > 0 ? window : undefined;
}
