import type { BlockKey } from '../blocks/block-key.ts';
import { CacheEntry } from './cache-entry.ts';
import type { PayloadFacts } from './cache-entry.ts';
import type { RecoveredLog } from './log-recovery.ts';

/** Pending entries of one save of an earlier process, and the keys that were given to it. */
export interface PendingSave {
  readonly entries: readonly CacheEntry[];
  /** Every key of the save, or only those of the entries when the list was lost. */
  readonly chain: readonly BlockKey[];
}

/** A save of a dead process, by its number in the directory, and the keys that were given to it. */
export interface RecoveredSave {
  readonly saveId: number;
  readonly chain: readonly BlockKey[];
}

/** No process gives so many sequence numbers. */
const sequencesOfProcess = 2 ** 32;

/** What earlier processes left pending in a directory, and the numbers that they had come to. */
export class RecoveredEntries {
  readonly #chains: Map<number, readonly BlockKey[]>;
  #lastSequence: number;
  #lastSaveId: number;
  #entries: CacheEntry[] = [];
  #areLeft = false;

  constructor({ chains, lastSequence, lastSaveId }: RecoveredLog) {
    this.#chains = new Map(chains);
    this.#lastSequence = lastSequence;
    this.#lastSaveId = lastSaveId;
  }

  /** Highest sequence number and save id in use. */
  get lastSequence(): number {
    return this.#lastSequence;
  }

  get lastSaveId(): number {
    return this.#lastSaveId;
  }

  /** Notes an entry that was found pending. */
  add(entry: CacheEntry): void {
    this.#entries.push(entry);
  }

  /** Every key of a save that the log has in part; undefined when nothing of it is pending there. */
  chainOf(saveId: number): readonly BlockKey[] | undefined {
    return this.#chains.get(saveId);
  }

  /** One more save. */
  newSave(chain: readonly BlockKey[]): RecoveredSave {
    this.#lastSaveId += 1;
    return { saveId: this.#lastSaveId, chain };
  }

  /** True when what a dead process accepted stays elsewhere, for the next owner of the directory. */
  get areLeft(): boolean {
    return this.#areLeft;
  }

  /**
   * Notes that some stay so. What comes is numbered above them: then of two raw tails under one tip the next owner
   * knows the newer.
   */
  leave(): void {
    this.#areLeft = true;
    this.#lastSequence += sequencesOfProcess;
  }

  /**
   * Entries of payloads of the save, each with its index among the save's keys. One without a sequence number is newer
   * than all before.
   */
  entriesOf(
    payloads: readonly {
      readonly facts: PayloadFacts;
      readonly saveIndex: number;
      readonly isPending: boolean;
      readonly sequence?: number | undefined;
    }[],
    { saveId, chain }: RecoveredSave,
  ): readonly CacheEntry[] {
    this.#chains.set(saveId, chain);
    return payloads.map(({ facts, saveIndex, isPending, ...payload }) => {
      const sequence = payload.sequence ?? this.#lastSequence + 1;
      this.#lastSequence = Math.max(this.#lastSequence, sequence);
      return new CacheEntry(facts, { sequence, saveId, saveIndex, isPending });
    });
  }

  /** What is pending, once. */
  takePending(): readonly PendingSave[] {
    const bySave = new Map<number, CacheEntry[]>();
    for (const entry of this.#entries) {
      if (!entry.isPending || !entry.isCurrent) continue;
      const entries = bySave.get(entry.saveId) ?? [];
      entries.push(entry);
      bySave.set(entry.saveId, entries);
    }
    this.#entries = [];
    return [...bySave].map(([saveId, entries]) => {
      entries.sort((a, b) => a.saveIndex - b.saveIndex);
      const chain = this.#chains.get(saveId) ?? [];
      const isListed = entries.every((entry) => chain[entry.saveIndex] === entry.facts.key);
      return { entries, chain: isListed ? chain : [] };
    });
  }
}
