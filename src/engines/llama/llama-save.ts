import type { LlamaContextSequence } from 'node-llama-cpp';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import type { BlockToSave, KvStore } from '../../blocks/kv-store.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { tailDigest } from '../../blocks/prefix.ts';
import type { Prefix } from '../../blocks/prefix.ts';
import type { OpenFile } from '../../platform/files.ts';
import type { Platform } from '../../platform/platform.ts';
import type { LlamaIdentity } from './llama-identity.ts';
import type { LlamaStatistics } from './llama-statistics.ts';
import type { SequenceHistory } from './sequence-history.ts';
import type { StateFiles } from './state-files.ts';
import { equalGeometry, payloadByteLength } from './state-layout.ts';
import { readState } from './state-parse.ts';
import type { LlamaState } from './state-parse.ts';
import { readCells } from './state-payload.ts';
import type { StoredKeys } from './stored-keys.ts';

export interface SaveParts {
  readonly platform: Platform;
  readonly store: KvStore;
  readonly namespace: Namespace | undefined;
  readonly logger: Logger;
  readonly identity: LlamaIdentity;
  readonly blockTokens: number;
  readonly stateFiles: StateFiles;
  readonly statistics: LlamaStatistics;
  readonly stateFileBytesMax: number;
  /** Keys known to be stored, shared with the restoring side. */
  readonly stored: StoredKeys;
}

/** A sequence at rest, and what is known of it. */
export interface SaveRequest {
  readonly sequence: LlamaContextSequence;
  readonly history: SequenceHistory;
  /** The prefix of the sequence's tokens; hashes only what it has not hashed before. */
  readonly prefixOf: (tokens: readonly number[]) => Prefix;
}

/** Tokens from `start` up to `end` that fill no block and are to be stored. */
interface TailRange {
  readonly start: number;
  readonly end: number;
}

/** What of a sequence is new. */
interface SaveWork {
  readonly tokens: readonly number[];
  readonly prefix: Prefix;
  /** Indexes of blocks to save, ascending. */
  readonly blocks: readonly number[];
  readonly tails: readonly TailRange[];
  /** What the history said when this was planned. */
  readonly historyChanges: number;
  readonly decodedFrom: number | undefined;
}

/** Payload bytes that one call to the store carries. */
const bytesPerSaveMax = 256 * 1024 * 1024;
/** Bytes of a state file beyond payloads, per token, at most: tokens and cells. */
const headBytesPerToken = 16;

/** Stores what a sequence holds: full blocks, and tails where prompts and the sequence end. */
export class LlamaSave {
  readonly #parts: SaveParts;

  constructor(parts: SaveParts) {
    this.#parts = parts;
  }

  /**
   * Exports the sequence and saves what is new. Without anything new it does not export. Never
   * rejects: a state that cannot be saved is counted and the engine goes on.
   */
  async save(request: SaveRequest): Promise<void> {
    const { statistics, logger } = this.#parts;
    const { sequence, history } = request;
    if ((history.taintedFrom ?? Infinity) < sequence.nextTokenIndex) {
      // Also what lies before: new cells fill the holes, and a state file has them in that order.
      statistics.tainted += 1;
      return;
    }
    const work = this.#plan(request);
    if (work.blocks.length === 0 && work.tails.length === 0) {
      statistics.skippedSaves += 1;
      return;
    }
    try {
      await this.#export(request, work);
    } catch (error) {
      statistics.failures += 1;
      logger.error('llama: a state was not saved', { reason: messageOf(error) });
    }
  }

  #plan({ sequence, history, prefixOf }: SaveRequest): SaveWork {
    const { blockTokens, stored } = this.#parts;
    const tokens = plainTokens(sequence.contextTokens);
    const prefix = prefixOf(tokens);
    const blocks: number[] = [];
    prefix.keys.forEach((key, index) => {
      if (!stored.has(key)) blocks.push(index);
    });
    const tails: TailRange[] = [];
    for (const end of new Set([...history.promptEnds, tokens.length])) {
      const start = end - (end % blockTokens);
      if (end > tokens.length || start === end || start === 0) continue;
      // Where the block before it was lost, the tail was too.
      const isBlockStored = stored.has(prefix.tip(start / blockTokens));
      if (!isBlockStored || !stored.has(digestOf(prefix, { start, end }))) {
        tails.push({ start, end });
      }
    }
    const { changes: historyChanges, decodedFrom } = history;
    return { tokens, prefix, blocks, tails, historyChanges, decodedFrom };
  }

  async #export({ sequence, history }: SaveRequest, work: SaveWork): Promise<void> {
    const { platform, statistics, identity, stateFiles, stateFileBytesMax } = this.#parts;
    const cells = sequence.contextTokens.length;
    const byteLength = payloadByteLength(identity.geometry, cells) + cells * headBytesPerToken;
    if (byteLength > stateFileBytesMax) {
      statistics.tooLarge += 1;
      return;
    }
    const path = await stateFiles.create(byteLength);
    try {
      await sequence.saveStateToFile(path);
      statistics.exports += 1;
      // The sequence may have moved on since the plan; then this is not what was planned to be saved.
      if (history.changes !== work.historyChanges) return;
      const file = await platform.files.open(path, 'read');
      try {
        const state = await readState(file);
        if (!this.#isStillThere(state, work.tokens)) return;
        await this.#saveTails(file, state, work);
        await this.#saveBlocks(file, state, work);
      } finally {
        await file.close();
      }
    } finally {
      await stateFiles.remove(path);
    }
  }

  #isStillThere(state: LlamaState, tokens: readonly number[]): boolean {
    if (!equalGeometry(state.geometry, this.#parts.identity.geometry)) return false;
    return state.cells >= tokens.length && tokens.every((token, i) => state.tokens[i] === token);
  }

  /** From the last blocks to the first, so that the head shows when the rest is there. */
  async #saveBlocks(file: OpenFile, state: LlamaState, work: SaveWork): Promise<void> {
    const blockBytes = payloadByteLength(state.geometry, this.#parts.blockTokens);
    const perCall = Math.max(1, Math.floor(bytesPerSaveMax / blockBytes));
    const { blocks } = work;
    for (let end = blocks.length; end > 0;) {
      // Blocks that follow one another: those of a call are one chain.
      let start = end - 1;
      while (start > 0 && end - start < perCall && blocks[start - 1] === blocks[start] - 1)
        start -= 1;
      await this.#saveSomeBlocks(file, state, work, blocks.slice(start, end));
      end = start;
    }
  }

  async #saveSomeBlocks(
    file: OpenFile,
    state: LlamaState,
    { prefix, decodedFrom }: SaveWork,
    indexes: readonly number[],
  ): Promise<void> {
    const { store, namespace, identity, blockTokens, statistics, stored } = this.#parts;
    const byteLength = payloadByteLength(state.geometry, blockTokens);
    const cuts = indexes.map((index) => ({
      range: { start: index * blockTokens, end: (index + 1) * blockTokens },
      target: new Uint8Array(byteLength),
    }));
    await readCells(file, state, cuts);
    const blocks = indexes.map((index, at): BlockToSave => ({
      key: prefix.keys[index],
      payload: cuts[at].target,
      tokens: blockTokens,
      position: index * blockTokens,
      hasDecodedTokens: hasDecoded(decodedFrom, cuts[at].range.end),
    }));
    const parent = indexes[0] === 0 ? undefined : prefix.keys[indexes[0] - 1];
    const { fingerprint } = identity;
    const result = await store.save(blocks, { namespace, parent, fingerprint });
    statistics.savedBlocks += result.saved;
    statistics.savedBytes += result.savedBytes;
    stored.add(blocks.map(({ key }) => key));
  }

  async #saveTails(file: OpenFile, state: LlamaState, work: SaveWork): Promise<void> {
    const { store, namespace, identity, blockTokens, statistics, stored } = this.#parts;
    const { fingerprint } = identity;
    for (const range of work.tails) {
      const target = new Uint8Array(payloadByteLength(state.geometry, range.end - range.start));
      await readCells(file, state, [{ range, target }]);
      const tip = work.prefix.tip(range.start / blockTokens);
      const tokens = work.prefix.tokens(range.start, range.end);
      const hasDecodedTokens = hasDecoded(work.decodedFrom, range.end);
      const tail = { tip, tokens, payload: target, position: range.start, hasDecodedTokens };
      const result = await store.saveTail(tail, { namespace, fingerprint });
      statistics.savedTails += result.saved;
      statistics.savedBytes += result.savedBytes;
      stored.add([digestOf(work.prefix, range)]);
    }
  }
}

function digestOf(prefix: Prefix, { start, end }: TailRange): BlockKey {
  return tailDigest(prefix.tip(start / prefix.blockTokens), prefix.tokens(start, end));
}

/** True when a cell before `end` was decoded by itself, so that those behind it differ too. */
function hasDecoded(decodedFrom: number | undefined, end: number): boolean {
  return decodedFrom !== undefined && decodedFrom < end;
}

/** The tokens as numbers, up to the first that is none. */
function plainTokens(tokens: readonly unknown[]): readonly number[] {
  const plain: number[] = [];
  for (const token of tokens) {
    if (typeof token !== 'number') break;
    plain.push(token);
  }
  return plain;
}
