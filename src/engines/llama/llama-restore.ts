import type { LlamaContextSequence } from 'node-llama-cpp';
import { messageOf, StoreError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import type {
  Borrow,
  KvStore,
  LoadedBlock,
  Lookup,
  MissReason,
  TailBorrow,
} from '../../blocks/kv-store.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { tailDigest } from '../../blocks/prefix.ts';
import type { Prefix } from '../../blocks/prefix.ts';
import type { Platform } from '../../platform/platform.ts';
import { cutPromptTokensMin } from './batch-rule.ts';
import type { BatchRule } from './batch-rule.ts';
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
  readonly store: Pick<KvStore, 'lookup' | 'load' | 'loadTail' | 'prefetch'>;
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
  /** All but the last token of the prompt, which is computed in any case. */
  readonly tokens: readonly number[];
  /** The prefix of the tokens. */
  readonly prefixOf: () => Prefix;
  readonly rule: BatchRule;
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
  /** Those of the borrow that are used. */
  readonly blocks: readonly LoadedBlock[];
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
    const { policy, payback, platform } = this.#parts;
    const missing = request.tokens.length - request.live;
    // Less than a block is not stored: it is computed sooner than asked for.
    const isShort = request.tokens.length < this.#parts.blockTokens;
    if (policy === 'never' || missing <= 0 || isShort) return undefined;
    const plan = payback.planLookup(missing);
    if (policy === 'when-it-pays' && !plan.pays) return this.#leave();
    const start = platform.clock.nowMs();
    const restored = await this.#restore(request, plan.deadlineMs);
    const saved = restored === undefined ? 0 : restored.tokens - request.live;
    payback.noteOutcome(saved, platform.clock.nowMs() - start);
    return restored;
  }

  /** What is stored is left alone: computing is as fast. */
  #leave(): undefined {
    this.#parts.statistics.notWorthIt += 1;
  }

  async #restore(request: RestoreRequest, lookupDeadlineMs: number): Promise<Restored | undefined> {
    const prefix = request.prefixOf();
    const start = this.#parts.platform.clock.nowMs();
    const found = await this.#find(prefix, request, lookupDeadlineMs);
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
    const lookup = await this.#lookup(prefix, lookupDeadlineMs);
    const matched = lookup?.matched ?? 0;
    const found = matched === 0 ? undefined : await this.#bring(prefix, request, matched);
    const reason = found?.borrow.reason ?? lookup?.reason;
    if (reason !== undefined) this.#parts.statistics.misses[reason] += 1;
    return found;
  }

  /** Loads the blocks that are stored, and the tail behind them, if that pays. */
  async #bring(
    prefix: Prefix,
    request: RestoreRequest,
    matched: number,
  ): Promise<Found | undefined> {
    const { platform, policy, payback, identity, stateFileBytesMax } = this.#parts;
    const most = Math.min((matched + 1) * prefix.blockTokens, prefix.tokenCount);
    const bytes = payloadByteLength(identity.geometry, most);
    if (most <= request.live || bytes > stateFileBytesMax) return undefined;
    const plan = payback.planRestore(most - request.live, bytes);
    if (policy === 'when-it-pays' && !plan.pays) return this.#leave();
    const deadlineMs = policy === 'always' ? undefined : plan.deadlineMs;
    const start = platform.clock.nowMs();
    const found = await this.#load(prefix, request, matched, deadlineMs);
    if (found?.borrow.reason === 'deadline') {
      payback.noteTimeout(bytes, platform.clock.nowMs() - start);
      this.#bringForNextTime(prefix, matched);
    }
    return found;
  }

  /** Has the store bring what came too late, so that it is at hand when the prompt comes again. */
  #bringForNextTime(prefix: Prefix, matched: number): void {
    const { store, namespace, logger } = this.#parts;
    store.prefetch(prefix.keys.slice(0, matched), { namespace }).catch((error: unknown) => {
      logger.info('llama: blocks were not brought for the next time', { reason: messageOf(error) });
    });
  }

  /** How many blocks are stored, and why no more; undefined when the store failed. */
  async #lookup(prefix: Prefix, deadlineMs: number): Promise<Lookup | undefined> {
    const { store, namespace, platform, payback, logger, policy, statistics } = this.#parts;
    const start = platform.clock.nowMs();
    try {
      const options = policy === 'always' ? { namespace } : { namespace, deadlineMs };
      const lookup = await store.lookup(prefix.keys, options);
      this.#noteMissing(prefix, lookup.matched, lookup.reason);
      return lookup;
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
      const { fingerprint } = this.#parts.identity;
      const borrow = await store.load(keys, { namespace, deadlineMs, exact, fingerprint });
      this.#noteMissing(prefix, borrow.blocks.length, borrow.reason);
      return this.#fit(prefix, request.rule, borrow, await loadingTail);
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
    const { fingerprint } = this.#parts.identity;
    const start = matched * prefix.blockTokens;
    const end = Math.min(start + prefix.blockTokens, prefix.tokenCount);
    if (start === end) return undefined;
    const query = { tip: prefix.tip(matched), tokens: prefix.tokens(start, end) };
    try {
      const tail = await store.loadTail(query, { namespace, deadlineMs, exact, fingerprint });
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
    if (reason === undefined || !isLoss(reason)) return;
    this.#parts.stored.delete(prefix.keys.slice(found));
  }

  /** Drops the tail when the blocks end before it, and what would leave a batch that is not regular. */
  #fit(prefix: Prefix, rule: BatchRule, borrow: Borrow, tail: TailBorrow | undefined): Found {
    const { blocks } = borrow;
    const { blockTokens, tokenCount } = prefix;
    const decodedBlock = blocks.findIndex(({ hasDecodedTokens }) => hasDecodedTokens);
    // Behind cells that no fresh prefill computes no batch makes anything exact.
    const decodedEnd = decodedBlock < 0 ? Infinity : (decodedBlock + 1) * blockTokens;
    const isFit = (tokens: number): boolean =>
      tokens >= decodedEnd || mayFollow(rule, tokenCount - tokens, tokenCount);
    if (tail !== undefined) {
      const tokens = blocks.length * blockTokens + tail.tokens;
      if (borrow.reason === undefined && (tail.hasDecodedTokens || isFit(tokens))) {
        return { borrow, blocks, tail, tokens };
      }
      tail.release();
    }
    let count = blocks.length;
    while (count > 0 && !isFit(count * blockTokens)) count -= 1;
    const used = blocks.slice(0, count);
    return { borrow, blocks: used, tail: undefined, tokens: count * blockTokens };
  }

  async #install(
    request: RestoreRequest,
    prefix: Prefix,
    found: Found,
    start: number,
  ): Promise<Restored | undefined> {
    const { platform, payback, identity, statistics, logger } = this.#parts;
    const { blocks, tail, tokens } = found;
    const payloads = blocks.map(({ payload }) => payload);
    if (tail !== undefined) payloads.push(tail.payload);
    try {
      const expected = payloadByteLength(identity.geometry, tokens);
      const bytes = bytesOf(found);
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
    const { identity, stateFiles } = this.#parts;
    const target = { streams: identity.streams, stream: 0, sequenceId: 0 };
    const plan = planImage(identity.geometry, tokens, target);
    await stateFiles.withFile(plan.byteLength, async (file) => {
      // What a kept file holds behind the image stays: the engine reads as much as the state says.
      await file.write(imageBuffers(plan, payloads));
      await loadState(file.path, { acceptRisk: true });
    });
    if (sequence.nextTokenIndex === tokens.length) return;
    const got = `${sequence.nextTokenIndex} tokens instead of ${tokens.length}`;
    await sequence.clearHistory();
    throw new StoreError('INCOMPATIBLE', `the engine loaded ${got}`);
  }
}

/** True when the store does not have the block, so that a save stores it. */
function isLoss(reason: MissReason): boolean {
  return reason === 'unknown' || reason === 'evicted' || reason === 'corrupt';
}

/** Whether `rest` tokens of a prompt may be computed after those restored; see {@link BatchRule}. */
function mayFollow(rule: BatchRule, rest: number, tokens: number): boolean {
  // Then only the last token is left: it is computed by itself in every process, or in none.
  if (rest === 0) return tokens + 1 >= cutPromptTokensMin;
  return rule.isRegular(rest);
}

function bytesOf({ blocks, tail }: Found): number {
  let bytes = tail?.payload.length ?? 0;
  for (const { payload } of blocks) bytes += payload.length;
  return bytes;
}

function restoredOf(prefix: Prefix, { blocks, tail, tokens }: Found): Restored {
  const keys = blocks.map(({ key }) => key);
  if (tail !== undefined) {
    const start = tokens - tail.tokens;
    keys.push(tailDigest(prefix.tip(blocks.length), prefix.tokens(start, tokens)));
  }
  const decodedBlock = blocks.findIndex(({ hasDecodedTokens }) => hasDecodedTokens);
  let decodedFrom: number | undefined;
  if (decodedBlock >= 0) decodedFrom = decodedBlock * prefix.blockTokens;
  else if (tail?.hasDecodedTokens === true) decodedFrom = tokens - tail.tokens;
  return { tokens, decodedFrom, keys };
}
