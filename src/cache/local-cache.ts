import { assert } from '../base/assert.ts';
import { messageOf, StoreError, systemErrorCode } from '../base/errors.ts';
import { Turns } from '../base/turns.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import type { PayloadLease } from '../blocks/served-store.ts';
import type { Clock } from '../platform/clock.ts';
import { needMemory, processMemory } from '../platform/payload-memory.ts';
import type { PayloadMemory } from '../platform/payload-memory.ts';
import { Admissions } from './admissions.ts';
import { CacheEntry, idText } from './cache-entry.ts';
import type { PayloadFacts, PayloadId, RawTailObject } from './cache-entry.ts';
import type { CommitRing } from './commit-ring.ts';
import type { DiskTier, NewPayload } from './disk-tier.ts';
import type { EntryIndex } from './entry-index.ts';
import type { Extent } from './extent.ts';
import type { MemoryAcceptance } from './memory-acceptance.ts';
import type { MemoryTier } from './memory-tier.ts';
import { PrivateExtent } from './private-extent.ts';
import { RawTailFetches } from './raw-tail-fetches.ts';
import type { SharedTier } from './shared-tier.ts';

/** A payload in memory, pinned for whoever got it; `extent.unpin()` gives it back. */
export interface PinnedPayload {
  readonly extent: Extent;
  readonly payload: Uint8Array;
}

/** A payload to accept, and its index among the keys of its save. */
export type PayloadOfSave = NewPayload & { readonly saveIndex: number };

/** What the local tiers are made of. */
export interface LocalCacheParts {
  readonly memory: MemoryTier;
  /** Where memory comes from that the tier has no room for; the process when absent. */
  readonly payloadMemory?: PayloadMemory | undefined;
  /** Holds the entries of `disk` already. */
  readonly index: EntryIndex;
  /** Absent when no cache directory could be had. */
  readonly disk: DiskTier | undefined;
  readonly clock: Clock;
  /** Where other processes see what memory holds; absent where they do not. */
  readonly shared?: SharedTier | undefined;
  /** Accepts payloads in the memory that is shared; without it the log does. */
  readonly acceptance?: MemoryAcceptance | undefined;
  /** Told of a payload that no local tier has room for any more. */
  readonly onEvict?: ((id: PayloadId) => void) | undefined;
}

/**
 * The local tiers of one store process: one index over memory and disk. What it holds was verified
 * as it came in; what it gives is pinned.
 */
export class LocalCache {
  readonly memory: MemoryTier;
  /** Fetches of raw tails under way, which hear of whatever is saved and removed here. */
  readonly rawTailFetches = new RawTailFetches(limits.rawTailFreshMs);
  readonly #disk: DiskTier | undefined;
  readonly #index: EntryIndex;
  readonly #shared: SharedTier | undefined;
  readonly #acceptance: MemoryAcceptance | undefined;
  readonly #onEvict: LocalCacheParts['onEvict'];
  readonly #payloadMemory: PayloadMemory;
  readonly #admissions: Admissions | undefined;
  /** Of raw tails that are being accepted, by tip and namespace. */
  readonly #turns = new Turns<string>();
  #nextSequence: number;
  readonly #firstSaveId: number;
  #nextSaveId: number;

  constructor(parts: LocalCacheParts) {
    const { memory, index, disk, clock } = parts;
    this.memory = memory;
    this.#index = index;
    this.#disk = disk;
    this.#shared = parts.shared;
    this.#acceptance = parts.acceptance;
    this.#onEvict = parts.onEvict;
    this.#payloadMemory = parts.payloadMemory ?? processMemory;
    const onEnd = (entry: CacheEntry): void => this.#dropIfGone(entry);
    this.#admissions = disk && new Admissions({ disk, clock, onEnd });
    this.#nextSequence = (disk?.recovered.lastSequence ?? 0) + 1;
    this.#firstSaveId = (disk?.recovered.lastSaveId ?? 0) + 1;
    this.#nextSaveId = this.#firstSaveId;
  }

  /** True when an accepted payload survives the death of the process. */
  get hasDisk(): boolean {
    return this.#disk !== undefined;
  }

  get diskUsage(): DiskTier['usage'] | undefined {
    return this.#disk?.usage;
  }

  /** Payloads whose copy on disk turned out to be damaged or unreadable. */
  get damaged(): number {
    return this.#disk?.damaged ?? 0;
  }

  /** Headers and lists of the disk tier's log that failed their check. */
  get damagedRecords(): number {
    return this.#disk?.damagedRecords ?? 0;
  }

  /** Entries that earlier processes left pending, with the keys of their saves. */
  takePending(): ReturnType<DiskTier['takePending']> {
    return this.#disk?.takePending() ?? [];
  }

  /** True when this process accepted the payload; false when it was found on disk or fetched. */
  isOfThisProcess(entry: CacheEntry): boolean {
    return entry.saveId >= this.#firstSaveId;
  }

  find(id: PayloadId): CacheEntry | undefined {
    return this.#index.find(id);
  }

  /** The payload is of use: memory that holds it is given up later than before. */
  touch(id: PayloadId): void {
    const extent = this.#index.find(id)?.extent;
    if (extent !== undefined) this.memory.touch(extent);
  }

  entriesOf(namespace: Namespace, kind: PayloadKind): Iterable<CacheEntry> {
    return this.#index.of(namespace, kind);
  }

  /** Tails held locally that continue the chain with that tip. */
  tailsOf(namespace: Namespace, tip: BlockKey): Iterable<CacheEntry> {
    return this.#index.tailsOf(namespace, tip);
  }

  /** The payload if memory holds it, pinned. */
  pinResident(entry: CacheEntry): PinnedPayload | undefined {
    if (entry.extent === undefined || entry.payload === undefined) return undefined;
    entry.extent.pin();
    this.memory.touch(entry.extent);
    entry.noteUse();
    return { extent: entry.extent, payload: entry.payload };
  }

  /**
   * Reads the payload from disk into memory and keeps it there. Undefined when the bytes on disk are
   * damaged: the disk copy is forgotten then. A pending payload without another copy is lost.
   *
   * @throws StoreError `UNAVAILABLE` when the system refuses to read, `BUSY` when it has no memory.
   */
  async readFromDisk(entry: CacheEntry): Promise<PinnedPayload | undefined> {
    const { disk } = entry;
    assert(this.#disk !== undefined && disk !== undefined, 'entry is not on disk');
    const extent = this.allocate(disk.length);
    let isIntact = false;
    try {
      isIntact = await this.#disk.read(disk, extent.bytes);
    } catch (cause) {
      if (systemErrorCode(cause) === undefined) throw cause;
      const message = `disk tier: ${entry.facts.key} cannot be read: ${messageOf(cause)}`;
      throw new StoreError('UNAVAILABLE', message, { cause });
    } finally {
      if (!isIntact) extent.unpin();
    }
    if (!isIntact) {
      if (entry.disk === disk) await this.#dropDamaged(entry);
      return undefined;
    }
    this.#keep(entry, extent, extent.bytes);
    entry.noteUse();
    return { extent, payload: extent.bytes };
  }

  /**
   * Memory for a payload, pinned: of the tier, or of the process when the tier is full of pins.
   *
   * @throws StoreError `BUSY` when there is none.
   */
  allocate(byteLength: number): Extent {
    const extent = this.memory.allocate(byteLength);
    return extent ?? new PrivateExtent(needMemory(this.#payloadMemory, byteLength));
  }

  /** Bytes of memory that hold what was accepted there and is not on disk yet. */
  get heldBytes(): number {
    return this.#acceptance?.heldBytes ?? 0;
  }

  /** Memory for a payload that may be given to {@link accept}, which copies nothing then. */
  lease(byteLength: number): PayloadLease | undefined {
    return this.#acceptance?.lease(byteLength);
  }

  /** The same for a ring: who fills it does so later, and refers to it there (docs/decisions/0105). */
  leaseAhead(byteLength: number): PayloadLease | undefined {
    return this.#acceptance?.lease(byteLength, true);
  }

  /** As {@link MemoryAcceptance.openRing}; undefined where nothing is accepted in memory. */
  async openRing(): Promise<CommitRing | undefined> {
    return this.#acceptance?.openRing();
  }

  removeRing(ring: CommitRing): void {
    this.#acceptance?.removeRing(ring);
  }

  /**
   * Accepts new payloads of one save: in shared memory, or else in the log, from last to first; then shows
   * them all at once. `chain` is every key given to the save. A raw tail is accepted when those under its tip are
   * that were given before: so the one that shows is the last one of the log too. What is not needed any more when its
   * turn comes is left out.
   */
  async accept(
    payloads: readonly PayloadOfSave[],
    chain: readonly BlockKey[],
    isNeeded: (facts: PayloadFacts) => boolean = () => true,
  ): Promise<readonly CacheEntry[]> {
    const accept = (): Promise<readonly CacheEntry[]> =>
      this.#acceptNow(
        payloads.filter(({ facts }) => isNeeded(facts)),
        chain,
      );
    const { facts: rawTail } = payloads.find(({ facts }) => facts.kind === 'raw-tail') ?? {};
    if (rawTail === undefined) return accept();
    return this.#turns.run(idText(rawTail), accept);
  }

  async #acceptNow(
    payloads: readonly PayloadOfSave[],
    chain: readonly BlockKey[],
  ): Promise<readonly CacheEntry[]> {
    assert(this.#disk !== undefined, 'nothing can be accepted without a disk tier');
    if (payloads.length === 0) return [];
    const saveId = this.#nextSaveId;
    this.#nextSaveId += 1;
    const entries = payloads.map(({ facts, saveIndex }) => {
      const origin = { sequence: this.#takeSequence(), saveId, saveIndex, isPending: true };
      return new CacheEntry(facts, origin);
    });
    if (await this.#acceptInMemory(entries, payloads, chain)) return entries;
    await this.#disk.write(
      entries.map((entry, index) => ({ entry, payload: payloads[index].payload })).reverse(),
      chain,
    );
    for (const entry of entries) this.#show(entry);
    return entries;
  }

  /** False when there is no room: then nothing was accepted. */
  async #acceptInMemory(
    entries: readonly CacheEntry[],
    payloads: readonly NewPayload[],
    chain: readonly BlockKey[],
  ): Promise<boolean> {
    const save = await this.#acceptance?.copy(entries, payloads, chain);
    if (save === undefined) return false;
    // What came from the object store meanwhile is not shown beside it; a raw tail stays until its next one is.
    for (const { facts } of entries) {
      const present = facts.kind === 'raw-tail' ? undefined : this.#index.find(facts)?.extent;
      if (present !== undefined) this.#shared?.hide(present.bytes);
    }
    if (this.#acceptance?.commit(save) !== true) return false;
    for (const { entry, extent, payload } of save.payloads) {
      this.#makeResident(entry, extent, payload);
      this.#show(entry);
    }
    return true;
  }

  /**
   * Takes in a verified payload that the object store holds: it stays in memory at once, and goes to
   * disk in the background. The caller keeps its pin. What came under the key meanwhile stays: it
   * may be pending, and any bytes saved under a block's key are valid. Of a raw tail its fetch says that nothing came.
   */
  admit(
    facts: PayloadFacts,
    extent: Extent,
    payload: Uint8Array,
    rawTail?: RawTailObject,
  ): CacheEntry {
    const present = this.#index.find(facts);
    if (present !== undefined && (present.isPending || facts.kind !== 'raw-tail')) return present;
    const origin = { sequence: this.#takeSequence(), saveId: 0, saveIndex: 0, isPending: false };
    const entry = new CacheEntry(facts, origin);
    if (rawTail !== undefined) entry.noteObject(rawTail);
    // A raw tail that it replaces gives up its key first, and is not found again after a restart.
    this.#show(entry);
    if (present !== undefined) this.#admissions?.noteReplaced(present);
    this.#keep(entry, extent, payload);
    // What neither tier takes is not remembered: the entry would hide the next copy that comes.
    const goesToDisk = this.#goesToDisk(facts) && this.#admissions?.add(entry, extent, payload);
    if (goesToDisk !== true) this.#dropIfGone(entry);
    return entry;
  }

  /** In the log a raw tail that was fetched would count as newer than one that a dead store left in memory. */
  #goesToDisk({ kind }: PayloadFacts): boolean {
    return kind !== 'raw-tail' || this.#disk?.recovered.areLeft !== true;
  }

  /** The object store confirmed the payload: it may be evicted from now on. */
  async markUploaded(entry: CacheEntry, rawTail?: RawTailObject): Promise<void> {
    assert(entry.isPending, 'an entry is confirmed once');
    entry.isPending = false;
    if (rawTail !== undefined) entry.noteObject(rawTail);
    // The log does not know of it yet.
    if (entry.isHeld && entry.extent !== undefined) this.#acceptance?.confirm(entry, entry.extent);
    else await this.#disk?.noteUploaded(entry);
    this.#dropIfGone(entry);
  }

  /** Forgets what was fetched of the raw tail, and what is on its way: the bucket has another by now, or none. */
  async forgetFetched(id: PayloadId): Promise<void> {
    this.rawTailFetches.overtake(id);
    const entry = this.#index.find(id);
    if (entry !== undefined && !entry.isPending && !this.isOfThisProcess(entry)) {
      await this.remove(entry);
    }
  }

  /** Forgets the payload in every local tier, also after a restart. */
  async remove(entry: CacheEntry): Promise<void> {
    this.#hide(entry);
    await this.#disk?.noteRemoved(entry);
  }

  /** Writes what waits to be admitted and closes the disk tier; nothing goes there any more. */
  async close(): Promise<void> {
    await this.#admissions?.close();
    await this.#acceptance?.close();
    this.#shared?.close();
    await this.#disk?.close();
  }

  #takeSequence(): number {
    const sequence = this.#nextSequence;
    this.#nextSequence += 1;
    return sequence;
  }

  #show(entry: CacheEntry): void {
    if (entry.facts.kind === 'raw-tail') this.rawTailFetches.overtake(entry.facts);
    const replaced = this.#index.put(entry);
    if (replaced === undefined || replaced === entry) return;
    this.#forgetTiers(replaced);
    // Accepted beside the one that it replaces, which had the key.
    if (entry.extent !== undefined) this.#shared?.nameByKey(entry.facts, entry.extent.bytes);
  }

  #hide(entry: CacheEntry): void {
    if (entry.facts.kind === 'raw-tail') this.rawTailFetches.overtake(entry.facts);
    this.#index.remove(entry);
    this.#forgetTiers(entry);
  }

  #forgetTiers(entry: CacheEntry): void {
    entry.isCurrent = false;
    if (entry.extent !== undefined) {
      if (entry.isHeld) this.#acceptance?.settle(entry, entry.extent);
      this.#shared?.hide(entry.extent.bytes);
      this.memory.remove(entry.extent);
    }
    entry.extent = undefined;
    entry.payload = undefined;
    this.#disk?.forget(entry);
  }

  /** Makes the extent the entry's copy in memory, unless it has one. */
  #keep(entry: CacheEntry, extent: Extent, payload: Uint8Array): void {
    if (entry.extent !== undefined || !entry.isCurrent || extent instanceof PrivateExtent) return;
    this.#makeResident(entry, extent, payload);
    this.#shared?.publish(entry.facts, extent.bytes, payload);
  }

  #makeResident(entry: CacheEntry, extent: Extent, payload: Uint8Array): void {
    entry.extent = extent;
    entry.payload = payload;
    const onEvict = (): void => {
      entry.extent = undefined;
      entry.payload = undefined;
      this.#dropIfGone(entry);
    };
    this.memory.makeResident(extent, onEvict, entry.uses > 0);
  }

  async #dropDamaged(entry: CacheEntry): Promise<void> {
    this.#disk?.forgetDamaged(entry);
    if (entry.isLost) await this.remove(entry);
    else this.#dropIfGone(entry);
  }

  #dropIfGone(entry: CacheEntry): void {
    if (entry.extent !== undefined || entry.disk !== undefined || entry.isPending) return;
    entry.isCurrent = false;
    this.#index.remove(entry);
    this.#onEvict?.(entry.facts);
  }
}
