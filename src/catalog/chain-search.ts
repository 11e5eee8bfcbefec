import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';

/** What a search can ask. All of it is about the blocks of one chain, by index. */
export interface ChainSource {
  /** Known to be stored, locally or by an answer of the object store. */
  isCertain(index: number): boolean;
  /** Known to be stored, if only from a list. */
  isKnown(index: number): boolean;
  /** The first block from there on that is not known; the length of the chain when there is none. */
  knownEnd(from: number): number;
  /** Believed absent since a moment ago. */
  isAbsent(index: number): boolean;
  /**
   * Asks the object store for the block's header: the keys that follow it, or undefined when it is
   * not there. Remembers the answer.
   */
  readFollowing(index: number): Promise<readonly BlockKey[] | undefined>;
  /** Asks whether the block is there. Remembers the answer. */
  confirm(index: number): Promise<boolean>;
  /** Remembers that a list names the block, or that blocks behind it are there. */
  hope(index: number): void;
}

/**
 * How many leading blocks of the chain are stored, by few requests and no list of the bucket:
 *
 * 1. The header of the first unknown block names up to 63 blocks that follow it; go on behind them.
 * 2. After two short lists in a row (a conversation saved turn by turn) probe at {@link probedShares}
 *    of the rest at once, then between the last one that is there and the first that is not, three at a
 *    time.
 * 3. The last block that is known only from a list is confirmed, and the list narrowed down in the
 *    same way when it is gone. Behind a short list that is asked together with the next header, which
 *    is most likely not there.
 *
 * About n/64 + 3 requests for n blocks saved in one go. What counts in time is how often one request
 * waits for another, for a bucket may be far away (docs/decisions/0042). Presence is taken to end once: whatever
 * removes blocks removes the deepest first. `progress` is told the match so far, for callers whose
 * time runs out.
 */
export async function searchChain(
  keys: readonly BlockKey[],
  source: ChainSource,
  progress: (matched: number) => void,
): Promise<number> {
  const search = new ChainSearch(keys, source, progress);
  return search.run();
}

class ChainSearch {
  readonly #keys: readonly BlockKey[];
  readonly #source: ChainSource;
  readonly #progress: (matched: number) => void;

  constructor(keys: readonly BlockKey[], source: ChainSource, progress: (matched: number) => void) {
    this.#keys = keys;
    this.#source = source;
    this.#progress = progress;
  }

  async run(): Promise<number> {
    const source = this.#source;
    let matched = this.#skipKnown(0);
    let shortLists = 0;
    while (matched < this.#keys.length && !source.isAbsent(matched)) {
      if (shortLists >= limits.shortListsBeforeProbing) {
        const first = matched;
        matched = this.#skipKnown(await this.#probeAhead(first));
        // Behind a hole the next block may not have been asked for yet.
        if (matched === first) break;
        continue;
      }
      const listed =
        shortLists === 0 ? await this.#follow(matched) : await this.#followAndConfirm(matched);
      if (listed === undefined) break;
      shortLists = listed < limits.followingKeysMax ? shortLists + 1 : 0;
      matched = this.#skipKnown(matched + 1);
    }
    return this.#confirmLast(matched);
  }

  #skipKnown(from: number): number {
    const end = this.#source.knownEnd(from);
    this.#progress(end);
    return end;
  }

  /** Reads a header; resolves to how many keys of this chain it lists, undefined when absent. */
  async #follow(index: number): Promise<number | undefined> {
    const following = await this.#source.readFollowing(index);
    if (following === undefined) return undefined;
    let listed = 0;
    while (listed < following.length && following[listed] === this.#keys[index + 1 + listed]) {
      listed += 1;
      this.#source.hope(index + listed);
    }
    return listed;
  }

  /** As {@link #follow}, and makes sure of the block before at the same time. */
  async #followAndConfirm(index: number): Promise<number | undefined> {
    const source = this.#source;
    const isCertain = source.isCertain(index - 1);
    const [listed] = await Promise.all([
      this.#follow(index),
      isCertain ? true : source.confirm(index - 1),
    ]);
    return listed;
  }

  /** As {@link #follow}, but asks nobody for what is known: it may not be in the bucket yet. */
  #probe(index: number): Promise<number | undefined> {
    return this.#source.isKnown(index) ? Promise.resolve(0) : this.#follow(index);
  }

  /** Probes from the first unknown block on; resolves to the number of leading blocks found. */
  async #probeAhead(first: number): Promise<number> {
    const last = this.#keys.length - 1;
    const length = last - first + 1;
    const ahead = probedShares.map((share) => first + Math.floor(length * share));
    const probes = [...new Set([...ahead, last])];
    const answers = await Promise.all(probes.map((index) => this.#probe(index)));
    let present = first - 1;
    let absent = this.#keys.length;
    answers.forEach((answer, at) => {
      if (answer === undefined) absent = Math.min(absent, probes[at]);
      else present = Math.max(present, probes[at] + answer);
    });
    const end = await narrow(present, absent, (index) => this.#probe(index));
    for (let index = 0; index <= end; index += 1) this.#source.hope(index);
    this.#progress(end + 1);
    return end + 1;
  }

  /** Makes sure of the last matched block, for a list may have outlived what it lists. */
  async #confirmLast(matched: number): Promise<number> {
    const source = this.#source;
    if (matched === 0 || source.isCertain(matched - 1)) return matched;
    if (!source.isAbsent(matched - 1) && (await source.confirm(matched - 1))) return matched;
    let present = matched - 1;
    while (present > 0 && !source.isCertain(present - 1)) present -= 1;
    // Blocks below `present` are certain; the last of the list is not there.
    const last = await narrow(present - 1, matched - 1, async (index) =>
      source.isCertain(index) || (await source.confirm(index)) ? 0 : undefined,
    );
    return last + 1;
  }
}

/**
 * Where the rest of a conversation is probed at once, beside its end. Mostly the keys are those of all earlier turns
 * and of a new one: the end lies close behind the last share then, and else the others divide what is before
 * (docs/decisions/0103).
 */
const probedShares = [1 / 4, 5 / 8, 15 / 16];

/**
 * The last block that is there, given one that is (or the place before the first) and one that is
 * not. `probe` tells how many more are there behind a block, or undefined when it is not there. Asks
 * for some at once: half the rounds of a bisection for half as many requests again.
 */
async function narrow(
  lastPresent: number,
  firstAbsent: number,
  probe: (index: number) => Promise<number | undefined>,
): Promise<number> {
  let present = lastPresent;
  let absent = Math.max(firstAbsent, present + 1);
  while (absent - present > 1) {
    const gap = absent - present;
    const start = present;
    const count = Math.min(limits.narrowingProbes, gap - 1);
    const probes = Array.from(
      { length: count },
      (_, at) => start + Math.floor((gap * (at + 1)) / (count + 1)),
    );
    const answers = await Promise.all(probes.map(probe));
    answers.forEach((listed, at) => {
      if (listed !== undefined) present = Math.min(probes[at] + listed, absent - 1);
    });
    for (const [at, listed] of answers.entries()) {
      if (listed === undefined && probes[at] > present) absent = Math.min(absent, probes[at]);
    }
  }
  return present;
}
