import { dirname, join } from 'node:path';
import { crc32cByTable } from '../../src/base/crc32c.ts';
import type { SharedMemory } from '../../src/platform/shared-memory.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

/** A block that is left in a ring. */
export interface LeftBlock {
  readonly key: string;
  readonly payload: Uint8Array;
  readonly tokens?: number | undefined;
  /** Where the payload lies already; absent: the entry holds it. */
  readonly loan?: Loan | undefined;
}

/** Memory for one payload of that length, as a ring tells of it. */
export interface Loan {
  readonly segment: number;
  /** In units of 4 KiB. */
  readonly offset: number;
  readonly number: number;
  readonly length: number;
}

const dataAt = 4096;
const unitBytes = 64;
const words = {
  ...{ head: 64, tail: 128, isClosed: 192, isTold: 256, isPaused: 320 },
  ...{ wantedBytes: 384, wantedCount: 388, lent: 448 },
} as const;
const loansAt = 1024;
const loansMax = 128;
const payloadAt = 2304;
const stampsMax = 16384;

export type Left = 'accepted' | 'accepted with news' | 'closed' | 'full' | 'paused';

/** What the C library does with a ring, written once more for tests. Native code is there. */
export class RingClient {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #units: number;
  readonly #path: string;
  readonly #shared: SharedMemory;
  #head: number;
  /** Loans that were used. */
  #used = 0;

  constructor(path: string, shared: SharedMemory = nativeMemory()) {
    this.#path = path;
    this.#shared = shared;
    const file = shared.open(path, 'read-write');
    this.bytes = file.map();
    file.close();
    this.#view = new DataView(this.bytes.buffer, this.bytes.byteOffset);
    this.#words = new Int32Array(this.bytes.buffer, this.bytes.byteOffset, 1024);
    this.#units = this.#view.getUint32(12, true) / unitBytes;
    this.#head = this.word('head');
  }

  word(name: keyof typeof words): number {
    return Atomics.load(this.#words, words[name] / 4) >>> 0;
  }

  set(name: keyof typeof words, value: number): void {
    Atomics.store(this.#words, words[name] / 4, value | 0);
  }

  /** Says for what it wants memory. True when the store has to be told. */
  want(length: number, count: number): boolean {
    this.set('wantedCount', count);
    this.set('wantedBytes', length);
    return Atomics.exchange(this.#words, words.isTold / 4, 1) === 0;
  }

  /** Loans that were made and not used. */
  loans(): readonly Loan[] {
    const count = (this.word('lent') - this.#used) >>> 0;
    return Array.from({ length: count }, (_, index) => {
      const at = loansAt + ((this.#used + index) % loansMax) * 16;
      const [segment, offset, number, length] = [0, 4, 8, 12].map((word) =>
        this.#view.getUint32(at + word, true),
      );
      return { segment, offset, number, length };
    });
  }

  /** The memory of a loan, from the beginning of its extent; what is written there is written in place. */
  memoryOf({ segment, offset, length }: Loan): Uint8Array {
    const path = join(dirname(this.#path), `segment-${segment}`);
    const file = this.#shared.open(path, 'read-write');
    const start = offset * 4096;
    const bytes = file.map().subarray(start, start + payloadAt + length);
    file.close();
    return bytes;
  }

  /** Whether the stamp of the loan still stands. */
  isLent(loan: Loan): boolean {
    const file = this.#shared.open(join(dirname(this.#path), 'loans'), 'read');
    const { buffer, byteOffset } = file.map();
    file.close();
    const stamp = new DataView(buffer, byteOffset + (loan.number % stampsMax) * 8);
    const seed = this.#view.getUint32(16, true);
    return stamp.getUint32(0, true) === seed && stamp.getUint32(4, true) === loan.number;
  }

  /** Puts the payloads into the next loans; gives the blocks as they are to be left. */
  fill(blocks: readonly LeftBlock[]): readonly LeftBlock[] {
    const loans = this.loans();
    this.#used += blocks.length;
    return blocks.map((block, index) => {
      const loan = loans[index];
      if (loan.length !== block.payload.length) throw new Error('the loan has another length');
      this.memoryOf(loan).set(block.payload, payloadAt);
      return { ...block, loan };
    });
  }

  /** Leaves a save, without moving the head when `isBegunOnly`. */
  leave(blocks: readonly LeftBlock[], { namespace = 'default', isBegunOnly = false } = {}): Left {
    if (this.word('isClosed') !== 0) return 'closed';
    if (this.word('isPaused') !== 0) return 'paused';
    const entry = encodeEntry(blocks, namespace);
    const units = entry.length / unitBytes;
    const start = this.#head % this.#units;
    const skipped = units > this.#units - start ? this.#units - start : 0;
    const used = (this.#head - this.word('tail')) >>> 0;
    if (skipped + units > this.#units - used) return 'full';
    if (skipped > 0) {
      this.#view.setUint32(dataAt + start * unitBytes, 0x45564b57, true);
      this.#view.setUint32(dataAt + start * unitBytes + 4, skipped * unitBytes, true);
      this.bytes.fill(0, dataAt + start * unitBytes + 8, dataAt + (start + 1) * unitBytes);
    }
    const position = (this.#head + skipped) >>> 0;
    seal(entry, position, this.#view.getUint32(16, true));
    this.bytes.set(entry, dataAt + (position % this.#units) * unitBytes);
    if (isBegunOnly) return 'accepted';
    this.#head = (position + units) >>> 0;
    this.set('head', this.#head);
    if (this.word('isClosed') !== 0) return 'closed';
    return Atomics.exchange(this.#words, words.isTold / 4, 1) === 0
      ? 'accepted with news'
      : 'accepted';
  }
}

function nativeMemory(): SharedMemory {
  const { sharedMemory } = withNative(nodePlatform(), 'auto');
  if (sharedMemory === undefined) throw new Error('no native code');
  return sharedMemory;
}

function padded(length: number, unit: number): number {
  return Math.ceil(length / unit) * unit;
}

/** All but position and checksum. */
function encodeEntry(blocks: readonly LeftBlock[], namespace: string): Uint8Array {
  const name = Buffer.from(namespace);
  const described = 96 + padded(name.length, 8) + 56 * blocks.length;
  const bytesOf = ({ payload, loan }: LeftBlock): number =>
    loan === undefined ? padded(payload.length, 8) : 16;
  const payloadBytes = blocks.reduce((sum, block) => sum + bytesOf(block), 0);
  const length = Math.max(padded(described + payloadBytes, unitBytes), 512 * blocks.length);
  const entry = Buffer.alloc(length);
  entry.writeUInt32LE(0x45564b57, 0);
  entry.writeUInt32LE(length, 4);
  entry.writeUInt32LE(described, 16);
  entry.writeUInt16LE(name.length, 20);
  entry.writeUInt32LE(blocks.length, 24);
  name.copy(entry, 96);
  let row = 96 + padded(name.length, 8);
  let at = described;
  for (const block of blocks) {
    const { key, payload, tokens = 0, loan } = block;
    entry.write(key, row, 'hex');
    entry.writeUInt32LE(payload.length, row + 32);
    entry.writeUInt32LE(crc32cByTable(0, payload), row + 36);
    entry.writeUInt32LE(tokens, row + 40);
    entry.writeUInt32LE(0xffffffff, row + 44);
    if (loan === undefined) entry.set(payload, at);
    else {
      entry.writeUInt32LE(2, row + 48);
      entry.writeUInt32LE(loan.segment, at);
      entry.writeUInt32LE(loan.offset, at + 4);
      entry.writeUInt32LE(loan.number, at + 8);
    }
    row += 56;
    at += bytesOf(block);
  }
  return Uint8Array.from(entry);
}

function seal(entry: Uint8Array, position: number, seed: number): void {
  const view = new DataView(entry.buffer);
  view.setUint32(12, position, true);
  const place = new Uint8Array(8);
  new DataView(place.buffer).setUint32(0, seed, true);
  new DataView(place.buffer).setUint32(4, position, true);
  const described = view.getUint32(16, true);
  view.setUint32(8, crc32cByTable(crc32cByTable(0, place), entry.subarray(12, described)), true);
}
