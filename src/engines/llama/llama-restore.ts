import type { LlamaContextSequence } from 'node-llama-cpp';
import { isStoreError, messageOf, StoreError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import type { Borrow, KvStore, TailBorrow } from '../../blocks/kv-store.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { Prefix, tailDigest } from '../../blocks/prefix.ts';
import type { Platform } from '../../platform/platform.ts';
import type { LlamaIdentity } from './llama-identity.ts';
import type { LlamaStatistics } from './llama-statistics.ts';
import type { Payback } from './payback.ts';
import type { StateFiles } from './state-files.ts';
import { imageBuffers, planImage } from './state-image.ts';
import { payloadByteLength } from './state-layout.ts';

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
}

/** A prompt that a sequence is about to evaluate. */
export interface RestoreRequest {
  readonly sequence: LlamaContextSequence;
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
    const { platform, store, namespace, policy, payback, identity, exact } = this.#parts;
    const matched = await this.#lookup(prefix, lookupDeadlineMs);
    const most = Math.min((matched + 1) * prefix.blockTokens, prefix.tokenCount);
    const bytes = payloadByteLength(identity.geometry, most);
    if (most <= request.live || bytes > this.#parts.stateFileBytesMax) return undefined;
    const plan = payback.planRestore(most - request.live, bytes);
    if (policy === 'when-it-pays' && !plan.pays) return undefined;
    const deadlineMs = policy === 'always' ? undefined : plan.deadlineMs;
    const options = { namespace, deadlineMs, exact };
    const start = platform.clock.nowMs();
    try {
      const [borrow, tail] = await Promise.all([
        store.load(prefix.keys.slice(0, matched), options),
        this.#loadTail(prefix, matched, deadlineMs),
      ]);
      // What did not come in time counts as slow as it was, so that the next plan knows better.
      if (borrow.reason === 'deadline') {
        payback.noteRestore(bytes, 2 * (platform.clock.nowMs() - start));
      }
      return this.#fit(prefix, matched, borrow, tail);
    } catch (error) {
      this.#parts.statistics.failures += 1;
      this.#parts.logger.error('llama: loading failed', { reason: messageOf(error) });
      return undefined;
    }
  }

  async #lookup(prefix: Prefix, deadlineMs: number): Promise<number> {
    const { store, namespace, platform, payback, logger, policy, statistics } = this.#parts;
    if (prefix.keys.length === 0) return 0;
    const start = platform.clock.nowMs();
    try {
      const options = policy === 'always' ? { namespace } : { namespace, deadlineMs };
      const { matched } = await store.lookup(prefix.keys, options);
      return matched;
    } catch (error) {
      statistics.failures += 1;
      logger.error('llama: the lookup failed', { reason: messageOf(error) });
      return 0;
    } finally {
      payback.noteLookup(platform.clock.nowMs() - start);
    }
  }

  /** A tail continues the last matched block; it is no loss when there is none. */
  async #loadTail(
    prefix: Prefix,
    matched: number,
    deadlineMs: number | undefined,
  ): Promise<TailBorrow | undefined> {
    const { store, namespace, exact, statistics, logger } = this.#parts;
    const start = matched * prefix.blockTokens;
    const end = Math.min(start + prefix.blockTokens, prefix.tokenCount);
    if (start === end) return undefined;
    const query = { tip: prefix.tip(matched), tokens: prefix.tokens(start, end) };
    try {
      return await store.loadTail(query, { namespace, deadlineMs, exact });
    } catch (error) {
      if (!isStoreError(error)) throw error;
      statistics.failures += 1;
      logger.info('llama: loading a tail failed', { reason: messageOf(error) });
      return undefined;
    }
  }

  /** Drops the tail when the blocks end before it, or when using it could change results. */
  #fit(prefix: Prefix, matched: number, borrow: Borrow, tail: TailBorrow | undefined): Found {
    const blocksEnd = borrow.blocks.length * prefix.blockTokens;
    const isUsable =
      tail !== undefined &&
      borrow.blocks.length === matched &&
      (blocksEnd + tail.tokens === prefix.tokenCount ||
        tail.hasDecodedTokens ||
        this.#parts.identity.isChunkingFree);
    if (isUsable) return { borrow, tail, tokens: blocksEnd + tail.tokens };
    tail?.release();
    return { borrow, tail: undefined, tokens: blocksEnd };
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
      await this.#loadState(request.sequence, prefix.tokens(0, tokens), payloads);
      payback.noteRestore(bytes, platform.clock.nowMs() - start);
      statistics.restores += 1;
      statistics.restoredTokens += tokens - request.live;
      return restoredOf(prefix, found);
    } catch (error) {
      statistics.failures += 1;
      logger.error('llama: a restore failed', { reason: messageOf(error) });
      await request.sequence.clearHistory();
      return undefined;
    }
  }

  /** Writes the state file, whole, from verified payloads, and has the engine load it. */
  async #loadState(
    sequence: LlamaContextSequence,
    tokens: Int32Array,
    payloads: readonly Uint8Array[],
  ): Promise<void> {
    const { platform, identity, stateFiles } = this.#parts;
    const target = { streams: identity.streams, stream: 0, sequenceId: 0 };
    const plan = planImage(identity.geometry, tokens, target);
    const path = await stateFiles.pathFor(plan.byteLength);
    try {
      const file = await platform.files.open(path, 'create-new');
      try {
        await file.write(imageBuffers(plan, payloads), 0);
      } finally {
        await file.close();
      }
      await sequence.loadStateFromFile(path, { acceptRisk: true });
    } finally {
      await stateFiles.remove(path);
    }
    if (sequence.nextTokenIndex !== tokens.length) {
      const got = `${sequence.nextTokenIndex} tokens instead of ${tokens.length}`;
      throw new StoreError('INCOMPATIBLE', `the engine loaded ${got}`);
    }
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
