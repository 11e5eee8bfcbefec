import assert from 'node:assert/strict';
import { entriesStart, entryBytes, entryOffsets } from '../../src/platform/shared-memory.ts';
import type {
  SharedFile,
  SharedIndexCode,
  SharedMemory,
} from '../../src/platform/shared-memory.ts';
import { systemError } from '../support/hooked-files.ts';
import { FileNode } from './disk-nodes.ts';
import type { SimMachine, SimWorldParts } from './sim-machine.ts';

/** The process that uses shared memory. */
export interface MemoryUser {
  /** Ends it; whatever it does then is done by nobody. */
  kill(): void;
}

/**
 * The shared memory of a simulated machine, as one of its processes has it. What it writes is there at once,
 * and stays when the process is killed, which may be between any two steps.
 */
export class SimSharedFiles implements SharedMemory {
  readonly index: SharedIndexCode;
  readonly #machine: SimMachine;
  readonly #process: MemoryUser;
  readonly #parts: SimWorldParts;
  /** What this process is among those that lock. */
  readonly #owner = {};
  /** Files that this process has open. */
  readonly #open = new Set<SharedFile>();

  constructor(machine: SimMachine, process: MemoryUser, parts: SimWorldParts) {
    this.#machine = machine;
    this.#process = process;
    this.#parts = parts;
    this.index = {
      ...simIndex,
      publish: (...given) => {
        this.#step();
        const entry = simIndex.publish(...given);
        this.#step();
        return entry;
      },
      carry: (...given) => {
        this.#step();
        return simIndex.carry(...given);
      },
    };
  }

  create(path: string, byteLength: number): SharedFile {
    const { disk } = this.#machine;
    if (disk.find(path) !== undefined) throw systemError('EEXIST');
    if (this.#machine.refusesMemory('shared')) throw systemError('ENOSPC');
    const memory = new Uint8Array(new SharedArrayBuffer(byteLength));
    disk.create(path).mapOnto(memory);
    return this.#file(path, memory);
  }

  get openCount(): number {
    return this.#open.size;
  }

  open(path: string): SharedFile {
    const node = this.#machine.disk.find(path);
    if (!(node instanceof FileNode)) throw systemError('ENOENT');
    return this.#file(path, node.bytes);
  }

  remove(path: string): void {
    const { disk } = this.#machine;
    if (disk.find(path) !== undefined) disk.apply({ kind: 'remove', path });
  }

  rename(from: string, to: string): void {
    const { disk, locks } = this.#machine;
    this.#step();
    disk.apply({ kind: 'rename', from, to });
    const owner = locks.get(from);
    locks.delete(from);
    if (owner !== undefined) locks.set(to, owner);
    this.#step();
  }

  copy(target: Uint8Array, source: Uint8Array): void {
    this.#step();
    target.set(source.subarray(0, target.length));
  }

  /** Nothing is mapped in a simulation: memory goes with its file. */
  unmap(): void {}

  /** The process is gone: the system lets go of its locks. */
  releaseAll(): void {
    const { locks } = this.#machine;
    for (const [path, owner] of locks) if (owner === this.#owner) locks.delete(path);
  }

  #step(): void {
    const { dice, counts } = this.#parts;
    if (!dice.chance(this.#machine.memoryKillShare)) return;
    counts.add('process killed as it wrote shared memory');
    this.#process.kill();
    throw new Error('the process was killed');
  }

  #file(path: string, memory: Uint8Array): SharedFile {
    const { locks } = this.#machine;
    const isElsewhere = (): boolean => (locks.get(path) ?? this.#owner) !== this.#owner;
    const file: SharedFile = {
      byteLength: memory.length,
      // A view on memory that threads share, where the system would give one of its own.
      map: () => memory as Uint8Array<ArrayBuffer>,
      mapForThreads: () => memory as Uint8Array<SharedArrayBuffer>,
      showLife: () => () => undefined,
      reserve: () => !this.#machine.refusesMemory('shared'),
      giveBack: (start, byteLength) => void memory.fill(0, start, start + byteLength),
      // Whole files: no client joins in a simulation.
      lock: () => {
        if (isElsewhere()) return false;
        locks.set(path, this.#owner);
        return true;
      },
      isLocked: isElsewhere,
      unlock: () => void locks.delete(path),
      close: () => void this.#open.delete(file),
    };
    this.#open.add(file);
    return file;
  }
}

const windowEntries = 32;
const marks = 0xc0n << 32n;

/**
 * The writer's half of the index as capi/src/shared/shared-index.c has it, so that a simulation does the same
 * with native code and without. Nobody reads it but the takeover.
 */
const simIndex: SharedIndexCode = {
  create: (memory, log2Capacity, segmentBytes) => {
    const view = viewOf(memory);
    view.setUint32(8, 3, true);
    view.setUint32(12, log2Capacity, true);
    view.setBigUint64(16, BigInt(segmentBytes), true);
    memory.set(new TextEncoder().encode('WKVIDX1\0'), 0);
  },
  isValid: () => true,
  publish: (memory, key, payload) => {
    const view = viewOf(memory);
    const digest = Buffer.from(key, 'hex');
    const [segment, offset, length, crc, facts, owner, skip] = payload;
    const entry = placeOf(view, digest, owner & ~Number(marks >> 32n));
    if (entry < 0) return -1;
    const at = entriesStart + entry * entryBytes;
    memory.set(digest, at + 8);
    view.setUint32(at + entryOffsets.location, offset, true);
    view.setUint32(at + entryOffsets.location + 4, (1 << 31) | (skip << 24) | (segment << 8), true);
    view.setUint32(at + 48, length, true);
    view.setUint32(at + 52, crc, true);
    view.setUint32(at + 56, facts, true);
    view.setUint32(at + entryOffsets.owner, owner, true);
    view.setUint32(at, view.getUint32(at, true) + 2, true);
    return entry;
  },
  carry: (from, entry, to) => {
    const view = viewOf(from);
    const start = entriesStart + entry * entryBytes;
    const digest = from.subarray(start + 8, start + 40);
    const place = placeOf(
      viewOf(to),
      digest,
      view.getUint32(start + 60, true) & ~Number(marks >> 32n),
    );
    if (place < 0) return -1;
    const at = entriesStart + place * entryBytes;
    to.set(from.subarray(start + 8, start + entryBytes), at + 8);
    viewOf(to).setUint32(at, viewOf(to).getUint32(at, true) + 2, true);
    return place;
  },
  retire: (memory, entry) => {
    const view = viewOf(memory);
    const at = entriesStart + entry * entryBytes;
    view.setBigUint64(at + entryOffsets.location, 0n, true);
    view.setUint32(at, view.getUint32(at, true) + 2, true);
  },
  holder: () => -1,
  find: () => assert.fail('nobody looks into the index of a simulation'),
  present: () => assert.fail('nobody looks into the index of a simulation'),
  pin: () => assert.fail('nobody pins in a simulation'),
  unpin: () => assert.fail('nobody pins in a simulation'),
  beginClient: () => assert.fail('no client joins in a simulation'),
  clearClient: () => assert.fail('no client joins in a simulation'),
  fill: () => assert.fail('no client fills memory in a simulation'),
};

function placeOf(view: DataView, digest: Uint8Array, owner: number): number {
  const capacity = 2 ** view.getUint32(12, true);
  const first = Buffer.from(digest).readBigUInt64LE(0);
  const mixed = first ^ (((BigInt(owner) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn) >> 20n);
  const home = Number(mixed & BigInt(capacity - 1));
  let place = -1;
  for (let step = 0; step < Math.min(windowEntries, capacity); step += 1) {
    const entry = (home + step) % capacity;
    const at = entriesStart + entry * entryBytes;
    const isFree = view.getBigUint64(at + entryOffsets.location, true) === 0n;
    if (isFree && place < 0) place = entry;
    if (!isFree && hasKey(view, at, digest, owner)) return -1;
    if (view.getUint32(at, true) === 0) break;
  }
  return place;
}

function hasKey(view: DataView, at: number, digest: Uint8Array, owner: number): boolean {
  const facts = view.getBigUint64(at + 56, true) & ~marks;
  if (Number(facts >> 32n) !== owner) return false;
  return digest.every((byte, index) => view.getUint8(at + 8 + index) === byte);
}

function viewOf(memory: Uint8Array): DataView {
  return new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
}
