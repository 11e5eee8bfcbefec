import { join } from 'node:path';
import { viewOf } from '../base/bytes.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Files, OpenFile } from '../platform/files.ts';
import type { TakenIn } from './disk-tier.ts';
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
import type { RingSave } from './ring-layout.ts';
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
}

/**
 * What clients left in the rings of a dead store, by plain reads and one plain write: each ring is closed first, so
 * that a client which lives on learns that its next save is not taken there. Of a damaged one what comes before the
 * damage.
 */
export async function* readLeftRings(
  files: Files,
  { directory, seed }: LeftRings,
  onDamage: (where: Readonly<Record<string, string>>) => void,
): AsyncGenerator<LeftSave> {
  for (const { name } of await files.list(directory)) {
    if (!isRingName(name)) continue;
    const path = join(directory, name);
    try {
      for (const save of savesIn(await readClosed(files, path), seed)) yield leftSaveOf(save);
    } catch (error) {
      if (!(error instanceof DamagedRing)) throw error;
      onDamage({ path, why: error.message });
    }
  }
}

/** The bytes of a ring, in which nothing is accepted any more. */
async function readClosed(files: Files, path: string): Promise<Uint8Array> {
  const file = await files.open(path, 'read-write');
  try {
    const byteLength = await file.byteLength();
    // The length is looked at before memory is taken for it.
    if (byteLength < ringDataStart || byteLength > ringDataStart + limits.ringBytes)
      throw new DamagedRing(`it has ${byteLength} bytes`);
    await file.write([closedWord], ringWords.isClosed);
    return await readWhole(file, byteLength);
  } finally {
    await file.close();
  }
}

const closedWord = new Uint8Array([1, 0, 0, 0]);

async function readWhole(file: OpenFile, byteLength: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  if ((await file.read(bytes, 0)) < byteLength) throw new DamagedRing('it is cut off');
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

function leftSaveOf({ namespace, parent, fingerprint, blocks }: RingSave): LeftSave {
  const chain = blocks.map(({ key }) => key);
  const payloads = blocks.flatMap(({ payload, crc, ...rest }, saveIndex): readonly TakenIn[] => {
    if (chain.indexOf(rest.key) < saveIndex) return [];
    const facts = {
      ...rest,
      ...{ namespace, kind: 'block' as const, fingerprint, crc, length: payload.length },
      parent: saveIndex === 0 ? parent : chain[saveIndex - 1],
    };
    return [{ facts, payload, saveIndex, isPending: true }];
  });
  return { payloads, chain };
}
