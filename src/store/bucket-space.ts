import { limits } from '../blocks/limits.ts';
import type { MeteredObjectStore } from '../objectstore/metered-object-store.ts';
import type { ObjectInfo } from '../objectstore/object-store.ts';
import type { BoundedRoom } from './bucket-room.ts';
import { RoomClaims } from './room-claims.ts';
import type { RoomClaim, RoomClaimsParts, SendRequest } from './room-claims.ts';

export interface BucketSpaceParts extends RoomClaimsParts {
  readonly objects: MeteredObjectStore;
  /** Bytes that the objects under the key prefix may have. */
  readonly budgetBytes: number;
  /** Who writes, and who waits for that. */
  readonly writers: () => Pick<BoundedRoom, 'wantedBytes' | 'reservedBytes'>;
}

/**
 * How full the bucket is, as far as this process knows, and what it may write: no more than it has
 * claimed, and no more than the budget, which may be exceeded by three quarters of a segment, leaves
 * beside what is there and what others have claimed.
 */
export class BucketSpace {
  readonly #parts: BucketSpaceParts;
  readonly #claims: RoomClaims;
  /** The claim that is written under, and what this process had written before it. */
  #claim: RoomClaim | undefined;
  #writtenBytesAtClaim = 0;
  /** The mark of the claims when the bucket was last listed and nobody else claimed anything. */
  #markAlone: string | undefined;
  #isWithdrawing = false;
  #othersBytes = 0;
  /** Bytes of writes that failed since, and may be in the bucket all the same. */
  #doubtfulBytes = 0;
  #isListed = false;
  /** Bytes in the bucket at the last list, less what was removed since. */
  #listedBytes = 0;
  /** What this process had written when that list began. */
  #writtenBytesThen = 0;

  constructor(parts: BucketSpaceParts) {
    this.#parts = parts;
    this.#claims = new RoomClaims(parts);
  }

  /** Never too low for what this process does; what others wrote since the last list is not in it. */
  get usedBytes(): number {
    const since = this.#writtenBytes() - this.#writtenBytesThen;
    return this.#listedBytes + since + this.#doubtfulBytes;
  }

  /** Bytes that may be written now, those that are being written included. */
  get writableBytes(): number {
    return Math.max(0, Math.min(this.#claimedBytes(), this.#freeBytes()));
  }

  /** Bytes that may be in the bucket when all that was claimed is written to it. */
  get besideClaimsBytes(): number {
    const claimed = this.#othersBytes + Math.max(0, this.#claimedBytes());
    return Math.max(0, Math.min(this.#parts.budgetBytes, this.#bytesMax() - claimed));
  }

  /** Whether what is being written and waited for was claimed. */
  get isAllClaimed(): boolean {
    const { wantedBytes, reservedBytes } = this.#parts.writers();
    return this.#claimedBytes() >= wantedBytes + reservedBytes;
  }

  /**
   * Claims room for what is being written and waited for, and some more. Lists the bucket only when
   * somebody else may have written to it since the last list. Until it has ended what was claimed
   * earlier holds.
   */
  async claim(): Promise<void> {
    await this.#claimAndList(() => undefined, false);
  }

  /**
   * Visits all objects under the prefix, behind a claim for what is being written and waited for, if
   * anything is. What is written meanwhile may be counted twice.
   */
  async list(visit: (info: ObjectInfo) => void): Promise<void> {
    const { wantedBytes, reservedBytes } = this.#parts.writers();
    if (wantedBytes + reservedBytes > 0) await this.#claimAndList(visit, true);
    else await this.#listAll(visit);
  }

  /** A write of so many bytes failed, and may have happened or still happen. */
  noteDoubt(bytes: number): void {
    this.#doubtfulBytes += bytes;
  }

  /** The bucket holds so many bytes less than it was taken to. */
  noteGone(bytes: number): void {
    this.#listedBytes -= bytes;
  }

  /** Takes a claim back that has become too old to be written under. Nothing is being written. */
  async withdrawStale(): Promise<void> {
    if (this.#claim !== undefined && !this.#claims.isFresh(this.#claim)) await this.withdraw();
  }

  /** Takes back what was claimed. Nothing is being written. */
  async withdraw(request?: SendRequest): Promise<void> {
    this.#claim = undefined;
    await this.#claims.withdraw(undefined, request);
  }

  async #claimAndList(visit: (info: ObjectInfo) => void, isVisit: boolean): Promise<void> {
    const { wantedBytes, reservedBytes } = this.#parts.writers();
    const writtenBytes = this.#writtenBytes();
    const bytes = reservedBytes + Math.max(wantedBytes, this.#stepBytes());
    const claim = await this.#claims.announce(bytes);
    const others = await this.#claims.ofOthers(claim);
    const isAlone = others.bytes === 0 && others.mark !== undefined;
    const isKnown = isAlone && others.mark === this.#markAlone && this.#doubtfulBytes === 0;
    if (isVisit || !isKnown) await this.#listAll(visit);
    this.#markAlone = isAlone ? others.mark : undefined;
    this.#othersBytes = others.bytes;
    this.#claim = claim;
    this.#writtenBytesAtClaim = writtenBytes;
    // What began under an earlier claim, and does not fit into this one, keeps that.
    const { reservedBytes: writing } = this.#parts.writers();
    if (this.#claimedBytes() >= writing) this.#withdrawBehind(claim);
  }

  /** Takes earlier claims back. Nobody waits for that: they only keep room from others. */
  #withdrawBehind(kept: RoomClaim): void {
    // Those that are left wait for the next time.
    if (this.#isWithdrawing) return;
    this.#isWithdrawing = true;
    const done = (): void => {
      this.#isWithdrawing = false;
    };
    void this.#claims.withdraw(kept).finally(done);
  }

  async #listAll(visit: (info: ObjectInfo) => void): Promise<void> {
    const writtenBytes = this.#writtenBytes();
    const doubtfulBytes = this.#doubtfulBytes;
    this.#listedBytes = await this.#visitAll(visit);
    this.#writtenBytesThen = writtenBytes;
    this.#doubtfulBytes -= doubtfulBytes;
    this.#isListed = true;
  }

  /** The bytes of all objects. */
  async #visitAll(visit: (info: ObjectInfo) => void): Promise<number> {
    const { objects, keyPrefix, request } = this.#parts;
    const prefix = keyPrefix === '' ? '' : `${keyPrefix}/`;
    let startAfter: string | undefined;
    let bytes = 0;
    for (;;) {
      const after = startAfter;
      const page = await request((signal) => objects.list(prefix, { startAfter: after, signal }));
      for (const info of page.objects) {
        bytes += info.byteLength;
        visit(info);
      }
      startAfter = page.objects.at(-1)?.key;
      if (!page.isTruncated || startAfter === undefined) return bytes;
    }
  }

  /** May be below zero, when more was written than was claimed under an earlier claim. */
  #claimedBytes(): number {
    if (this.#claim === undefined || !this.#claims.isFresh(this.#claim)) return 0;
    const since = this.#writtenBytes() - this.#writtenBytesAtClaim;
    return this.#claim.bytes - since - this.#doubtfulBytes;
  }

  #freeBytes(): number {
    return this.#bytesMax() - this.usedBytes - this.#othersBytes;
  }

  #bytesMax(): number {
    return this.#parts.budgetBytes + (this.#slackBytes() * 3) / 4;
  }

  /**
   * What to claim at a time: a quarter of what is free, so that a list is rare while there is much,
   * within what others can spare and a list is worth; and no more than twice the claim before, so that a
   * process that dies soon keeps little from others until its claim expires.
   */
  #stepBytes(): number {
    const { budgetBytes } = this.#parts;
    const free = this.#isListed ? this.#freeBytes() / 4 : 0;
    const most = Math.min(free, budgetBytes / 32, 2 * (this.#claim?.bytes ?? 0));
    return Math.ceil(Math.max(this.#slackBytes() / 4, most));
  }

  #slackBytes(): number {
    return Math.min(limits.segmentBytes, this.#parts.budgetBytes / 8);
  }

  #writtenBytes(): number {
    return this.#parts.objects.snapshot().writtenBytes;
  }
}
