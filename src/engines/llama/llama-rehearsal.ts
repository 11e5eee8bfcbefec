import type { LlamaContextSequence } from 'node-llama-cpp';
import type { BlockKey } from '../../blocks/block-key.ts';
import type { KvStore } from '../../blocks/kv-store.ts';
import { Prefix } from '../../blocks/prefix.ts';
import { BatchRule } from './batch-rule.ts';
import { LlamaRestore } from './llama-restore.ts';
import type { RestoreParts } from './llama-restore.ts';
import { newStatistics } from './llama-statistics.ts';
import { Payback } from './payback.ts';
import { payloadByteLength } from './state-layout.ts';
import type { RowGeometry, StateGeometry } from './state-layout.ts';
import { StoredKeys } from './stored-keys.ts';

const blocks = 13;
const tailTokens = 35;
/** The second round runs what the first one has compiled. */
const rounds = 2;

/** What a restore asks of a store. */
type RestoringStore = RestoreParts['store'];

/**
 * Restores a prompt of zeros from nowhere into nothing, so that the code of a restore is compiled
 * when the first real one comes (docs/decisions/0020-rehearsal.md). Neither the store nor the engine
 * has a part in it, and what it measures is not kept.
 *
 * Resolves to the tokens of the last round: none when there is no room for a state file, which real
 * restores meet and report.
 */
export async function rehearseRestore(parts: Omit<RestoreParts, 'store'>): Promise<number> {
  const { blockTokens } = parts;
  const geometry = narrowed(parts.identity.geometry);
  const identity = { ...parts.identity, geometry };
  const restore = new LlamaRestore({
    ...parts,
    ...{ identity, store: new ZeroStore(geometry, blockTokens), policy: 'always', exact: false },
    ...{ payback: new Payback(1, false), stored: new StoredKeys(), statistics: newStatistics() },
  });
  const tokens = Array.from({ length: blocks * blockTokens + tailTokens }, (_, i) => i);
  let rehearsed = 0;
  for (let round = 0; round < rounds; round += 1) {
    const sequence = { nextTokenIndex: 0, clearHistory: () => Promise.resolve() };
    const restored = await restore.tryRestore({
      sequence: sequence as unknown as LlamaContextSequence,
      loadState: () => {
        sequence.nextTokenIndex = tokens.length;
        return Promise.resolve();
      },
      tokens,
      prefixOf: () => new Prefix(identity.seed, blockTokens).with(tokens),
      rule: new BatchRule(1, blockTokens),
      live: 0,
    });
    rehearsed = restored?.tokens ?? 0;
  }
  return rehearsed;
}

/** The same layers with rows of one number, so that little is written. */
function narrowed(geometry: StateGeometry): StateGeometry {
  const narrow = (row: RowGeometry): RowGeometry => ({ ...row, rowBytes: row.elementBytes || 2 });
  return { ...geometry, keys: geometry.keys.map(narrow), values: geometry.values.map(narrow) };
}

/** Holds every block and the tail, of zeros. */
class ZeroStore implements RestoringStore {
  readonly #block: Uint8Array;
  readonly #tail: Uint8Array;
  readonly #blockTokens: number;

  constructor(geometry: StateGeometry, blockTokens: number) {
    this.#blockTokens = blockTokens;
    this.#block = new Uint8Array(payloadByteLength(geometry, blockTokens));
    this.#tail = new Uint8Array(payloadByteLength(geometry, tailTokens));
  }

  lookup(keys: readonly BlockKey[]): ReturnType<KvStore['lookup']> {
    return Promise.resolve({ matched: keys.length, reason: undefined });
  }

  load(keys: readonly BlockKey[]): ReturnType<KvStore['load']> {
    const common = { payload: this.#block, tokens: this.#blockTokens, hasDecodedTokens: false };
    const found = keys.map((key) => ({ key, ...common, tier: 'memory' as const }));
    return Promise.resolve({ blocks: found, reason: undefined, release: () => undefined });
  }

  loadTail(): ReturnType<KvStore['loadTail']> {
    const payload = this.#tail;
    const facts = { tokens: tailTokens, hasDecodedTokens: false, tier: 'memory' as const };
    return Promise.resolve({ payload, ...facts, release: () => undefined });
  }

  prefetch(keys: readonly BlockKey[]): ReturnType<KvStore['prefetch']> {
    return Promise.resolve(keys.length);
  }
}
