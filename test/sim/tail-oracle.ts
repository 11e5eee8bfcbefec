import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import { isOf } from './names.ts';
import { sameBytes } from './same-bytes.ts';

/** Names a tip in a namespace. */
export interface TipName {
  readonly namespace: Namespace;
  readonly tip: BlockKey;
}

interface TailKnowledge {
  readonly variants: Uint8Array[];
  readonly accepted: Set<string>;
}

/** What must hold of tails. Their tokens are the first of `[0, 1, 2, …]` under a branch. */
export class TailOracle {
  readonly #fail: (message: string) => void;
  readonly #tails = new Map<string, TailKnowledge>();
  /** Objects of tails were damaged or removed: any may be missing. */
  #isWeak = false;

  constructor(fail: (message: string) => void) {
    this.#fail = fail;
  }

  get isWeak(): boolean {
    return this.#isWeak;
  }

  weaken(): void {
    this.#isWeak = true;
  }

  offer(name: TipName, tokens: readonly number[], payload: Uint8Array): void {
    const { variants } = this.#of(name, tokens);
    if (!variants.some((known) => sameBytes(known, payload))) variants.push(payload);
  }

  accept(name: TipName, tokens: readonly number[], by: readonly string[]): void {
    for (const one of by) this.#of(name, tokens).accepted.add(one);
  }

  forgetMachine(machine: string): void {
    for (const { accepted } of this.#tails.values()) {
      for (const name of accepted) if (isOf(machine, name)) accepted.delete(name);
    }
  }

  /** The answer to a query: a tail of so many tokens, or none. */
  check(name: TipName, tokens: readonly number[], payload: Uint8Array): void {
    if (this.#of(name, tokens).variants.some((known) => sameBytes(known, payload))) return;
    this.#fail(`wrong bytes of the tail of ${tokens.length} tokens under ${name.tip}`);
  }

  /** Tokens of the longest tail that one of these accepted and that begins the query. */
  longest(name: TipName, query: readonly number[], by: readonly string[]): number {
    if (this.#isWeak) return 0;
    for (let length = query.length; length > 0; length -= 1) {
      const tail = this.#tails.get(idOf(name, query.slice(0, length)));
      if (tail !== undefined && by.some((one) => tail.accepted.has(one))) return length;
    }
    return 0;
  }

  #of(name: TipName, tokens: readonly number[]): TailKnowledge {
    const id = idOf(name, tokens);
    let tail = this.#tails.get(id);
    if (tail === undefined) {
      tail = { variants: [], accepted: new Set() };
      this.#tails.set(id, tail);
    }
    return tail;
  }
}

/** One attempt to save a raw tail. */
interface RawTailWrite {
  readonly payload: Uint8Array;
  isAccepted: boolean;
  /** Its call has ended, one way or another. */
  isOver: boolean;
  /** A write that began after this one was over has been accepted. */
  isReplaced: boolean;
}

/** A save of a raw tail that is under way. */
export interface RawTailAttempt {
  accepted(): void;
  over(): void;
}

interface RawTailKnowledge {
  readonly writes: RawTailWrite[];
  /** Unset as soon as somebody else writes, or a machine forgets: then any write may show. */
  soleWriter: string | undefined;
  isLoose: boolean;
}

/** What must hold of raw tails: the last writer wins, as far as one machine can know. */
export class RawTailOracle {
  readonly #fail: (message: string) => void;
  readonly #tails = new Map<string, RawTailKnowledge>();

  constructor(fail: (message: string) => void) {
    this.#fail = fail;
  }

  /** From now on any value that was ever written may show. */
  weaken(): void {
    for (const tail of this.#tails.values()) tail.isLoose = true;
  }

  forgetMachine(machine: string): void {
    for (const tail of this.#tails.values()) {
      if (tail.soleWriter === machine) tail.isLoose = true;
    }
  }

  /** A save begins. */
  begin(name: TipName, payload: Uint8Array, machine: string): RawTailAttempt {
    const tail = this.#of(name);
    if (tail.writes.length > 0 && tail.soleWriter !== machine) tail.isLoose = true;
    tail.soleWriter = machine;
    const write: RawTailWrite = { payload, isAccepted: false, isOver: false, isReplaced: false };
    const before = tail.writes.filter(({ isOver }) => isOver);
    tail.writes.push(write);
    return {
      accepted: () => {
        write.isAccepted = true;
        for (const older of before) older.isReplaced = true;
      },
      over: () => {
        write.isOver = true;
      },
    };
  }

  /**
   * A load begins; the result checks its answer. What was written before that and not replaced, and
   * whatever is written meanwhile, may be the answer.
   */
  watch(name: TipName): (payload: Uint8Array | undefined, machine: string | undefined) => void {
    const tail = this.#of(name);
    const replaced = new Set(tail.writes.filter(({ isReplaced }) => isReplaced));
    const wasThere = tail.writes.some(({ isAccepted }) => isAccepted);
    return (payload, machine) => {
      const { writes, isLoose, soleWriter } = tail;
      const isStrict = !isLoose && soleWriter === machine;
      if (payload === undefined) {
        if (isStrict && wasThere) this.#fail(`raw tail of ${name.tip} is missing`);
        return;
      }
      const possible = writes.filter((write) => !isStrict || !replaced.has(write));
      if (possible.some((write) => sameBytes(write.payload, payload))) return;
      this.#fail(`wrong bytes of the raw tail of ${name.tip}`);
    };
  }

  #of(name: TipName): RawTailKnowledge {
    const id = idOf(name, []);
    let tail = this.#tails.get(id);
    if (tail === undefined) {
      tail = { writes: [], soleWriter: undefined, isLoose: false };
      this.#tails.set(id, tail);
    }
    return tail;
  }
}

function idOf({ namespace, tip }: TipName, tokens: readonly number[]): string {
  return `${namespace}/${tip}/${tokens.join()}`;
}
