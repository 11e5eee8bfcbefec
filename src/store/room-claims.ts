import { isStoreError, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import {
  claimObjectKey,
  claimObjectPrefix,
  lastClaimantObjectKey,
  parseClaimKey,
} from '../format/object-keys.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import type { ObjectInfo, ObjectKey, ObjectStore } from '../objectstore/object-store.ts';
import type { Platform } from '../platform/platform.ts';

/** Runs one request of the bucket with the signal by which it ends in time. */
export type SendRequest = <Result>(
  send: (signal: AbortSignal) => Promise<Result>,
) => Promise<Result>;

/** Bytes that this process announced it would write, by an object in the bucket. */
export interface RoomClaim {
  readonly key: ObjectKey;
  readonly bytes: number;
  /** By the clock of this process, before the object was made. */
  readonly madeMs: number;
}

/** What the claims of a bucket tell. */
export interface ClaimsOfOthers {
  readonly bytes: number;
  /** Stays the same while nobody begins to claim who had no claim in the bucket. */
  readonly mark: string | undefined;
}

export interface RoomClaimsParts {
  readonly platform: Platform;
  readonly objects: ObjectStore;
  readonly keyPrefix: string;
  readonly request: SendRequest;
  /** A claim could not be removed; it counts for others until it expires. */
  readonly onFailure: (error: StoreError) => void;
}

/** Random bytes in the name of a claim. */
const nameBytes = 16;

/**
 * How processes that share a bucket keep its bound together: who wants to write announces how much,
 * by an empty object whose name says it, and only then lists the bucket. Of two who want room one
 * announced before the other listed, so at least one sees both; what is announced counts for all
 * others like bytes that are there (docs/decisions/0048-claims-of-room.md).
 */
export class RoomClaims {
  readonly #parts: RoomClaimsParts;
  /** This process's claims that may be in the bucket. */
  readonly #own = new Map<ObjectKey, RoomClaim>();
  /** The newest of them that is there for certain: it was put, and nobody asked for its removal. */
  #standing: RoomClaim | undefined;

  constructor(parts: RoomClaimsParts) {
    this.#parts = parts;
  }

  /** Puts a claim into the bucket. It is worth something once the bucket was listed behind it. */
  async announce(bytes: number): Promise<RoomClaim> {
    const { platform, objects, keyPrefix, request } = this.#parts;
    this.#forgetExpired();
    if (this.#standing === undefined || !this.isFresh(this.#standing)) await this.#leaveMark();
    const key = parseObjectKey(claimObjectKey(keyPrefix, bytes, platform.random.hex(nameBytes)));
    const claim = { key, bytes, madeMs: platform.clock.nowMs() };
    this.#own.set(key, claim);
    await request((signal) => objects.put(key, [], { signal }));
    this.#standing = claim;
    return claim;
  }

  /** True while others are sure to count the claim: they forget it much later. */
  isFresh(claim: RoomClaim): boolean {
    return this.#ageMs(claim) < limits.roomClaimFreshMs;
  }

  /**
   * What other processes have announced. To be asked before the objects are listed: what is written
   * meanwhile was announced. A claim so much older than `own` that nobody can still write under it is
   * a dead process's, and is removed.
   */
  async ofOthers(own: RoomClaim): Promise<ClaimsOfOthers> {
    const { keyPrefix, request } = this.#parts;
    const listed = await this.#list();
    const nowMs = listed.find(({ key }) => key === own.key)?.modifiedMs;
    if (nowMs === undefined) {
      throw new StoreError('UNAVAILABLE', `${own.key} was put and is not listed`);
    }
    let bytes = 0;
    for (const { key, modifiedMs } of listed) {
      const claimed = parseClaimKey(keyPrefix, key);
      if (claimed === undefined || this.#own.has(key)) continue;
      if (nowMs - modifiedMs > limits.roomClaimExpiredMs) await this.#remove(key, request);
      else bytes += claimed;
    }
    const last = lastClaimantObjectKey(keyPrefix);
    return { bytes, mark: listed.find(({ key }) => key === last)?.etag };
  }

  /** Takes back all claims that there are now but one. Nothing is being written under them any more. */
  async withdraw(kept?: RoomClaim, request: SendRequest = this.#parts.request): Promise<void> {
    // A removal that fails may have happened all the same.
    if (this.#standing !== kept) this.#standing = undefined;
    const others = [...this.#own.values()].filter((claim) => claim !== kept);
    for (const claim of others) {
      if (await this.#remove(claim.key, request)) this.#own.delete(claim.key);
    }
  }

  /** Tells others that somebody claims who may have had no claim when they looked. */
  #leaveMark(): Promise<unknown> {
    const { platform, objects, keyPrefix, request } = this.#parts;
    const key = parseObjectKey(lastClaimantObjectKey(keyPrefix));
    const mark = Buffer.from(platform.random.hex(nameBytes));
    return request((signal) => objects.put(key, [mark], { signal }));
  }

  async #list(): Promise<readonly ObjectInfo[]> {
    const { objects, keyPrefix, request } = this.#parts;
    const prefix = claimObjectPrefix(keyPrefix);
    const listed: ObjectInfo[] = [];
    for (let startAfter: string | undefined; ;) {
      const after = startAfter;
      const page = await request((signal) => objects.list(prefix, { startAfter: after, signal }));
      listed.push(...page.objects);
      startAfter = page.objects.at(-1)?.key;
      if (!page.isTruncated || startAfter === undefined) return listed;
    }
  }

  /** False when it could not be removed, which harms nobody for longer than a claim lives. */
  async #remove(key: ObjectKey, request: SendRequest): Promise<boolean> {
    const { objects, onFailure } = this.#parts;
    try {
      await request((signal) => objects.delete(key, { signal }));
      return true;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      onFailure(error);
      return false;
    }
  }

  /** Those that could not be put, or not be removed: nobody counts them any more. */
  #forgetExpired(): void {
    for (const claim of this.#own.values()) {
      if (this.#ageMs(claim) > limits.roomClaimExpiredMs) this.#own.delete(claim.key);
    }
  }

  #ageMs(claim: RoomClaim): number {
    return this.#parts.platform.clock.nowMs() - claim.madeMs;
  }
}
