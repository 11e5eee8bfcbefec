import { isMemoryRefusal, isStoreError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import type { SaveRing } from '../blocks/served-store.ts';
import type { CommitRing } from '../cache/commit-ring.ts';
import type { LocalCache } from '../cache/local-cache.ts';
import { DamagedRing, ringUnitBytes } from '../cache/ring-layout.ts';
import type { RingBlock, RingSave } from '../cache/ring-layout.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import { Call } from './call.ts';
import type { Counters } from './counters.ts';
import { RingLoans } from './ring-loans.ts';
import type { LoanBudget } from './ring-loans.ts';
import type { WritePath } from './write-path.ts';

export interface RingMergeParts {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly cache: LocalCache;
  readonly writePath: WritePath;
  readonly counters: Counters;
}

/**
 * Takes saves that clients left in rings, which accepted them, into the store. Each ring is taken in its order; what
 * the store refuses stays in the ring and is tried again.
 */
export class RingMerge {
  readonly #parts: RingMergeParts;
  readonly #rings = new Set<MergedRing>();
  readonly #budget: LoanBudget;
  #isClosed = false;

  constructor(parts: RingMergeParts) {
    this.#parts = parts;
    const { cache } = parts;
    this.#budget = {
      ...{ bytes: 0, count: 0 },
      bytesMax: Math.floor(cache.memory.usage.budgetBytes * limits.ringLoansShare),
      lease: (length) => cache.leaseAhead(length),
      hasRoomFor: (bytes, count) => this.#hasRoom(0, { bytes, count }),
    };
  }

  /** As {@link ServedStore.openRing}. */
  async open(): Promise<SaveRing | undefined> {
    if (this.#isClosed) return undefined;
    // Each may hold its fill when the store has no room for more.
    if (!this.#hasRoom(1)) return undefined;
    const ring = await this.#parts.cache.openRing();
    if (ring === undefined) return undefined;
    if (this.#isClosed) {
      this.#parts.cache.removeRing(ring);
      return undefined;
    }
    const merged = new MergedRing(ring, this.#parts, {
      budget: this.#budget,
      mayGoOn: () => this.#hasRoom(0),
      onEnd: () => this.#rings.delete(merged),
    });
    this.#rings.add(merged);
    return merged;
  }

  /** As {@link ServedStore.takeRings}. */
  take(): void {
    for (const ring of this.#rings) if (ring.isTold) ring.gather();
  }

  /** True while {@link settleFor} has something to do. */
  get hasNews(): boolean {
    for (const ring of this.#rings) if (ring.hasNews) return true;
    return false;
  }

  /** Clients that were told to ask may leave saves again when there is room. */
  reconsider(): void {
    for (const ring of this.#rings) ring.reconsider();
  }

  /**
   * Resolves when what is in the rings now is in the store, or is refused, or the call is out of time: then a lookup or
   * a load answers what it has. Rejects when the caller ends the call.
   */
  async settleFor(call: Call): Promise<void> {
    const settled = Promise.all([...this.#rings].map((ring) => ring.settle()));
    await call.race(settled).catch((error: unknown) => {
      if (!call.isExpired) throw error;
    });
  }

  /** Ends all rings. What the store refuses stays in them, for whoever follows. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#rings].map((ring) => ring.shut()));
  }

  /** Whether all that clients may leave could be accepted, in so many rings more and with so much more lent. */
  #hasRoom(rings: number, more = { bytes: 0, count: 0 }): boolean {
    const bytes = (this.#rings.size + rings) * limits.ringBytes;
    const { bytes: lentBytes, count } = this.#budget;
    return this.#parts.writePath.hasRoomFor(
      bytes + lentBytes + more.bytes,
      bytesToCount(bytes) + count + more.count,
    );
  }
}

/** Blocks that so many bytes of rings may hold. */
function bytesToCount(bytes: number): number {
  return Math.ceil(bytes / limits.ringBlockBytesMin);
}

interface MergedRingHooks {
  readonly budget: LoanBudget;
  /** Whether the client may leave more. */
  readonly mayGoOn: () => boolean;
  readonly onEnd: () => void;
}

class MergedRing implements SaveRing {
  readonly #ring: CommitRing;
  readonly #parts: RingMergeParts;
  readonly #hooks: MergedRingHooks;
  readonly #loans: RingLoans;
  /** Ends a ring in which nothing is left for long, and with it what is lent there. */
  #idleTimer: ScheduledCall | undefined;
  /** Takes what is there, until nothing is or the store refuses. */
  #taking: Promise<void> | undefined;
  /** Who waits until so much is taken. */
  readonly #waiting = new Set<{ readonly position: number; readonly wake: () => void }>();
  /** Takes what comes until nothing does. */
  #following: Promise<void> | undefined;
  #timer: ScheduledCall | undefined;
  /** Nothing more is left here. */
  #isOver = false;
  #hasEnded = false;
  #isRefused = false;
  /** The client wants more than could be lent in one turn. */
  #hasToLend = false;

  constructor(ring: CommitRing, parts: RingMergeParts, hooks: MergedRingHooks) {
    this.#ring = ring;
    this.#parts = parts;
    this.#hooks = hooks;
    this.#loans = new RingLoans(ring, hooks.budget);
  }

  get number(): number {
    return this.#ring.number;
  }

  get byteLength(): number {
    return this.#ring.byteLength;
  }

  get hasNews(): boolean {
    return this.#ring.hasNews;
  }

  /** The client has told of something: that it left a save there, or that it wants memory. */
  get isTold(): boolean {
    return this.#ring.isTold;
  }

  reconsider(): void {
    if (this.#ring.isPaused) this.#ring.isPaused = !this.#hooks.mayGoOn();
    if (this.#renewLoans()) this.gather();
  }

  /**
   * Takes what the client leaves, until nothing comes any more; then the client has to tell again. It waits a moment
   * before it begins: who saves one small block saves others soon, and the client need not share the processor with
   * their uploads meanwhile. Whoever asks the store for something has it taken at once.
   */
  gather(): void {
    if (this.#following !== undefined || this.#timer !== undefined) return;
    this.#timer = this.#parts.clock.schedule(limits.ringGatherMs, () => this.#followNow());
  }

  #followNow(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#following ??= this.#follow().finally(() => (this.#following = undefined));
    // A fault of ours, and nobody waits here: close() meets it.
    this.#following.catch(() => undefined);
  }

  /** Resolves when what is there now is taken, or refused; not when what comes meanwhile is. */
  settle(): Promise<void> {
    // What was refused a moment ago is tried again by the timer, and not by every call.
    const isRefused = this.#isRefused && this.#taking === undefined;
    if (!this.#ring.hasNews || isRefused) return Promise.resolve();
    const { head } = this.#ring;
    return new Promise((resolve, reject) => {
      const one = { position: head, wake: resolve };
      this.#waiting.add(one);
      this.#takeAll()
        .finally(() => this.#waiting.delete(one))
        .then(resolve, reject);
    });
  }

  /** Resolves when nothing is there, or the store refuses. */
  #takeAll(): Promise<void> {
    this.#taking ??= this.#take().finally(() => (this.#taking = undefined));
    return this.#taking;
  }

  /** Those who wait for what is taken by now wait no more. */
  #wake(): void {
    for (const one of this.#waiting) if (this.#ring.hasTaken(one.position)) one.wake();
  }

  async close(): Promise<void> {
    this.#isOver = true;
    this.#ring.close();
    // One that was about to end as this began has not looked again.
    do {
      this.#followNow();
      await this.#following;
    } while (!this.#hasEnded && !this.#isRefused);
  }

  /** The store ends. What it refuses stays in the ring: the next owner of the place finds it there. */
  async shut(): Promise<void> {
    await this.close();
    this.#timer?.cancel();
    this.#idleTimer?.cancel();
  }

  async #follow(): Promise<void> {
    // What was lent there may be somebody else's by now: nothing of it is read any more.
    if (this.#hasEnded) return;
    do {
      if (this.#hasToLend) await this.#parts.clock.yield();
      await this.#takeAll();
    } while (!this.#isRefused && (this.#isOver ? this.#ring.hasNews : this.#goesOn()));
    if (this.#isRefused || !this.#isOver || this.#hasEnded) return;
    this.#hasEnded = true;
    this.#timer?.cancel();
    this.#idleTimer?.cancel();
    this.#hooks.onEnd();
    // The ring goes first: whoever follows the store finds nothing there that refers to memory of others.
    this.#parts.cache.removeRing(this.#ring);
    this.#loans.close();
  }

  /** True when there is something to do before the client has to tell again. */
  #goesOn(): boolean {
    if (this.#ring.listen()) return true;
    // Behind that: either it is seen here what the client wants, or the client tells.
    if (!this.#loans.isOutlived) return this.#renewLoans();
    this.#isOver = true;
    this.#ring.close();
    return true;
  }

  /** True when there is more to lend after other work. */
  #renewLoans(): boolean {
    this.#hasToLend = this.#loans.renew();
    if (this.#loans.count > 0 && this.#idleTimer === undefined) this.#rest();
    return this.#hasToLend;
  }

  /** Counts the time anew in which nothing was left. */
  #rest(): void {
    this.#idleTimer?.cancel();
    this.#idleTimer = this.#parts.clock.schedule(limits.ringLoansIdleMs, () => {
      // A fault of ours, and nobody waits here: whoever has the ring meets it as it closes.
      this.close().catch(() => undefined);
    });
  }

  async #take(): Promise<void> {
    this.#isRefused = false;
    let turn = { saves: 0, bytes: 0 };
    try {
      while (this.#ring.hasNews) {
        const { units, save } = this.#ring.first();
        if (save !== undefined && !(await this.#accept(save))) break;
        this.#ring.advance(units);
        if (save !== undefined) this.#settle(save.blocks);
        this.#wake();
        turn = { saves: turn.saves + 1, bytes: turn.bytes + units * ringUnitBytes };
        if (turn.saves < limits.ringTurnSaves && turn.bytes < limits.ringTurnBytes) continue;
        turn = { saves: 0, bytes: 0 };
        this.#ring.isPaused = !this.#hooks.mayGoOn();
        await this.#parts.clock.yield();
      }
    } catch (error) {
      if (error instanceof DamagedRing) this.#giveUp(error);
      else if (isMemoryRefusal(error)) this.#refuse(error);
      else throw error;
    }
    this.#ring.isPaused = !this.#hooks.mayGoOn();
    if (!this.#isRefused) return;
    this.#timer ??= this.#parts.clock.schedule(limits.acceptedRetryMs, () => this.#followNow());
  }

  /** The entry is taken: what it referred to is lent no more. */
  #settle(blocks: readonly RingBlock[]): void {
    this.#loans.settle(blocks);
    if (this.#idleTimer !== undefined) this.#rest();
  }

  /** False when the store refuses. */
  async #accept({ namespace, parent, fingerprint, blocks }: RingSave): Promise<boolean> {
    const { clock, writePath } = this.#parts;
    const chain = blocks.map(({ key }) => key);
    const payloads = blocks.map(({ payload, crc, key, length, ...rest }, index) => ({
      payload: payload instanceof Uint8Array ? payload : this.#loans.payloadOf(payload, { length }),
      crc,
      facts: {
        ...rest,
        ...{ namespace, kind: 'block' as const, key, fingerprint },
        parent: index === 0 ? parent : chain[index - 1],
      },
    }));
    const request = { payloads, chain, durable: false, isPromised: true };
    try {
      await Call.run(clock, undefined, limits.saveDeadlineMs, (call) =>
        writePath.save(request, call),
      );
      return true;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      this.#refuse(error);
      return false;
    }
  }

  /** What is there stays there, and is tried again. */
  #refuse(why: Error): void {
    this.#isRefused = true;
    this.#parts.logger.error('ring: the store does not take a save that was accepted there yet', {
      ring: this.number,
      reason: why.message,
    });
  }

  /** What a client wrote there cannot be read: it is over with the ring. */
  #giveUp(error: DamagedRing): void {
    this.#ring.close();
    this.#ring.advance(this.#ring.waitingUnits);
    this.#parts.counters.damagedRecords += 1;
    this.#parts.logger.error(
      'ring: a client left something else than saves; it is not used any more',
      {
        ring: this.number,
        why: error.message,
      },
    );
  }
}
