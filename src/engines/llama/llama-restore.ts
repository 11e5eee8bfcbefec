import type { LlamaContextSequence } from 'node-llama-cpp';
import { messageOf, StoreError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import type { Borrow, KvStore, MissReason, TailBorrow } from '../../blocks/kv-store.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { Prefix, tailDigest } from '../../blocks/prefix.ts';
import type { Platform } from '../../platform/platform.ts';
import type { LlamaIdentity } from './llama-identity.ts';
import type { LlamaStatistics } from './llama-statistics.ts';
import type { Payback } from './payback.ts';
import type { StateFiles } from './state-files.ts';
import { imageBuffers, planImage } from './state-image.ts';
import { payloadByteLength } from './state-layout.ts';
import type { StoredKeys } from './stored-keys.ts';

/** When to restore: when it is expected to be faster than computing, always, or never. */
export type RestorePolicy = 'when-it-pays' | 'always' | 'never';

export interface RestoreParts {
  readonly platform: Platform;
  readonly store: KvStore;
  readonly namespace: Namespace | undefined;
  readonly logger: Logger;
  readonly identity: LlamaIdentity;
  readonly blockTokens: number;
  readonly payback: Payback;
  readonly stateFiles: StateFiles;
  readonly statistics: LlamaStatistics;
  readonly policy: RestorePolicy;
  readonly exact: boolean;
  readonly stateFileBytesMax: number;
  /** Keys known to be stored, shared with the saving side. */
  readonly stored: StoredKeys;
}

/** A prompt that a sequence is about to evaluate. */
export interface RestoreRequest {
  readonly sequence: LlamaContextSequence;
  /** The engine's own way to load a state file into the sequence. */
  readonly loadState: LlamaContextSequence['loadStateFromFile'];
  readonly tokens: readonly number[];
  /** Number of leading tokens that the sequence holds already. */
  readonly live: number;
}

/** What a sequence holds after it was restored. */
export interface Restored {
  readonly tokens: number;
  /** First token whose KV was decoded by itself, if any. */
  readonly decodedFrom: number | undefined;
  /** Keys of the restored blocks, and the digest of the tail. */
  readonly keys: readonly BlockKey[];
}

/** Payloads on loan that begin a prompt. */
interface Found {
  readonly borrow: Borrow;
  readonly tail: TailBorrow | undefined;
  readonly tokens: number;
}

/**
 * Brings the stored beginning of a prompt into a sequence. Whatever goes wrong, the sequence is
 * usable afterwards and the prompt is computed.
 */
export class LlamaRestore {
  readonly #parts: RestoreParts;

  constructor(parts: RestoreParts) {
    this.#parts = parts;
  }

  /** Restores if that is better than computing; undefined when nothing was restored. */
  async tryRestore(request: RestoreRequest): Promise<Restored | undefined> {
    const { policy, payback, platform, blockTokens, identity } = this.#parts;
    const missing = request.tokens.length - request.live;
    if (policy === 'never' || missing <= 0) return undefined;
    const plan = payback.planLookup(missing);
    if (policy === 'when-it-pays' && !plan.pays) return undefined;
    const prefix = new Prefix(identity.seed, blockTokens);
    prefix.append(request.tokens);
    const start = platform.clock.nowMs();
    const found = await this.#find(prefix, request, plan.deadlineMs);
    if (found === undefined) return undefined;
    try {
      if (found.tokens <= request.live) return undefined;
      return await this.#install(request, prefix, found, start);
    } finally {
      found.borrow.release();
      found.tail?.release();
    }
  }

  async #find(
    prefix: Prefix,
    request: RestoreRequest,
    lookupDeadlineMs: number,
  ): Promise<Found | undefined> {
    const { platform, policy, payback, identity, stateFileBytesMax } = this.#parts;
    const matched = await this.#lookup(prefix, lookupDeadlineMs);
    if (matched === undefined) return undefined;
    const most = Math.min((matched + 1) * prefix.blockTokens, prefix.tokenCount);
    const bytes = payloadByteLength(identity.geometry, most);
    if (most <= request.live || bytes > stateFileBytesMax) return undefined;
    const plan = payback.planRestore(most - request.live, bytes);
    if (policy === 'when-it-pays' && !plan.pays) return undefined;
    const deadlineMs = policy === 'always' ? undefined : plan.deadlineMs;
    const start = platform.clock.nowMs();
    const found = await this.#load(prefix, request, matched, deadlineMs);
    // What did not come in time counts as slow as it was, so that the next plan knows better.
    if (found?.borrow.reason === 'deadline') {
      payback.noteRestore(bytes, 2 * (platform.clock.nowMs() - start));
    }
    return found;
  }

  /** How many blocks are stored; undefined when the store gave no answer: it is not asked more. */
  async #lookup(prefix: Prefix, deadlineMs: number): Promise<number | undefined> {
    const { store, namespace, platform, payback, logger, policy, statistics } = this.#parts;
    if (prefix.keys.length === 0) return 0;
    const start = platform.clock.nowMs();
    try {
      const options = policy === 'always' ? { namespace } : { namespace, deadlineMs };
      const { matched, reason } = await store.lookup(prefix.keys, options);
      this.#noteMissing(prefix, matched, reason);
      const isAnswer = reason === undefined || reason === 'unknown' || reason === 'corrupt';
      return matched > 0 || isAnswer ? matched : undefined;
    } catch (error) {
      statistics.failures += 1;
      logger.error('llama: the lookup failed', { reason: messageOf(error) });
      return undefined;
    } finally {
      payback.noteLookup(platform.clock.nowMs() - start);
    }
  }

  async #load(
    prefix: Prefix,
    request: RestoreRequest,
    matched: number,
    deadlineMs: number | undefined,
  ): Promise<Found | undefined> {
    const { store, namespace, exact, statistics, logger } = this.#parts;
    const blocksEnd = matched * prefix.blockTokens;
    const loadingTail = this.#loadTail(prefix, matched, deadlineMs);
    try {
      // What the sequence holds already is worth loading only below a tail that goes further.
      if (blocksEnd <= request.live) {
        const tail = await loadingTail;
        if (blocksEnd + (tail?.tokens ?? 0) <= request.live) {
          tail?.release();
          return undefined;
        }
      }
      const keys = prefix.keys.slice(0, matched);
      const borrow = await store.load(keys, { namespace, deadlineMs, exact });
      this.#noteMissing(prefix, borrow.blocks.length, borrow.reason);
      return this.#fit(prefix, matched, borrow, await loadingTail);
    } catch (error) {
      (await loadingTail)?.release();
      statistics.failures += 1;
      logger.error('llama: loading failed', { reason: messageOf(error) });
      return undefined;
    }
  }

  /** A tail continues the last matched block; it is no loss when there is none. Never rejects. */
  async #loadTail(
    prefix: Prefix,
    matched: number,
    deadlineMs: number | undefined,
  ): Promise<TailBorrow | undefined> {
    const { store, namespace, exact, stored, statistics, logger } = this.#parts;
    const start = matched * prefix.blockTokens;
    const end = Math.min(start + prefix.blockTokens, prefix.tokenCount);
    if (start === end) return undefined;
    const query = { tip: prefix.tip(matched), tokens: prefix.tokens(start, end) };
    try {
      const tail = await store.loadTail(query, { namespace, deadlineMs, exact });
      // An exact load does not tell a tail with decoded tokens from none.
      if (tail === undefined && !exact) stored.delete([tailDigest(query.tip, query.tokens)]);
      return tail;
    } catch (error) {
      statistics.failures += 1;
      logger.info('llama: loading a tail failed', { reason: messageOf(error) });
      return undefined;
    }
  }

  /** What the store lost can be saved again. */
  #noteMissing(prefix: Prefix, found: number, reason: MissReason | undefined): void {
    if (reason !== 'unknown' && reason !== 'corrupt') return;
    this.#parts.stored.delete(prefix.keys.slice(found));
  }

  /** Drops the tail when the blocks end before it, or when using it could change results. */
  #fit(prefix: Prefix, matched: number, borrow: Borrow, tail: TailBorrow | undefined): Found {
    const blocksEnd = borrow.blocks.length * prefix.blockTokens;
    if (tail !== undefined && borrow.blocks.length === matched) {
      const tokens = blocksEnd + tail.tokens;
      const isHarmless =
        tail.hasDecodedTokens || this.#mayCutAfter(tail.tokens, prefix.tokenCount - tokens);
      if (isHarmless) return { borrow, tail, tokens };
    }
    tail?.release();
    return { borrow, tail: undefined, tokens: blocksEnd };
  }

  /**
   * Whether a prefill that ends a batch after `before` tokens of a block, with `after` tokens to come,
   * computes what one without that cut does. A batch of a single token is computed in another way
   * than a larger one, also where batches do not matter otherwise.
   */
  #mayCutAfter(before: number, after: number): boolean {
    return after === 0 || (this.#parts.identity.isChunkingFree && before > 1 && after > 1);
  }

  async #install(
    request: RestoreRequest,
    prefix: Prefix,
    found: Found,
    start: number,
  ): Promise<Restored | undefined> {
    const { platform, payback, identity, statistics, logger } = this.#parts;
    const { borrow, tail, tokens } = found;
    const payloads = borrow.blocks.map(({ payload }) => payload);
    if (tail !== undefined) payloads.push(tail.payload);
    try {
      const expected = payloadByteLength(identity.geometry, tokens);
      let bytes = 0;
      for (const payload of payloads) bytes += payload.length;
      if (bytes !== expected) {
        const sizes = `stored payloads have ${bytes} bytes; ${expected} are needed`;
        throw new StoreError('CORRUPT', `${sizes} for ${tokens} tokens`);
      }
      await this.#loadState(request, prefix.tokens(0, tokens), payloads);
      payback.noteRestore(bytes, platform.clock.nowMs() - start);
      statistics.restores += 1;
      statistics.restoredTokens += tokens - request.live;
      return restoredOf(prefix, found);
    } catch (error) {
      statistics.failures += 1;
      logger.error('llama: a restore failed', { reason: messageOf(error) });
      return undefined;
    }
  }

  /** Writes the state file, whole, from verified payloads, and has the engine load it. */
  async #loadState(
    { sequence, loadState }: RestoreRequest,
    tokens: Int32Array,
    payloads: readonly Uint8Array[],
  ): Promise<void> {
    const { platform, identity, stateFiles } = this.#parts;
    const target = { streams: identity.streams, stream: 0, sequenceId: 0 };
    const plan = planImage(identity.geometry, tokens, target);
    const path = await stateFiles.create(plan.byteLength);
    try {
      const file = await platform.files.open(path, 'read-write');
      try {
        await file.write(imageBuffers(plan, payloads), 0);
      } finally {
        await file.close();
      }
      await loadState(path, { acceptRisk: true });
    } finally {
      await stateFiles.remove(path);
    }
    if (sequence.nextTokenIndex === tokens.length) return;
    const got = `${sequence.nextTokenIndex} tokens instead of ${tokens.length}`;
    await sequence.clearHistory();
    throw new StoreError('INCOMPATIBLE', `the engine loaded ${got}`);
  }
}

function restoredOf(prefix: Prefix, { borrow, tail, tokens }: Found): Restored {
  const keys = borrow.blocks.map(({ key }) => key);
  if (tail !== undefined) {
    const start = tokens - tail.tokens;
    keys.push(tailDigest(prefix.tip(borrow.blocks.length), prefix.tokens(start, tokens)));
  }
  const decodedBlock = borrow.blocks.findIndex(({ hasDecodedTokens }) => hasDecodedTokens);
  let decodedFrom: number | undefined;
  if (decodedBlock >= 0) decodedFrom = decodedBlock * prefix.blockTokens;
  else if (tail?.hasDecodedTokens === true) decodedFrom = tokens - tail.tokens;
  return { tokens, decodedFrom, keys };
}
