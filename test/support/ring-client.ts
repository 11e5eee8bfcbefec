import { crc32cByTable } from '../../src/base/crc32c.ts';
import type { SharedMemory } from '../../src/platform/shared-memory.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

/** A block that is left in a ring. */
export interface LeftBlock {
  readonly key: string;
  readonly payload: Uint8Array;
  readonly tokens?: number | undefined;
}

const dataAt = 4096;
const unitBytes = 64;
const words = { head: 64, tail: 128, isClosed: 192, isTold: 256, isPaused: 320 } as const;

export type Left = 'accepted' | 'accepted with news' | 'closed' | 'full' | 'paused';

/** What the C library does with a ring, written once more for tests. Native code is there. */
export class RingClient {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #units: number;
  #head: number;

  constructor(path: string, shared: SharedMemory = nativeMemory()) {
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
  const payloadBytes = blocks.reduce((sum, { payload }) => sum + padded(payload.length, 8), 0);
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
  for (const { key, payload, tokens = 0 } of blocks) {
    entry.write(key, row, 'hex');
    entry.writeUInt32LE(payload.length, row + 32);
    entry.writeUInt32LE(crc32cByTable(0, payload), row + 36);
    entry.writeUInt32LE(tokens, row + 40);
    entry.writeUInt32LE(0xffffffff, row + 44);
    entry.set(payload, at);
    row += 56;
    at += padded(payload.length, 8);
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
