import { assert } from '../base/assert.ts';
import { limits } from '../blocks/limits.ts';

/** Memory of that many bytes, or undefined when the system has none to give. */
export type TakeMemory = (byteLength: number) => SlabBytes | undefined;

/** The same, taken on another thread. */
export type TakeMemoryLater = (byteLength: number) => Promise<SlabBytes | undefined>;

/** Memory that worker threads share: all of a buffer, or a part. */
export type SlabBytes = Uint8Array<SharedArrayBuffer>;

/**
 * The memory behind the slabs of one tier: taken from the system within a budget, and made ahead of
 * need where the owner asks for it. It counts; what lies in the memory is not its business.
 */
export class SlabMemory {
  readonly budgetBytes: number;
  /** Size of a full slab: what is made ahead of need has it. */
  readonly slabBytesMax: number;
  readonly #takeMemory: TakeMemory;
  readonly #giveBackMemory: (memory: SlabBytes) => void;
  readonly #takeMemoryLater: TakeMemoryLater | undefined;
  /** The budget; for a while after the system refused memory what had been taken by then. */
  #ceilingBytes: number;
  /** Wants until the system is asked again; 0 when it has refused nothing. */
  #restWants = 0;
  #takenBytes = 0;
  /** Buffers made ahead of need, and not used since. Part of the bytes taken. */
  readonly #blanks: SlabBytes[] = [];
  #prefaultBytes = 0;
  /** What another thread is making. Part of the bytes taken. */
  #comingBytes = 0;
  /** What was made ahead of need was not what was needed. */
  #isAheadVain = false;
  /** The blank whose pages are being touched, and how far that has come. */
  #cold: Uint8Array | undefined = undefined;
  #coldOffset = 0;

  constructor(
    budgetBytes: number,
    takeMemory: TakeMemory,
    giveBackMemory: (memory: SlabBytes) => void,
    takeMemoryLater?: TakeMemoryLater,
  ) {
    assert(Number.isSafeInteger(budgetBytes) && budgetBytes >= 0, `memory budget ${budgetBytes}`);
    this.budgetBytes = budgetBytes;
    this.#ceilingBytes = budgetBytes;
    this.#takeMemory = takeMemory;
    this.#giveBackMemory = giveBackMemory;
    this.#takeMemoryLater = takeMemoryLater;
    const share = roundDown(budgetBytes / slabsMin, limits.extentBytesUnit);
    this.slabBytesMax = Math.min(limits.slabBytes, Math.max(limits.extentBytesUnit, share));
  }

  /** Bytes taken from the system and not given back. Never more than the budget. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Most bytes that can be had now. */
  get ceilingBytes(): number {
    return this.#ceilingBytes;
  }

  /** True when memory is made ahead of need by another thread. */
  get isTakenLater(): boolean {
    return this.#takeMemoryLater !== undefined;
  }

  /** Most bytes that are taken while somebody waits, but for an extent that is longer. */
  get atOnceBytesMax(): number {
    return this.isTakenLater ? limits.takenAtOnceBytesMax : Infinity;
  }

  /** Bytes made ahead of need, or being made, and not used since. */
  get aheadBytes(): number {
    return this.#blanks.reduce((sum, blank) => sum + blank.byteLength, this.#comingBytes);
  }

  /** Bytes that may still be taken. */
  get roomBytes(): number {
    return this.#ceilingBytes - this.#takenBytes;
  }

  /** New memory, not longer than `roomBytes`. When the system refuses, there is no room for a while. */
  take(byteLength: number): SlabBytes | undefined {
    assert(byteLength > 0 && byteLength <= this.roomBytes, 'slabs stay within the budget');
    const memory = this.#takeMemory(byteLength);
    if (memory === undefined) {
      this.#noteRefusal();
      return undefined;
    }
    this.#takenBytes += byteLength;
    return memory;
  }

  #noteRefusal(): void {
    this.#ceilingBytes = this.#takenBytes;
    this.#restWants = wantsAfterRefusal;
  }

  /** An extent is wanted: what the system refused a good while ago it may have now. */
  noteWant(): void {
    if (this.#restWants === 0) return;
    this.#restWants -= 1;
    if (this.#restWants === 0) this.#ceilingBytes = this.budgetBytes;
  }

  /** The caller lets go of the memory; the next garbage collection gives it to the system. */
  giveBack(memory: SlabBytes): void {
    this.#takenBytes -= memory.byteLength;
    assert(this.#takenBytes >= 0, 'what is given back was taken');
    this.#giveBackMemory(memory);
  }

  /** Memory made ahead of need that suits, if there is one. */
  takeBlank(suits: (memory: SlabBytes) => boolean): SlabBytes | undefined {
    const index = this.#blanks.findLastIndex(suits);
    return index < 0 ? undefined : this.#removeBlank(index);
  }

  /**
   * Gives back memory that was made ahead of need and suits nobody. What is needed has other
   * sizes, then, so nothing more is made ahead.
   */
  dropBlank(): boolean {
    if (this.#blanks.length === 0) return false;
    this.giveBack(this.#removeBlank(this.#blanks.length - 1));
    this.#prefaultBytes = 0;
    this.#isAheadVain = true;
    return true;
  }

  /** Sets up to how many bytes in all `prefaultStep` takes memory ahead of need. */
  planPrefault(byteLength: number): void {
    assert(Number.isSafeInteger(byteLength) && byteLength >= 0, `prefault of ${byteLength} bytes`);
    this.#prefaultBytes = byteLength;
  }

  /** The same for as much as that beside what is in use now, unless such memory suited nobody before. */
  planAhead(byteLength: number): void {
    if (this.#isAheadVain) return;
    this.planPrefault(this.#takenBytes - this.aheadBytes + byteLength);
  }

  /**
   * Takes memory for the plan on another thread, where that can be done, which touches it too. It counts as taken
   * from the call on. False when the plan is fulfilled, or memory is taken by the steps.
   */
  async prefaultLater(): Promise<boolean> {
    const byteLength = this.#missingBytes;
    if (this.#takeMemoryLater === undefined || byteLength <= 0) return false;
    assert(this.#comingBytes === 0, 'memory is made one after the other');
    this.#comingBytes = byteLength;
    this.#takenBytes += byteLength;
    const memory = await this.#takeMemoryLater(byteLength);
    this.#comingBytes = 0;
    if (memory === undefined) {
      this.#takenBytes -= byteLength;
      this.#noteRefusal();
      return false;
    }
    if (this.#isAheadVain) {
      this.giveBack(memory);
      return false;
    }
    this.#blanks.push(memory);
    return true;
  }

  /**
   * Touches the pages of at most one mebibyte of memory that it takes. False when there is none to touch, or another
   * thread does both.
   */
  prefaultStep(): boolean {
    const cold = this.#cold ?? (this.isTakenLater ? undefined : this.#makeBlank());
    if (cold === undefined) return false;
    const end = Math.min(cold.length, this.#coldOffset + prefaultStepBytes);
    for (let at = this.#coldOffset; at < end; at += pageBytes) cold[at] = 0;
    this.#coldOffset = end;
    this.#cold = end < cold.length ? cold : undefined;
    return true;
  }

  #makeBlank(): Uint8Array | undefined {
    const byteLength = this.#missingBytes;
    const memory = byteLength <= 0 ? undefined : this.take(byteLength);
    if (memory === undefined) return undefined;
    this.#blanks.push(memory);
    this.#cold = memory;
    this.#coldOffset = 0;
    return memory;
  }

  /** How long the next memory ahead of need is to be; none when it is not more than 0. */
  get #missingBytes(): number {
    const missingBytes = Math.min(this.#prefaultBytes - this.#takenBytes, this.roomBytes);
    return Math.min(this.slabBytesMax, roundDown(missingBytes, limits.extentBytesUnit));
  }

  #removeBlank(index: number): SlabBytes {
    const [memory] = this.#blanks.splice(index, 1);
    // Its pages are written by users from now on.
    if (this.#cold === memory) this.#cold = undefined;
    return memory;
  }
}

/** `value` rounded down to a multiple of `unit`. */
export function roundDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}

/** A budget makes at least this many full slabs, so that several size classes can share it. */
const slabsMin = 16;

/** Unit in which the system makes memory real. */
const pageBytes = 4096;

/** Bytes that one step touches: about a millisecond's worth (memory-tier.bench.ts). */
const prefaultStepBytes = 1024 * 1024;

/**
 * Extents that are wanted before the system is asked again for memory that it refused: to be refused costs V8
 * garbage collections, so it shall be rare; and a moment without memory shall not cost the tier for good.
 */
const wantsAfterRefusal = 256;
