import { assert } from '../base/assert.ts';
import { roundUp } from '../base/bytes.ts';
import { systemErrorCode } from '../base/errors.ts';
import type { SharedFile, SharedMemory } from '../platform/shared-memory.ts';
import { hugePageBytes, offsetUnitBytes } from '../platform/shared-memory.ts';
import { sharedPaths } from './shared-layout.ts';
import type { SlabBytes } from './slab-memory.ts';

/** A part of a segment that nobody has. */
interface Gap {
  readonly start: number;
  end: number;
}

interface Segment {
  readonly number: number;
  readonly file: SharedFile;
  readonly memory: SlabBytes;
  /** A byte for each unit, which clients set: what begins there was used. */
  readonly uses: Uint8Array;
  readonly usesFile: SharedFile;
  /** In order, none touching another. */
  readonly gaps: Gap[];
}

/** A part of a segment that somebody has. */
interface Cut {
  readonly segment: Segment;
  readonly start: number;
  readonly length: number;
  readonly memory: SlabBytes;
}

/** Most bytes of a segment: as much as one mapping for threads takes. */
const segmentBytesMax = 2 * 1024 ** 3;
const segmentsMax = 256;

/**
 * The files that payloads lie in. A segment is longer than what is ever taken of it, so that what was
 * given back in pieces still leaves room for long slabs; only what is taken has memory. It is never
 * cut, so no reader meets its end.
 */
export class SharedSegments {
  readonly segmentBytes: number;
  readonly #memory: SharedMemory;
  readonly #directory: string;
  readonly #segments: Segment[] = [];
  readonly #numbers = new Map<SharedArrayBuffer, number>();
  #isClosed = false;

  constructor(memory: SharedMemory, directory: string, budgetBytes: number) {
    this.#memory = memory;
    this.#directory = directory;
    this.segmentBytes = Math.min(segmentBytesMax, roundUp(2 * budgetBytes, 64 * 1024));
  }

  take(byteLength: number): SlabBytes | undefined {
    const part = this.#cut(byteLength);
    if (part === undefined) return undefined;
    if (part.segment.file.reserve(part.start, part.length)) return part.memory;
    this.giveBack(part.memory);
    return undefined;
  }

  /** The same, but another thread takes the memory from the system. */
  async takeLater(byteLength: number): Promise<SlabBytes | undefined> {
    const part = this.#cut(byteLength);
    if (part === undefined) return undefined;
    const { file } = part.segment;
    const isTaken = file.reserveLater?.(part.start, part.length, part.memory);
    if ((await isTaken) ?? file.reserve(part.start, part.length)) return part.memory;
    this.giveBack(part.memory);
    return undefined;
  }

  /** A part of a segment that is nobody else's from now on. It has no memory yet. */
  #cut(byteLength: number): Cut | undefined {
    const length = roundUp(byteLength, offsetUnitBytes);
    if (length > this.segmentBytes || this.#isClosed) return undefined;
    const found = this.#segments.find(({ gaps }) => gaps.some((gap) => hasRoom(gap, length)));
    const segment = found ?? this.#make();
    const index = segment?.gaps.findIndex((gap) => hasRoom(gap, length)) ?? -1;
    if (segment === undefined || index < 0) return undefined;
    const gap = segment.gaps[index];
    const start = placeIn(gap, length);
    const rest = [
      { start: gap.start, end: start },
      { start: start + length, end: gap.end },
    ];
    segment.gaps.splice(index, 1, ...rest.filter((part) => part.end > part.start));
    const memory = segment.memory.subarray(start, start + byteLength);
    return { segment, start, length, memory };
  }

  giveBack(memory: SlabBytes): void {
    if (this.#isClosed) return;
    const number = this.#numbers.get(memory.buffer);
    assert(number !== undefined, 'memory is given back where it was taken');
    const { file, gaps } = this.#segments[number];
    const start = memory.byteOffset;
    const end = start + roundUp(memory.byteLength, offsetUnitBytes);
    file.giveBack(start, end - start);
    const next = gaps.findIndex((gap) => gap.start >= end);
    gaps.splice(next < 0 ? gaps.length : next, 0, { start, end });
    for (let i = gaps.length - 1; i > 0; i -= 1) {
      if (gaps[i - 1].end !== gaps[i].start) continue;
      gaps[i - 1].end = gaps[i].end;
      gaps.splice(i, 1);
    }
  }

  /** True when a client has used what begins at that offset since this was last asked. */
  takeUse(offset: number, buffer: SharedArrayBuffer): boolean {
    const number = this.#numbers.get(buffer);
    if (number === undefined) return false;
    const { uses } = this.#segments[number];
    // Most were not: looking changes nothing that readers have in their caches.
    const unit = offset / offsetUnitBytes;
    return Atomics.load(uses, unit) !== 0 && Atomics.exchange(uses, unit, 0) !== 0;
  }

  numberOf(buffer: SharedArrayBuffer): number | undefined {
    return this.#numbers.get(buffer);
  }

  /** No memory is given or taken back any more; what was given stays mapped. */
  close(): void {
    this.#isClosed = true;
    for (const { file, usesFile } of this.#segments) {
      file.close();
      usesFile.close();
    }
  }

  /** Undefined when the system has no descriptor, file or address space for one more. */
  #make(): Segment | undefined {
    const number = this.#segments.length;
    if (number >= segmentsMax) return undefined;
    const made: { file: SharedFile; path: string }[] = [];
    const make = (path: string, byteLength: number): SharedFile => {
      const file = this.#memory.create(path, byteLength);
      made.push({ file, path });
      return file;
    };
    try {
      // First: whoever sees the segment finds it whole.
      const unitCount = this.segmentBytes / offsetUnitBytes;
      const usesFile = make(sharedPaths.uses(this.#directory, number), unitCount);
      if (!usesFile.reserve(0, unitCount)) throw new RangeError('there is no room for uses');
      const file = make(sharedPaths.segment(this.#directory, number), this.segmentBytes);
      const [memory, uses] = [file.mapForThreads(), usesFile.map()];
      const gaps = [{ start: 0, end: this.segmentBytes }];
      const segment = { number, file, memory, usesFile, uses, gaps };
      this.#segments.push(segment);
      this.#numbers.set(memory.buffer, number);
      return segment;
    } catch (error) {
      if (systemErrorCode(error) === undefined && !(error instanceof RangeError)) throw error;
      for (const { file, path } of made) {
        file.close();
        // Else it were in the way of the next try.
        this.#memory.remove(path);
      }
      return undefined;
    }
  }
}

/** Where so many bytes begin in the gap: what may hold huge pages begins with one. */
function placeIn({ start }: Gap, length: number): number {
  return length < hugePageBytes ? start : roundUp(start, hugePageBytes);
}

function hasRoom(gap: Gap, length: number): boolean {
  return placeIn(gap, length) + length <= gap.end;
}
