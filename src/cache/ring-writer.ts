import { assert } from '../base/assert.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { BlockToSave } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { LentPlace } from '../blocks/served-store.ts';
import {
  pinKeysMax,
  ringFactWords,
  ringLeavings,
  ringLoanWords,
  ringSaveFlags,
} from '../platform/shared-memory.ts';
import type { SharedMemory, SharedRingCode } from '../platform/shared-memory.ts';
import { LeftKeys } from './left-keys.ts';
import { sharedPaths } from './shared-layout.ts';

/** A save for a ring: at most {@link pinKeysMax} blocks of one chain, one at least. */
export interface SaveToLeave {
  readonly namespace: Namespace;
  readonly parent: BlockKey | undefined;
  readonly fingerprint: string | undefined;
  readonly blocks: readonly BlockToSave[];
  /** Theirs. */
  readonly keys: readonly BlockKey[];
}

/** Payloads of a save that lie in memory which was lent for them, each with its checksum. */
export interface FilledPayloads {
  readonly places: readonly LentPlace[];
  readonly crcs: readonly number[];
}

export type RingLeaving = (typeof ringLeavings)[number];

const noPosition = 0xffffffff;

/**
 * A ring in the memory of a store on this host, as the one client has it whose it is: what it leaves there is accepted
 * without a call (docs/decisions/0111). How entries are written, and the order of steps by which one counts, is native code.
 */
export class RingWriter {
  readonly #code: SharedRingCode;
  readonly #ring: unknown;
  readonly #left = new LeftKeys();
  /** What {@link SharedRingCode.leave} is given; nothing in it is kept from call to call. */
  readonly #words = new Uint32Array(1 + pinKeysMax * ringFactWords);

  private constructor(code: SharedRingCode, ring: unknown) {
    this.#code = code;
    this.#ring = ring;
  }

  /**
   * The ring of that number in the directory. Undefined when its file is not as the store says.
   *
   * @throws the system's error.
   */
  static open(
    memory: SharedMemory,
    directory: string,
    offer: { readonly number: number; readonly byteLength: number },
  ): RingWriter | undefined {
    const code = memory.ring;
    if (code === undefined) return undefined;
    const file = memory.open(sharedPaths.ring(directory, offer.number), 'read-write');
    try {
      // A write behind the end of its file would end the process.
      const ring = file.byteLength === offer.byteLength ? code.open(file.map()) : undefined;
      return ring === undefined ? undefined : new RingWriter(code, ring);
    } finally {
      file.close();
    }
  }

  /** Looks how far the store has taken what was left, for {@link has}. False: it is closed. */
  settle(): boolean {
    const tail = this.#code.look(this.#ring);
    if (tail < 0) return false;
    this.#left.forget(tail);
    return true;
  }

  /** Whether the block was left here, and not taken when {@link settle} was called last: then it is accepted. */
  has(namespace: Namespace, key: BlockKey): boolean {
    return this.#left.has(namespace, key);
  }

  /** Leaves a save, whose payloads lie where they were filled, if they were. */
  leave(save: SaveToLeave, filled?: FilledPayloads): RingLeaving {
    const { namespace, parent, fingerprint, blocks, keys } = save;
    assert(keys.length > 0 && keys.length <= pinKeysMax, 'a ring takes some blocks at a time');
    const words = this.#words;
    words[0] =
      (parent === undefined ? 0 : ringSaveFlags.parent) |
      (fingerprint === undefined ? 0 : ringSaveFlags.fingerprint);
    for (let i = 0; i < blocks.length; i += 1) this.#describe(i, blocks[i]);
    if (filled !== undefined) this.#locate(blocks, filled);
    const before = `${parent ?? ''}${fingerprint ?? ''}`;
    const payloads = filled === undefined ? blocks.map(({ payload }) => payload) : undefined;
    const text = keys.length === 1 ? keys[0] : keys.join('');
    const code = this.#code.leave(this.#ring, namespace, before, text, words, payloads);
    const end = ringLeavings[code];
    if (end === 'left' || end === 'left with news') this.#left.add(namespace, keys, words[0]);
    return end;
  }

  /** Memory for the next payloads of that length; undefined while there is none for so many. */
  loans(count: number, length: number): readonly LentPlace[] | undefined {
    const words = new Uint32Array(count * ringLoanWords);
    if (!this.#code.loans(this.#ring, length, words)) return undefined;
    return Array.from({ length: count }, (_, index) => {
      const [segment, offset, salt, number] = words.subarray(index * ringLoanWords);
      return { segment, offset, salt, number };
    });
  }

  /** There was none for a save: the store is to lend it for the next. True when the store has to be told. */
  want(count: number, length: number): boolean {
    return this.#code.want(this.#ring, count, length);
  }

  /** The store could not be told of news. */
  untold(): void {
    this.#code.untold(this.#ring);
  }

  #describe(index: number, { tokens, position, hasDecodedTokens }: BlockToSave): void {
    const at = 1 + index * ringFactWords;
    this.#words[at] = tokens ?? 0;
    this.#words[at + 1] = position ?? noPosition;
    this.#words[at + 2] = hasDecodedTokens === true ? 1 : 0;
  }

  #locate(blocks: readonly BlockToSave[], { places, crcs }: FilledPayloads): void {
    for (const [index, { segment, offset, number }] of places.entries()) {
      const at = 1 + index * ringFactWords;
      const { length } = blocks[index].payload;
      this.#words.set([crcs[index], length, segment, offset, number], at + 3);
    }
  }
}
