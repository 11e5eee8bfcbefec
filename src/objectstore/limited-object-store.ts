import { setMaxListeners } from 'node:events';
import { assert } from '../base/assert.ts';
import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { memoryForBody } from './call-arguments.ts';
import { CallGate } from './call-gate.ts';
import type { Call } from './call-gate.ts';
import { objectLimits } from './object-limits.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectBody,
  ObjectCallOptions,
  ObjectInfo,
  ObjectKey,
  ObjectPage,
  ObjectStore,
  PutOptions,
  PutResult,
} from './object-store.ts';
import { Pacer } from './pacer.ts';

export interface ObjectStoreLimits {
  /** Calls under way at once; others wait in order of arrival. */
  readonly callsMax: number;
  /** Calls that wait; beyond it a call is `UNAVAILABLE` at once. */
  readonly waitingMax: number;
  /** Bytes of bodies a second that puts send, on the average; no bound when absent. */
  readonly writeBytesPerSecond?: number | undefined;
  /** The same for what gets receive. */
  readonly readBytesPerSecond?: number | undefined;
}

/** Ranges up to this length do not wait for their turn: a header is 4 KiB. */
const shortRangeBytesMax = 64 * 1024;

interface WaitingCall {
  readonly enter: () => void;
}

/**
 * Bounds how many calls are under way and how many bytes of bodies pass a second. Sits outermost,
 * `limited(retrying(metered(s3)))`: a call that waits between two attempts keeps its place, so a
 * server that throttles gets fewer calls. Heads, lists and deletes have no bytes here.
 *
 * A put waits before it sends. The length of a get is known only when its body begins: until then it counts
 * as what the last one had, and what is wrong with that is charged or given back as soon as it is known. Short
 * ranges, which are headers that a lookup waits for, are charged and do not wait. What the layers below send
 * again is charged for gets and not for puts.
 */
export class LimitedObjectStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #limits: ObjectStoreLimits;
  readonly #gate: CallGate;
  readonly #closing = new AbortController();
  readonly #waiting: WaitingCall[] = [];
  readonly #writes: Pacer | undefined;
  readonly #reads: Pacer | undefined;
  #running = 0;
  /** Bytes of the last body of a whole object. */
  #lastLength = 0;

  constructor(
    inner: ObjectStore,
    clock: Clock,
    limits: ObjectStoreLimits = objectLimits.bucketCalls,
  ) {
    assert(limits.callsMax >= 1, 'a limit lets a call through');
    this.url = inner.url;
    this.#inner = inner;
    this.#clock = clock;
    this.#limits = limits;
    this.#gate = new CallGate(`limited ${inner.url}`);
    const { writeBytesPerSecond, readBytesPerSecond } = limits;
    this.#writes = writeBytesPerSecond === undefined ? undefined : new Pacer(writeBytesPerSecond);
    this.#reads = readBytesPerSecond === undefined ? undefined : new Pacer(readBytesPerSecond);
    setMaxListeners(0, this.#closing.signal);
  }

  /** Calls that wait for a place now. */
  get waiting(): number {
    return this.#waiting.length;
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    return this.#run(`put of ${key}`, options, async (call) => {
      const byteLength = parts.reduce((sum, part) => sum + part.length, 0);
      if (this.#writes !== undefined) await this.#pass(this.#writes, byteLength, call);
      return this.#inner.put(key, parts, options);
    });
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    return this.#run(`get of ${key}`, options, async (call) => {
      const reads = this.#reads;
      if (reads === undefined) return call.hold(() => this.#inner.get(key, options));
      return this.#getPaced(reads, key, options, call);
    });
  }

  async #getPaced(
    reads: Pacer,
    key: ObjectKey,
    options: GetOptions,
    call: Call,
  ): Promise<ObjectBody | undefined> {
    const { range } = options;
    let expected = range?.length ?? this.#lastLength;
    if (range !== undefined && range.length <= shortRangeBytesMax) {
      reads.charge(this.#clock.nowMs(), expected);
    } else {
      await this.#pass(reads, expected, call);
    }
    const allocate = (byteLength: number): Uint8Array => {
      const memory = memoryForBody(options, byteLength);
      reads.refund(expected);
      expected = 0;
      reads.charge(this.#clock.nowMs(), byteLength);
      if (range === undefined) this.#lastLength = byteLength;
      return memory;
    };
    try {
      return await call.hold(() => this.#inner.get(key, { ...options, allocate }));
    } finally {
      // Of an absent object, or of one that was not reached.
      reads.refund(expected);
    }
  }

  /** Waits until it is the bytes' turn; who gives up meanwhile has not used it. */
  async #pass(pacer: Pacer, byteLength: number, call: Call): Promise<void> {
    await this.#sleep(pacer.charge(this.#clock.nowMs(), byteLength), call.signal);
    try {
      call.check();
    } catch (error) {
      pacer.refund(byteLength);
      throw error;
    }
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#run(`head of ${key}`, options, () => this.#inner.head(key, options));
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    return this.#run(`list of ${prefix}`, options, () => this.#inner.list(prefix, options));
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#run(`delete of ${key}`, options, () => this.#inner.delete(key, options));
  }

  async close(): Promise<void> {
    const ended = this.#gate.close();
    this.#closing.abort();
    await this.#inner.close();
    await ended;
  }

  #run<Result>(
    what: string,
    { signal }: ObjectCallOptions,
    task: (call: Call) => Promise<Result>,
  ): Promise<Result> {
    return this.#gate.run(what, signal, async (call) => {
      await this.#enter(what, call, signal);
      try {
        return await task(call);
      } finally {
        this.#leave();
      }
    });
  }

  /** Waits for a place. Whoever gives up while it waits has none to give back. */
  async #enter(what: string, call: Call, signal: AbortSignal | undefined): Promise<void> {
    const { callsMax, waitingMax } = this.#limits;
    if (this.#running < callsMax) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= waitingMax) {
      const message = `${what}: ${waitingMax} calls wait for ${callsMax} that are under way`;
      throw new StoreError('UNAVAILABLE', message);
    }
    const hasEntered = await new Promise<boolean>((resolve) => {
      const closing = this.#closing.signal;
      const settle = (entered: boolean): void => {
        signal?.removeEventListener('abort', giveUp);
        closing.removeEventListener('abort', giveUp);
        resolve(entered);
      };
      const waiting = { enter: () => settle(true) };
      const giveUp = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at >= 0) this.#waiting.splice(at, 1);
        settle(false);
      };
      signal?.addEventListener('abort', giveUp);
      closing.addEventListener('abort', giveUp);
      this.#waiting.push(waiting);
    });
    if (hasEntered) return;
    call.check();
    throw new StoreError('CLOSED', `${what}: the store is closed`);
  }

  /** Hands the place on, or frees it. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running -= 1;
    else next.enter();
  }

  /** Ends early when the caller gives up or the store closes; the check behind it says which. */
  async #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    if (ms <= 0) return;
    const closing = this.#closing.signal;
    const ended = signal === undefined ? closing : AbortSignal.any([signal, closing]);
    await this.#clock.sleep(ms, ended).catch(() => undefined);
  }
}
