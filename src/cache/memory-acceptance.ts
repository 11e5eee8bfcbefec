import { assert } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError, messageOf } from '../base/errors.ts';
import { bytesFromHex } from '../base/hex.ts';
import type { Logger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { LentPlace, PayloadLease } from '../blocks/served-store.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import { offsetUnitBytes } from '../platform/shared-memory.ts';
import type { CacheEntry } from './cache-entry.ts';
import type { CommitRing } from './commit-ring.ts';
import type { DiskTier, NewPayload } from './disk-tier.ts';
import { recordOf } from './entry-records.ts';
import type { Extent } from './extent.ts';
import { extentHeaderBytes, writeExtentHeader } from './extent-header.ts';
import { encodeKeys } from './log-record.ts';
import type { MemoryTier } from './memory-tier.ts';
import type { SharedTier } from './shared-tier.ts';

export interface MemoryAcceptanceParts {
  readonly memory: MemoryTier;
  readonly shared: SharedTier;
  readonly disk: DiskTier;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of the memory tier; {@link limits.acceptedInMemoryShare} of it may be held. */
  readonly memoryBytes: number;
  /** Of the link (memory-link.ts), in hex. */
  readonly salt: string;
  /** Nothing is held any more and nothing will be: the link can go. */
  readonly onSettled: () => Promise<void>;
}

/** An extent that is lent to whoever saves. */
interface Lent {
  readonly extent: Extent;
  /** By which another process fills it; 0: none does. */
  number: number;
}

/** A payload in memory whose extent is pinned for this. */
interface Held {
  readonly entry: CacheEntry;
  readonly extent: Extent;
  /** Behind its header. */
  readonly payload: Uint8Array;
  /** The memory was lent to whoever saves, and is until the save is accepted. */
  readonly isLent: boolean;
}

/** Payloads of one save that are in memory, in chain order. */
export interface HeldSave {
  readonly payloads: readonly Held[];
  readonly chain: readonly BlockKey[];
  /** Bytes of their extents, and of those among them that were not lent before. */
  readonly bytes: number;
  readonly newBytes: number;
}

/**
 * Accepts payloads in shared memory: the system keeps its files when the process dies, and the next owner of
 * the place in the cache directory finds in them what no log has (memory-takeover.ts). So an accepted save
 * costs a copy, and no file is written while somebody waits.
 *
 * What is held so is written to the log later, when no save has come for a while or a part of what may be
 * held is full. Until then its extents are pinned, so nothing else is put there. What is confirmed by the object
 * store meanwhile is written as what was fetched from it is.
 *
 * A save shows its blocks from the last to the first, as in the log: each counts from the moment when its
 * entry in the index has the mark for held ones, which comes after its bytes and its header.
 */
export class MemoryAcceptance {
  readonly #parts: MemoryAcceptanceParts;
  readonly #seed: number;
  readonly #budgetBytes: number;
  readonly #ringsMax: number;
  /** Rings whose files are there. */
  readonly #rings = new Set<CommitRing>();
  #ringsMade = 0;
  /** Extents that are lent, by the memory of their payloads. */
  readonly #lent = new Map<Uint8Array, Lent>();
  /** Memory that is lent in rings: entries there refer to it, so its stamp stays until it is released. */
  readonly #ahead = new Set<Uint8Array>();
  /** Saves that are not in the log yet, the oldest first. */
  #held: HeldSave[] = [];
  #heldBytes = 0;
  #lastSaveMs = Number.NEGATIVE_INFINITY;
  #timer: ScheduledCall | undefined;
  #writing: Promise<void> | undefined;
  #isClosed = false;

  constructor(parts: MemoryAcceptanceParts) {
    this.#parts = parts;
    const salt = bytesFromHex(parts.salt);
    assert(salt !== undefined, 'a salt is hex');
    this.#seed = crc32c(salt);
    const share = Math.floor(parts.memoryBytes * limits.acceptedInMemoryShare);
    this.#budgetBytes = Math.min(share, limits.acceptedInMemoryBytesMax);
    this.#ringsMax = Math.floor((parts.memoryBytes * limits.ringsShare) / limits.ringBytes);
  }

  /** Bytes of memory that hold what is not in the log yet. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /**
   * Memory for a payload; given to {@link copy} it stays where it is. What is lent ahead of need keeps its stamp until it
   * is released, also when its payload was accepted.
   */
  lease(byteLength: number, isAhead = false): PayloadLease | undefined {
    const bytes = extentHeaderBytes + byteLength;
    if (this.#isClosed || this.#heldBytes + bytes > this.#budgetBytes) return undefined;
    const extent = this.#parts.memory.allocate(bytes);
    if (extent === undefined) return undefined;
    this.#heldBytes += bytes;
    const payload = extent.bytes.subarray(extentHeaderBytes);
    const lent: Lent = { extent, number: 0 };
    this.#lent.set(payload, lent);
    if (isAhead) this.#ahead.add(payload);
    const lend = (): LentPlace | undefined => this.#lend(lent);
    const release = (): void => {
      const isLent = this.#lent.delete(payload);
      this.#ahead.delete(payload);
      this.#endLoan(lent);
      if (!isLent) return;
      this.#heldBytes -= bytes;
      extent.unpin();
    };
    return { payload, lend, release };
  }

  /**
   * A ring in which a client leaves saves: what is in it is accepted, and found by whoever follows this process.
   * Undefined when there are as many as may be, or no memory is left.
   */
  async openRing(): Promise<CommitRing | undefined> {
    const { clock, shared } = this.#parts;
    if (this.#isClosed || this.#rings.size >= this.#ringsMax) return undefined;
    this.#ringsMade += 1;
    const ring = shared.makeRing(this.#ringsMade, limits.ringBytes, this.#seed);
    if (ring === undefined) return undefined;
    this.#rings.add(ring);
    // Others have their turn between one piece of new memory and the next.
    while (ring.takeMemory()) await clock.yield();
    if (ring.isWhole && !this.#isClosed) return ring;
    this.removeRing(ring);
    return undefined;
  }

  /** Nothing waits in the ring, which was closed. */
  removeRing(ring: CommitRing): void {
    assert(this.#rings.delete(ring), 'a ring is removed once');
    ring.remove();
  }

  #lend(lent: Lent): LentPlace | undefined {
    assert(lent.number === 0, 'memory is lent once');
    const { shared } = this.#parts;
    const { bytes } = lent.extent;
    const number = shared.lend(bytes, this.#seed);
    if (number === undefined) return undefined;
    lent.number = number;
    const { segment, offset } = shared.placeOf(bytes);
    return { segment, offset: offset / offsetUnitBytes, salt: this.#seed, number };
  }

  /** No other process begins to fill the memory any more. */
  #endLoan(lent: Lent): void {
    if (lent.number !== 0) this.#parts.shared.endLoan(lent.number);
    lent.number = 0;
  }

  /**
   * Copies the payloads of one save into memory, behind headers that say what they are. Nothing is accepted
   * by that. Undefined when there is no room: then the log takes the save.
   */
  async copy(
    entries: readonly CacheEntry[],
    payloads: readonly NewPayload[],
    chain: readonly BlockKey[],
  ): Promise<HeldSave | undefined> {
    let bytes = 0;
    let newBytes = 0;
    for (const [index, { facts }] of entries.entries()) {
      bytes += extentHeaderBytes + facts.length;
      if (!this.#lent.has(payloads[index].payload)) newBytes += extentHeaderBytes + facts.length;
    }
    if (this.#isClosed || this.#heldBytes + newBytes > this.#budgetBytes) return undefined;
    this.#heldBytes += newBytes;
    const extents = this.#allocate(payloads);
    if (extents === undefined) {
      this.#heldBytes -= newBytes;
      return undefined;
    }
    const keys = encodeKeys(chain);
    let turnBytes = 0;
    const held: Held[] = [];
    for (const [index, entry] of entries.entries()) {
      if (!this.#lent.has(payloads[index].payload)) turnBytes += entry.facts.length;
      if (turnBytes > limits.turnBytesMax) {
        await this.#parts.clock.yield();
        turnBytes = entry.facts.length;
      }
      held.push(this.#fill(entry, extents[index], payloads[index].payload, keys));
    }
    return { payloads: held, chain, bytes, newBytes };
  }

  /**
   * Accepts the save; from the call's return on it survives the process. False, and nothing is accepted or
   * kept, when the index has no room for it.
   */
  commit(save: HeldSave): boolean {
    for (const { entry, extent } of [...save.payloads].reverse()) {
      if (this.#isClosed || !this.#mark(entry, extent)) {
        this.#drop(save);
        return false;
      }
    }
    for (const { entry } of save.payloads) entry.isHeld = true;
    // Theirs no longer: releasing it does nothing.
    for (const { payload } of save.payloads) this.#lent.delete(payload);
    this.#held.push(save);
    this.#lastSaveMs = this.#parts.clock.nowMs();
    this.#plan();
    return true;
  }

  /** The object store has the payload: whoever follows need not bring it there. */
  confirm(entry: CacheEntry, extent: Extent): void {
    assert(entry.isHeld, 'only what is held here is confirmed here');
    this.#parts.shared.confirm(extent.bytes);
  }

  /** The payload is not wanted any more: whoever follows has nothing to do for it. */
  settle(entry: CacheEntry, extent: Extent): void {
    assert(entry.isHeld, 'only what is held here is settled here');
    this.#parts.shared.settle(extent.bytes);
  }

  /**
   * Writes all that is held to the log. What the log refuses stays in memory, for the next owner of the
   * place, and so does what is left in rings. Nothing is accepted here any more.
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    await this.#writing;
    while (this.#held.length > 0) if (!(await this.#writeOldest())) break;
    for (const ring of this.#rings) ring.leave();
    if (this.#held.length === 0 && this.#rings.size === 0) await this.#parts.onSettled();
  }

  /** An extent for each payload, those that lie in one already in theirs. */
  #allocate(payloads: readonly NewPayload[]): readonly Extent[] | undefined {
    const extents: Extent[] = [];
    for (const { payload } of payloads) {
      const extent =
        this.#lent.get(payload)?.extent ??
        this.#parts.memory.allocate(extentHeaderBytes + payload.length);
      if (extent === undefined) {
        extents.forEach((one, index) => {
          if (!this.#lent.has(payloads[index].payload)) one.unpin();
        });
        return undefined;
      }
      extents.push(extent);
    }
    return extents;
  }

  #fill(entry: CacheEntry, extent: Extent, source: Uint8Array, keys: Uint8Array): Held {
    const { shared } = this.#parts;
    const lent = this.#lent.get(source);
    const isLent = lent !== undefined;
    const payload = isLent ? source : extent.bytes.subarray(extentHeaderBytes);
    assert(payload.length === entry.facts.length, 'an entry knows its length');
    if (!isLent) shared.copy(payload, source);
    else if (!this.#ahead.has(source)) this.#endLoan(lent);
    const place = { ...shared.placeOf(extent.bytes), seed: this.#seed };
    writeExtentHeader(extent.bytes, recordOf('payload', entry), keys, place);
    return { entry, extent, payload, isLent };
  }

  #mark({ facts, sequence }: CacheEntry, extent: Extent): boolean {
    const { shared } = this.#parts;
    if (shared.publishHeld(facts, facts.key, extent.bytes)) return true;
    // The raw tail that it replaces has the key, and is in no log either: it is there until this one is accepted.
    if (facts.kind !== 'raw-tail') return false;
    return shared.publishHeld(facts, numbered(facts.key, sequence), extent.bytes);
  }

  /** Nothing of the save is held any more; extents that are nobody else's are free. What is lent stays so. */
  #drop({ payloads, newBytes }: HeldSave): void {
    const { shared } = this.#parts;
    for (const { extent, isLent } of payloads) {
      shared.settle(extent.bytes);
      shared.hide(extent.bytes);
      if (!isLent) extent.unpin();
    }
    this.#heldBytes -= newBytes;
  }

  /** Sees to it that what is held is written soon. */
  #plan(): void {
    if (this.#isClosed || this.#writing !== undefined || this.#held.length === 0) return;
    const { clock } = this.#parts;
    this.#timer?.cancel();
    this.#timer = undefined;
    const restMs = this.#lastSaveMs + limits.acceptedRestMs - clock.nowMs();
    if (restMs <= 0 || this.#isPressed) this.#write();
    else this.#timer = clock.schedule(restMs, () => this.#plan());
  }

  get #isPressed(): boolean {
    return this.#heldBytes > this.#budgetBytes * limits.acceptedWriteShare;
  }

  #write(): void {
    const { clock } = this.#parts;
    let isRefused = false;
    const writing = async (): Promise<void> => {
      const began = this.#lastSaveMs;
      // What a save that comes meanwhile waits for should be its own.
      while (this.#held.length > 0 && !isRefused && !this.#isClosed) {
        if (this.#lastSaveMs !== began && !this.#isPressed) break;
        isRefused = !(await this.#writeOldest());
      }
    };
    this.#writing = writing().finally(() => {
      this.#writing = undefined;
      if (!isRefused) this.#plan();
      else if (!this.#isClosed) {
        this.#timer = clock.schedule(limits.acceptedRetryMs, () => this.#plan());
      }
    });
    // A fault of ours, and nobody waits here: close() meets it.
    this.#writing.catch(() => undefined);
  }

  /** Writes the save that is held longest to the log. False when the log refuses. */
  async #writeOldest(): Promise<boolean> {
    const { disk, logger } = this.#parts;
    const [save] = this.#held;
    const isPending = ({ entry }: Held): boolean => entry.isCurrent && entry.isPending;
    const pending = save.payloads.filter(isPending).reverse();
    try {
      if (pending.length > 0) await disk.write(pending, save.chain);
    } catch (error) {
      if (!isStoreError(error)) throw error;
      logger.error('accepted in memory: the log does not take it yet', {
        bytes: save.bytes,
        reason: messageOf(error),
      });
      return false;
    }
    const durable = save.payloads.filter(({ entry }) => entry.disk === undefined);
    for (const { entry, payload } of durable) await disk.writeDurable(entry, payload);
    this.#held.shift();
    for (const { entry, extent } of save.payloads) this.#letGo(entry, extent);
    this.#heldBytes -= save.bytes;
    // Confirmed while it was written: the record says that it is pending.
    for (const { entry } of pending) {
      if (entry.isCurrent && !entry.isPending) await disk.noteUploaded(entry);
    }
    return true;
  }

  #letGo(entry: CacheEntry, extent: Extent): void {
    this.#parts.shared.settle(extent.bytes);
    entry.isHeld = false;
    extent.unpin();
  }
}

/** A text like a key that no other payload of the store has. */
function numbered(key: BlockKey, sequence: number): string {
  return `${key.slice(0, 48)}${sequence.toString(16).padStart(16, '0')}`;
}
