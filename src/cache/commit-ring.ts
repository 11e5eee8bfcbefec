import { assert } from '../base/assert.ts';
import { limits } from '../blocks/limits.ts';
import type { LentPlace } from '../blocks/served-store.ts';
import { hugePageBytes } from '../platform/shared-memory.ts';
import type { SharedFile, SharedMemory } from '../platform/shared-memory.ts';
import {
  DamagedRing,
  decodeRingEntry,
  encodeRingHeader,
  ringDataStart,
  ringLoanBytes,
  ringLoansStart,
  ringOffsetOf,
  ringUnitBytes,
  ringWords,
  unitsBetween,
} from './ring-layout.ts';
import type { RingEntry, RingShape } from './ring-layout.ts';

/** Whole huge pages: a client that fills the ring for the first time meets five of them, and not two thousand others. */
const takenAtATime = hugePageBytes;

/**
 * The store's side of a ring in which one client leaves saves: each counts from the moment when the client has moved
 * the head behind it, without a call to the store. Whoever has the ring takes them out in their order.
 *
 * The client moves the head and then looks whether the ring is closed; whoever closes it then looks for the head. So
 * of each save either the client learns that it was not taken, or it is found here (docs/decisions/0099).
 */
export class CommitRing {
  readonly number: number;
  readonly #memory: SharedMemory;
  readonly #path: string;
  readonly #shape: RingShape;
  readonly #file: SharedFile;
  readonly #bytes: Uint8Array;
  /** The same by words. */
  readonly #words: Int32Array;

  /** Bytes of the file that have memory, so that no client meets a full file system when it writes there. */
  #takenBytes = 0;

  /**
   * Makes the file. Nobody uses it before it is whole.
   *
   * @throws the system's error.
   */
  constructor(
    memory: SharedMemory,
    { number, path }: { readonly number: number; readonly path: string },
    shape: RingShape,
  ) {
    this.number = number;
    this.#memory = memory;
    this.#path = path;
    this.#shape = shape;
    // Under another name: what has its own is whole, for whoever maps it.
    this.#file = memory.create(unfinishedName(path), ringDataStart + shape.dataBytes);
    this.#bytes = this.#file.map();
    const { buffer, byteOffset, byteLength } = this.#bytes;
    this.#words = new Int32Array(buffer, byteOffset, byteLength / 4);
  }

  /** Takes memory for a piece of the file. False when it has all, or there is none left. */
  takeMemory(): boolean {
    const piece = Math.min(takenAtATime, this.byteLength - this.#takenBytes);
    if (piece === 0 || !this.#file.reserve(this.#takenBytes, piece)) return false;
    if (this.#takenBytes === 0) this.#bytes.set(encodeRingHeader(this.#shape), 0);
    this.#takenBytes += piece;
    if (this.isWhole) this.#memory.rename(unfinishedName(this.#path), this.#path);
    return true;
  }

  get isWhole(): boolean {
    return this.#takenBytes === this.byteLength;
  }

  /** Bytes of the file. */
  get byteLength(): number {
    return this.#file.byteLength;
  }

  /** True when a save waits to be taken out. */
  get hasNews(): boolean {
    return this.#load(ringWords.head) !== this.#load(ringWords.tail);
  }

  /** Units that wait now. */
  get waitingUnits(): number {
    return unitsBetween(this.#load(ringWords.tail), this.#load(ringWords.head));
  }

  /** Where the next save will begin. */
  get head(): number {
    return this.#load(ringWords.head) >>> 0;
  }

  /** True when nothing waits that was there as the head was at the position. */
  hasTaken(position: number): boolean {
    // What is behind the tail is less than the positions that there are by far.
    return unitsBetween(position, this.#load(ringWords.tail)) < 2 ** 31;
  }

  /**
   * A copy of the first entry that waits; there is one.
   *
   * @throws DamagedRing when the client wrote something else.
   */
  first(): RingEntry {
    const tail = this.#load(ringWords.tail) >>> 0;
    const { dataBytes, seed } = this.#shape;
    const start = ringOffsetOf(tail, dataBytes);
    const waiting = this.waitingUnits * ringUnitBytes;
    assert(waiting > 0, 'an entry waits');
    if (waiting > dataBytes)
      throw new DamagedRing(`${waiting} bytes wait in a ring of ${dataBytes}`);
    const most = Math.min(waiting, dataBytes - start);
    const length = this.#words[(ringDataStart + start + 4) / 4] >>> 0;
    // What is longer is refused by what is read of it.
    const copy = new Uint8Array(Math.min(Math.max(length, ringUnitBytes), most));
    const from = ringDataStart + start;
    this.#memory.copy(copy, this.#bytes.subarray(from, from + copy.length));
    return decodeRingEntry(copy, tail, seed);
  }

  /** The first entry, of so many units, is taken: the client may use its place again. */
  advance(units: number): void {
    Atomics.store(this.#words, ringWords.tail / 4, (this.#load(ringWords.tail) + units) | 0);
  }

  /** The client has told of news, and nobody has listened since. */
  get isTold(): boolean {
    return this.#load(ringWords.isTold) !== 0;
  }

  /** From now on the client tells of news. True when there is some already, which it may not tell of. */
  listen(): boolean {
    Atomics.store(this.#words, ringWords.isTold / 4, 0);
    if (!this.hasNews) return false;
    Atomics.store(this.#words, ringWords.isTold / 4, 1);
    return true;
  }

  get isClosed(): boolean {
    return this.#load(ringWords.isClosed) !== 0;
  }

  get isPaused(): boolean {
    return this.#load(ringWords.isPaused) !== 0;
  }

  /** While it is paused the client leaves nothing here and asks the store. */
  set isPaused(isPaused: boolean) {
    Atomics.store(this.#words, ringWords.isPaused / 4, isPaused ? 1 : 0);
  }

  /** For how many payloads of what length the client wants memory; 0: for none. */
  get wanted(): { readonly length: number; readonly count: number } {
    const count = this.#load(ringWords.wantedCount) >>> 0;
    return { length: this.#load(ringWords.wantedBytes) >>> 0, count };
  }

  /** The client may fill that memory, of at most {@link limits.ringLoansMax} that it has not used. */
  offer({ segment, offset, number }: LentPlace, length: number): void {
    const lent = this.#load(ringWords.lent);
    const slot = ((lent >>> 0) % limits.ringLoansMax) * ringLoanBytes;
    this.#words.set([segment, offset, number, length], (ringLoansStart + slot) / 4);
    Atomics.store(this.#words, ringWords.lent / 4, (lent + 1) | 0);
  }

  /** Nothing more is accepted here; what waits is still to be taken out. */
  close(): void {
    Atomics.store(this.#words, ringWords.isClosed / 4, 1);
  }

  /** Removes the file. The client's mapping stays. */
  remove(): void {
    this.#file.close();
    this.#memory.remove(this.isWhole ? this.#path : unfinishedName(this.#path));
  }

  /** Leaves the file to whoever follows the store. */
  leave(): void {
    this.#file.close();
  }

  #load(at: number): number {
    return Atomics.load(this.#words, at / 4);
  }
}

function unfinishedName(path: string): string {
  return `${path}-next`;
}
