import { join } from 'node:path';
import { viewOf } from '../base/bytes.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Files, OpenFile } from '../platform/files.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import { crc32cAppend } from '../base/crc32c.ts';
import { offsetUnitBytes } from '../platform/shared-memory.ts';
import type { TakenIn } from './disk-tier.ts';
import { extentHeaderBytes } from './extent-header.ts';
import {
  DamagedRing,
  decodeRingEntry,
  decodeRingHeader,
  ringDataStart,
  ringOffsetOf,
  ringUnitBytes,
  ringWords,
  unitsBetween,
} from './ring-layout.ts';
import type { RingBlock, RingLoan, RingSave } from './ring-layout.ts';
import { isRingName } from './shared-layout.ts';

/** A save that was accepted in a ring. */
export interface LeftSave {
  readonly payloads: readonly TakenIn[];
  readonly chain: readonly BlockKey[];
}

/** Where rings are, and what is bound into them. */
interface LeftRings {
  readonly directory: string;
  readonly seed: number;
  readonly segments: SegmentReader;
  readonly memory: PayloadMemory;
}

/** Segments of the same memory, by plain reads. */
export interface SegmentReader {
  /** False when the segment ends before, or is not there. */
  read(segment: number, position: number, into: Uint8Array): Promise<boolean>;
  byteLength(segment: number): Promise<number>;
}

type OnDamage = (where: Readonly<Record<string, string>>) => void;

/**
 * What clients left in the rings of a dead store, by plain reads and one plain write: each ring is closed first, so
 * that a client which lives on learns that its next save is not taken there. Of a damaged one what comes before the
 * damage.
 */
export async function* readLeftRings(
  files: Files,
  { directory, seed, segments, memory }: LeftRings,
  onDamage: OnDamage,
): AsyncGenerator<LeftSave> {
  for (const { name } of await files.list(directory)) {
    if (!isRingName(name)) continue;
    const path = join(directory, name);
    try {
      for (const save of savesIn(await readRing(files, memory, path, 'close'), seed)) {
        yield await leftSaveOf(save, { segments, memory }, (key) =>
          onDamage({ path, key, why: 'a payload in lent memory is not as it was left' }),
        );
      }
    } catch (error) {
      if (!(error instanceof DamagedRing)) throw error;
      onDamage({ path, why: error.message });
    }
  }
}

/**
 * The same for who only looks: nothing is written. Clients of the dead store that live on may leave more meanwhile, which is
 * accepted as well. Payloads in lent memory are told of as they are in the entry, and not read.
 */
export async function* lookIntoRings(
  files: Files,
  { directory, seed, memory }: Omit<LeftRings, 'segments'>,
  onDamage: OnDamage,
): AsyncGenerator<RingSave> {
  for (const { name } of await files.list(directory)) {
    if (!isRingName(name)) continue;
    const path = join(directory, name);
    try {
      yield* savesIn(await readRing(files, memory, path, 'look'), seed);
    } catch (error) {
      if (!(error instanceof DamagedRing)) throw error;
      onDamage({ path, why: error.message });
    }
  }
}

/** The bytes of a ring, which is closed before they are read: then nothing is accepted there any more. */
async function readRing(
  files: Files,
  memory: PayloadMemory,
  path: string,
  purpose: 'close' | 'look',
): Promise<Uint8Array> {
  const isClosing = purpose === 'close';
  const file = await files.open(path, isClosing ? 'read-write' : 'read');
  try {
    const byteLength = await file.byteLength();
    // The length is looked at before memory is taken for it.
    if (byteLength < ringDataStart || byteLength > ringDataStart + limits.ringBytes)
      throw new DamagedRing(`it has ${byteLength} bytes`);
    if (isClosing) await file.write([closedWord], ringWords.isClosed);
    return await readWhole(file, needMemory(memory, byteLength));
  } finally {
    await file.close();
  }
}

const closedWord = new Uint8Array([1, 0, 0, 0]);

async function readWhole(file: OpenFile, bytes: Uint8Array): Promise<Uint8Array> {
  if ((await file.read(bytes, 0)) < bytes.length) throw new DamagedRing('it is cut off');
  return bytes;
}

function* savesIn(bytes: Uint8Array, seed: number): Generator<RingSave> {
  const shape = decodeRingHeader(bytes, bytes.length);
  if (shape?.seed !== seed) throw new DamagedRing('its header is none of this memory');
  const { dataBytes } = shape;
  const view = viewOf(bytes);
  const head = view.getUint32(ringWords.head, true);
  let tail = view.getUint32(ringWords.tail, true);
  if (unitsBetween(tail, head) * ringUnitBytes > dataBytes)
    throw new DamagedRing(`positions ${tail} and ${head} are too far apart`);
  while (tail !== head) {
    const start = ringDataStart + ringOffsetOf(tail, dataBytes);
    const end = Math.min(start + unitsBetween(tail, head) * ringUnitBytes, bytes.length);
    const { units, save } = decodeRingEntry(bytes.subarray(start, end), tail, seed);
    if (save !== undefined) yield save;
    tail = (tail + units) >>> 0;
  }
}

async function leftSaveOf(
  { namespace, parent, fingerprint, blocks }: RingSave,
  from: Pick<LeftRings, 'segments' | 'memory'>,
  onDamage: (key: BlockKey) => void,
): Promise<LeftSave> {
  const chain = blocks.map(({ key }) => key);
  const payloads: TakenIn[] = [];
  let lentBytes = 0;
  for (const [saveIndex, block] of blocks.entries()) {
    const { payload: left, ...rest } = block;
    if (chain.indexOf(rest.key) < saveIndex) continue;
    if (!(left instanceof Uint8Array)) lentBytes += rest.length;
    // It is looked at before memory is taken for it.
    if (lentBytes > limits.ringLoanedBytesMax)
      throw new DamagedRing(`a save of ${lentBytes} bytes`);
    const payload = left instanceof Uint8Array ? left : await lentPayload(left, block, from);
    if (payload === undefined) {
      onDamage(rest.key);
      continue;
    }
    const facts = {
      ...rest,
      ...{ namespace, kind: 'block' as const, fingerprint },
      parent: saveIndex === 0 ? parent : chain[saveIndex - 1],
    };
    payloads.push({ facts, payload, saveIndex, isPending: true });
  }
  return { payloads, chain };
}

/** What the client put into memory that the dead store had lent; undefined when its checksum does not hold. */
export async function lentPayload(
  { segment, offset }: RingLoan,
  { length, crc }: Pick<RingBlock, 'length' | 'crc'>,
  { segments, memory }: Pick<LeftRings, 'segments' | 'memory'>,
): Promise<Uint8Array | undefined> {
  const start = offset * offsetUnitBytes + extentHeaderBytes;
  if (start + length > (await segments.byteLength(segment))) return undefined;
  const payload = needMemory(memory, length);
  const isWhole = await segments.read(segment, start, payload);
  return isWhole && crc32cAppend(0, payload) === crc ? payload : undefined;
}
