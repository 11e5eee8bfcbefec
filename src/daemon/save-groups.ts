import type { BlockKey } from '../blocks/block-key.ts';
import type { SaveOptions, SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { ServedStore, UploadOrder, WantedBlock } from '../blocks/served-store.ts';
import type { Clock } from '../platform/clock.ts';
import type { ExpectedPayload, ReceivedPayload } from './save-intake.ts';

/** Payloads that are stored together: all up to `end`, from where the group before ends. */
export interface SaveGroup {
  readonly end: number;
  readonly bytes: number;
}

/** Groups of the payloads in order, at least one. A payload longer than a group is one by itself. */
export function groupsOf(expected: readonly ExpectedPayload[]): readonly SaveGroup[] {
  const groups: SaveGroup[] = [];
  let bytes = 0;
  expected.forEach(({ length }, index) => {
    if (bytes > 0 && bytes + length > limits.saveGroupBytes) {
      groups.push({ end: index, bytes });
      bytes = 0;
    }
    bytes += length;
  });
  groups.push({ end: expected.length, bytes });
  return groups;
}

/** The payloads of a save, which come in groups from the last block to the first. */
export interface GroupedPayloads {
  /** The next group, once it has come. Of the last one the order does not matter. */
  nextGroup(): Promise<{ readonly received: readonly ReceivedPayload[]; readonly isLast: boolean }>;
  /** The store has them. */
  stored(received: readonly ReceivedPayload[]): void;
}

/** A save of several blocks, without its payloads. */
export interface GroupedSave {
  readonly blocks: readonly Omit<WantedBlock, 'payload' | 'crc'>[];
  readonly parent: BlockKey | undefined;
  readonly options: Omit<SaveOptions, 'parent'>;
  /** When it has been saved as a durable one, `durable` of the order is what to wait for. */
  readonly order: UploadOrder;
  /** For each block whether it will be stored, as far as is known before; does not matter for one group. */
  readonly isNew: readonly boolean[];
}

/** Stores the batch in groups from its last block to its first; most batches are one group. */
export async function saveGroups(
  { store, clock }: { readonly store: ServedStore; readonly clock: Clock },
  { blocks, parent, options, order, isNew }: GroupedSave,
  payloads: GroupedPayloads,
): Promise<SaveResult | 'payload-needed'> {
  let end = blocks.length;
  let newBefore = isNew.reduce((count, one) => count + Number(one), 0);
  let saved = 0;
  let savedBytes = 0;
  do {
    const { received, isLast } = await payloads.nextGroup();
    const groupStart = isLast ? 0 : received[received.length - 1].index;
    const byIndex = new Map(received.map((one) => [one.index, one]));
    // Of many blocks, most of them known, others have their turn between some and the next.
    do {
      const start = Math.max(groupStart, end - limits.turnKeysMax);
      const part = blocks.slice(start, end).map((block, at): WantedBlock => {
        const one = byIndex.get(start + at);
        return { ...block, payload: one?.payload, crc: one?.crc };
      });
      for (let at = start; at < end; at += 1) newBefore -= Number(isNew[at]);
      const result = await store.saveWanted(part, {
        ...options,
        newBefore,
        parent: start === 0 ? parent : blocks[start - 1].key,
        following: blocks.slice(end, end + limits.followingKeysMax).map(({ key }) => key),
        order,
      });
      if (result === 'payload-needed') return result;
      saved += result.saved;
      savedBytes += result.savedBytes;
      end = start;
      if (end > groupStart) await clock.yield();
    } while (end > groupStart);
    payloads.stored(received);
    if (isLast) break;
  } while (end > 0);
  return { saved, known: blocks.length - saved, savedBytes };
}
