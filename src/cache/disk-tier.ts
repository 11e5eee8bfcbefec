import { isStoreError, messageOf, StoreError, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { Semaphore } from '../base/semaphore.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { needMemory, processMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import { CacheEntry } from './cache-entry.ts';
import type { PayloadFacts, PayloadId } from './cache-entry.ts';
import { DiskLog } from './disk-log.ts';
import type { DiskLocation, DiskLogOptions, LogAppend } from './disk-log.ts';
import type { EntryIndex } from './entry-index.ts';
import { factsOf, noteRecord, payloadRecords, recordOf, saveRecord } from './entry-records.ts';
import { encodeKeys, headerLength, recordLength } from './log-record.ts';
import { isDamage } from './log-recovery.ts';
import type { RecoveredLog, RecoveredPayload } from './log-recovery.ts';
import type { LogSegment } from './log-segment.ts';
import { RecoveredEntries } from './recovered-entries.ts';
import type { PendingSave, RecoveredSave } from './recovered-entries.ts';

/** A payload to accept. */
export interface NewPayload {
  readonly facts: PayloadFacts;
  readonly payload: Uint8Array;
}

/** A payload that a dead store of the directory had accepted elsewhere than in the log. */
export interface TakenIn extends NewPayload {
  /** Its index among the keys of its save. */
  readonly saveIndex: number;
  /** False: the object store has it. */
  readonly isPending: boolean;
  /** That the dead store gave it; absent where none did. */
  readonly sequence?: number | undefined;
}

const indexNotWritten = 'disk tier: an index file could not be written; a scan serves as well';

const headerDamaged = 'disk tier: a segment header is damaged; its records are read all the same';
const segmentLost = 'disk tier: a segment header is damaged; what it told of is lost here';
const indexDamaged = 'disk tier: an index file is damaged; its segment was scanned instead';
const recordLost = 'disk tier: a record is damaged; what it told of is lost here';

/**
 * The disk tier: the record log with its budget. Whole segments are dropped, oldest first; what is
 * pending or was used is written again at the end of the log before.
 */
export class DiskTier {
  /** What earlier processes left pending; the entries of all that was found are in the index. */
  readonly recovered: RecoveredEntries;
  readonly #log: DiskLog;
  readonly #index: EntryIndex;
  readonly #logger: Logger;
  readonly #memory: PayloadMemory;
  readonly #budgetBytes: number;
  /** Bytes that the log may have. */
  readonly #logBytesMax: number;
  readonly #onEvict: ((id: PayloadId) => void) | undefined;
  /** Entries whose bytes lie in each segment. */
  readonly #occupants = new Map<LogSegment, Set<CacheEntry>>();
  /** One writer at a time: making room and appending belong together. */
  readonly #writing = new Semaphore(1);
  #entries = 0;
  #evictions = 0;
  #damaged = 0;
  #damagedRecords = 0;

  private constructor(parts: {
    log: DiskLog;
    recovered: RecoveredLog;
    index: EntryIndex;
    budgetBytes: number;
    reservedBytes: number;
    logger: Logger;
    memory: PayloadMemory;
    onEvict: ((id: PayloadId) => void) | undefined;
  }) {
    this.#log = parts.log;
    this.recovered = new RecoveredEntries(parts.recovered);
    this.#index = parts.index;
    this.#budgetBytes = parts.budgetBytes;
    this.#logBytesMax = parts.budgetBytes - parts.reservedBytes;
    this.#logger = parts.logger;
    this.#memory = parts.memory;
    this.#onEvict = parts.onEvict;
  }

  /** Opens the directory's log and puts what it holds into the index. */
  static async open(
    options: DiskLogOptions & {
      readonly index: EntryIndex;
      readonly logger: Logger;
      /** For payloads that are written again; of the process when absent. */
      readonly memory?: PayloadMemory | undefined;
      /** Bytes of the budget for other files in the directory; 0 when absent. */
      readonly reservedBytes?: number | undefined;
      /** Told of a payload that leaves the disk and is not in memory. */
      readonly onEvict?: ((id: PayloadId) => void) | undefined;
    },
  ): Promise<DiskTier> {
    const { index, logger, memory = processMemory, onEvict } = options;
    const { budgetBytes, reservedBytes = 0 } = options;
    const onIndexFailure = (path: string, error: unknown): void =>
      logger.info(indexNotWritten, { path, reason: messageOf(error) });
    const opened = await DiskLog.open({ ...options, onIndexFailure });
    const { log, recovered } = opened;
    const budget = { budgetBytes, reservedBytes };
    const tier = new DiskTier({ log, recovered, index, ...budget, logger, memory, onEvict });
    tier.#showRecovered(recovered.payloads);
    for (const path of opened.damagedIndexes) tier.#noteDamage(indexDamaged, { path });
    for (const { path, isRead } of opened.damagedSegments) {
      tier.#noteDamage(isRead ? headerDamaged : segmentLost, { path });
    }
    for (const { segment, offset, byteLength } of recovered.gaps.filter(isDamage)) {
      tier.#noteDamage(recordLost, { path: segment.path, offset, byteLength });
    }
    return tier;
  }

  get usage(): { entries: number; bytes: number; budgetBytes: number; evictions: number } {
    return {
      entries: this.#entries,
      bytes: this.#log.byteLength,
      budgetBytes: this.#budgetBytes,
      evictions: this.#evictions,
    };
  }

  /** Payloads whose copy on disk turned out to be damaged or unreadable. */
  get damaged(): number {
    return this.#damaged;
  }

  /** Headers of segments and records, keys of saves and index files that failed their check. */
  get damagedRecords(): number {
    return this.#damagedRecords;
  }

  /** What earlier processes left pending, once. */
  takePending(): readonly PendingSave[] {
    return this.recovered.takePending();
  }

  /** What the log holds under that name. */
  find(id: PayloadId): CacheEntry | undefined {
    return this.#index.find(id);
  }

  /**
   * Writes payloads of one save, in chain order, that a dead store accepted elsewhere: from then on they
   * are as if they had been found in the log. Nothing newer was found under their names.
   */
  async takeIn(payloads: readonly TakenIn[], save: RecoveredSave): Promise<void> {
    const taken = this.recovered
      .entriesOf(payloads, save)
      .map((entry, index) => ({ entry, payload: payloads[index].payload }));
    await this.write([...taken].reverse(), save.chain);
    for (const { entry } of taken) {
      const replaced = this.#index.put(entry);
      if (replaced !== undefined) {
        replaced.isCurrent = false;
        this.forget(replaced);
      }
      if (entry.isPending) this.recovered.add(entry);
    }
  }

  /** Writes payloads of one save in the order given, after the list of its keys. */
  async write(
    payloads: readonly { readonly entry: CacheEntry; readonly payload: Uint8Array }[],
    chain: readonly BlockKey[],
  ): Promise<void> {
    const first = payloads[0].entry;
    const keys = encodeKeys(chain);
    const batch: LogAppend[] = [{ record: saveRecord(first, keys), payload: keys }];
    for (const { entry, payload } of payloads) {
      batch.push({ record: recordOf('payload', entry), payload });
    }
    await this.#append(batch, (locations) => {
      payloads.forEach(({ entry }, index) => {
        // It was in memory already, and may have been replaced or removed meanwhile.
        if (entry.isCurrent) this.#place(entry, locations[index + 1]);
      });
    });
  }

  /**
   * Writes a payload that the object store holds already. A disk that refuses costs only this copy;
   * the failure is logged.
   */
  async writeDurable(entry: CacheEntry, payload: Uint8Array): Promise<void> {
    if (!entry.isCurrent || entry.disk !== undefined) return;
    try {
      await this.#append(payloadRecords(entry, payload), ([location]) => {
        if (entry.isCurrent) this.#place(entry, location);
      });
    } catch (error) {
      this.#logger.error('disk tier: a fetched payload could not be kept', {
        key: entry.facts.key,
        reason: messageOf(error),
      });
    }
  }

  /** Notes that the payload is durable. A lost note costs one request that finds it present. */
  async noteUploaded(entry: CacheEntry): Promise<void> {
    await this.#note('uploaded', entry);
  }

  /** Notes that the payload is gone, so that a restart does not bring it back. */
  async noteRemoved(entry: CacheEntry): Promise<void> {
    await this.#note('removed', entry);
  }

  /** Reads the payload; false when its bytes are not those written. */
  read(location: DiskLocation, into: Uint8Array): Promise<boolean> {
    return DiskLog.read(location, into);
  }

  /** The entry has no copy on disk any more. */
  forget(entry: CacheEntry): void {
    if (entry.disk === undefined) return;
    this.#occupants.get(entry.disk.segment)?.delete(entry);
    entry.disk = undefined;
    this.#entries -= 1;
  }

  /** The entry's copy on disk is damaged. A pending entry that has no other is lost. */
  forgetDamaged(entry: CacheEntry): void {
    this.#damaged += 1;
    entry.isLost = entry.isPending && entry.extent === undefined;
    this.#logger.error('disk tier: a payload is damaged or cannot be read', {
      key: entry.facts.key,
      isLost: entry.isLost,
    });
    this.forget(entry);
  }

  /** Removes every segment, whatever is in it. Its entries have been taken elsewhere. */
  async empty(): Promise<void> {
    await this.#writing.run(async () => {
      this.#log.seal();
      while (this.#log.oldestSealed !== undefined) await this.#log.dropOldest();
    });
  }

  async close(): Promise<void> {
    await this.#writing.run(() => this.#log.close());
  }

  #noteDamage(event: string, where: Readonly<Record<string, string | number>>): void {
    this.#damagedRecords += 1;
    this.#logger.error(event, where);
  }

  #showRecovered(payloads: readonly RecoveredPayload[]): void {
    for (const { record, segment, offset, isPending, etag } of payloads) {
      const { sequence, saveId, saveIndex } = record;
      const facts = factsOf(record);
      const entry = new CacheEntry(facts, { sequence, saveId, saveIndex, isPending });
      entry.etag = etag;
      this.#index.put(entry);
      this.#place(entry, { segment, offset, length: facts.length, crc: facts.crc });
      if (isPending) this.recovered.add(entry);
    }
  }

  #place(entry: CacheEntry, location: DiskLocation): void {
    this.forget(entry);
    entry.disk = location;
    this.#entries += 1;
    const occupants = this.#occupants.get(location.segment);
    if (occupants === undefined) this.#occupants.set(location.segment, new Set([entry]));
    else occupants.add(entry);
  }

  async #note(type: 'uploaded' | 'removed', entry: CacheEntry): Promise<void> {
    try {
      await this.#append([noteRecord(type, entry)], () => undefined);
    } catch (error) {
      this.#logger.error(`disk tier: the note "${type}" could not be written`, {
        key: entry.facts.key,
        reason: messageOf(error),
      });
    }
  }

  /**
   * Makes room and appends. `place` is told where the payloads lie before the next writer makes room:
   * until an entry is placed, its segment may be dropped.
   */
  #append(
    batch: readonly LogAppend[],
    place: (locations: readonly DiskLocation[]) => void,
  ): Promise<void> {
    return this.#writing.run(async () => {
      try {
        place(await this.#appendWithRoom(batch));
      } catch (error) {
        throw asUnavailable(error);
      }
    });
  }

  /** A full disk is met by dropping a segment once more. */
  async #appendWithRoom(batch: readonly LogAppend[]): Promise<readonly DiskLocation[]> {
    let length = 0;
    // A header stands in the segment and in its index.
    for (const { record } of batch) length += recordLength(record) + headerLength(record);
    await this.#makeRoom(length);
    try {
      return await this.#log.append(batch);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOSPC') throw error;
      this.#log.seal();
      await this.#dropOldest();
      return this.#log.append(batch);
    }
  }

  /** Drops segments until `length` more bytes fit the budget, or none is left to drop. */
  async #makeRoom(length: number): Promise<void> {
    // Rewriting what is pending moves bytes without freeing any: once round the log is enough.
    let rounds = this.#occupants.size + 1;
    while (this.#log.byteLength + length > this.#logBytesMax && rounds > 0) {
      rounds -= 1;
      if (this.#log.oldestSealed === undefined) this.#log.seal();
      if (!(await this.#dropOldest())) return;
    }
  }

  async #dropOldest(): Promise<boolean> {
    const segment = this.#log.oldestSealed;
    if (segment === undefined) return false;
    const occupants = [...(this.#occupants.get(segment) ?? [])];
    let hotBytes = 0;
    for (const entry of occupants) {
      const isHot = entry.uses > 0 && hotBytes + entry.facts.length <= this.#log.segmentBytes / 2;
      if (entry.isPending || isHot) {
        if (!entry.isPending) hotBytes += entry.facts.length;
        await this.#rewrite(entry);
      } else {
        this.#evict(entry);
      }
    }
    this.#occupants.delete(segment);
    await this.#log.dropOldest();
    return true;
  }

  /** Copies the entry's record to the end of the log. */
  async #rewrite(entry: CacheEntry): Promise<void> {
    const { disk } = entry;
    if (disk === undefined) return;
    const payload = needMemory(this.#memory, disk.length);
    const isIntact = await this.#readForRewrite(entry, disk, payload);
    // While it was read the entry may have been replaced or removed.
    if (entry.disk !== disk) return;
    if (!isIntact) {
      this.forgetDamaged(entry);
      this.#evict(entry);
      return;
    }
    entry.uses = Math.max(0, entry.uses - 1);
    const [location] = await this.#log.append(payloadRecords(entry, payload));
    if (entry.disk === disk) this.#place(entry, location);
  }

  /** What is durable and cannot be read may go; a pending payload keeps its segment where it is. */
  async #readForRewrite(
    entry: CacheEntry,
    location: DiskLocation,
    into: Uint8Array,
  ): Promise<boolean> {
    try {
      return await this.read(location, into);
    } catch (error) {
      if (entry.isPending || systemErrorCode(error) === undefined) throw error;
      return false;
    }
  }

  #evict(entry: CacheEntry): void {
    this.forget(entry);
    this.#evictions += 1;
    if (entry.extent === undefined) {
      entry.isCurrent = false;
      this.#index.remove(entry);
      this.#onEvict?.(entry.facts);
    }
  }
}

/** A refusal of the system as an error of ours; a fault of ours as it is. */
function asUnavailable(error: unknown): unknown {
  if (isStoreError(error) || systemErrorCode(error) === undefined) return error;
  return new StoreError('UNAVAILABLE', `disk tier: write failed: ${messageOf(error)}`, {
    cause: error,
  });
}
