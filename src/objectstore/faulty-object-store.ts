import { concatBytes } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { cutRange } from './call-arguments.ts';
import { CallGate } from './call-gate.ts';
import type { Call } from './call-gate.ts';
import type {
  GetOptions,
  ListOptions,
  ObjectBody,
  ObjectCallOptions,
  ObjectInfo,
  ObjectKey,
  ObjectPage,
  ObjectStore,
  ObjectVerb,
  PutOptions,
  PutResult,
} from './object-store.ts';

/**
 * What goes wrong with one call. `at` is a fraction in [0, 1) that says where.
 *
 * - `fail-before`: `UNAVAILABLE`, and the bucket has not heard of it. Any call.
 * - `fail-after`: done by the bucket, then `UNAVAILABLE`: the reply was lost. Any call.
 * - `hang`: no answer until the signal fires or the store is closed. Any call.
 * - `delay`: waits for `wait` first. Any call.
 * - `corrupt`: one bit of the body differs: of a get in the caller's memory, of a put in the bucket.
 * - `truncate`: the body ends early: of a get as if the object were so short, of a put in the bucket.
 * - `absent`: get and head find nothing, list lacks the keys from a place on (a stale listing).
 */
export type ObjectFault =
  | { readonly kind: 'fail-before' }
  | { readonly kind: 'fail-after' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'delay'; readonly wait: (signal?: AbortSignal) => Promise<void> }
  | { readonly kind: 'corrupt'; readonly at: number }
  | { readonly kind: 'truncate'; readonly at: number }
  | { readonly kind: 'absent'; readonly at: number };

export type ObjectFaultKind = ObjectFault['kind'];

/** A call that may go wrong. */
export interface FaultableCall {
  readonly verb: ObjectVerb;
  /** The key, or the prefix of a list. */
  readonly key: string;
  /** How many calls came before it. */
  readonly index: number;
}

/** Picks the fault of a call; undefined lets it through. Randomness, if any, is the picker's. */
export type FaultPicker = (call: FaultableCall) => ObjectFault | undefined;

/**
 * Makes calls go wrong as its picker says: for tests and the simulator. Sits where the network
 * would be, directly on the store that holds the objects and below every other wrapper, so that
 * those are tested too. Counts a fault when it took effect: a corrupt byte of an empty body, or
 * `truncate` of a head, is none and is let through.
 */
export class FaultyObjectStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #pick: FaultPicker;
  readonly #gate: CallGate;
  readonly #counts: Record<ObjectFaultKind, number> = {
    'fail-before': 0,
    'fail-after': 0,
    hang: 0,
    delay: 0,
    corrupt: 0,
    truncate: 0,
    absent: 0,
  };
  readonly #closing = new AbortController();
  #calls = 0;

  constructor(inner: ObjectStore, pick: FaultPicker) {
    this.#inner = inner;
    this.#pick = pick;
    this.url = inner.url;
    this.#gate = new CallGate(`faulty ${inner.url}`);
  }

  /** Faults that took effect, by kind. Later calls do not change it. */
  get counts(): Readonly<Record<ObjectFaultKind, number>> {
    return { ...this.#counts };
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    return this.#run('put', key, options, (fault) =>
      this.#inner.put(key, this.#damagedParts(parts, fault), options),
    );
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    return this.#run('get', key, options, async (fault) => {
      if (fault?.kind === 'absent') return this.#count('absent', undefined);
      if (fault?.kind === 'truncate') return this.#truncatedGet(key, options, fault.at);
      const body = await this.#inner.get(key, options);
      if (fault?.kind === 'corrupt' && body !== undefined) this.#flipBit(body.bytes, fault.at);
      return body;
    });
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#run('head', key, options, async (fault) => {
      if (fault?.kind === 'absent') return this.#count('absent', undefined);
      return this.#inner.head(key, options);
    });
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    return this.#run('list', prefix, options, async (fault) => {
      const page = await this.#inner.list(prefix, options);
      if (fault?.kind !== 'absent' || page.objects.length === 0) return page;
      const seen = page.objects.slice(0, Math.floor(fault.at * page.objects.length));
      return this.#count('absent', { objects: seen, isTruncated: false });
    });
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#run('delete', key, options, () => this.#inner.delete(key, options));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#gate.close();
    await this.#inner.close();
  }

  #run<Result>(
    verb: ObjectVerb,
    key: string,
    options: ObjectCallOptions,
    request: (fault: ObjectFault | undefined) => Promise<Result>,
  ): Promise<Result> {
    const what = `${verb} of ${key}`;
    return this.#gate.run(what, options.signal, async (call) => {
      const fault = this.#pick({ verb, key, index: this.#calls });
      this.#calls += 1;
      await this.#faultBefore(what, fault, call, options.signal);
      // The store below may write to memory of the caller and ends by the signal itself.
      const result = await call.hold(() => request(fault));
      if (fault?.kind !== 'fail-after') return result;
      throw this.#count(
        'fail-after',
        new StoreError('UNAVAILABLE', `${what}: injected lost reply`),
      );
    });
  }

  async #faultBefore(
    what: string,
    fault: ObjectFault | undefined,
    call: Call,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    switch (fault?.kind) {
      case 'fail-before':
        throw this.#count(
          'fail-before',
          new StoreError('UNAVAILABLE', `${what}: injected failure`),
        );
      case 'hang':
        this.#count('hang', undefined);
        await this.#untilAbortedOrClosed(signal);
        call.check();
        return;
      case 'delay':
        this.#count('delay', undefined);
        await fault.wait(signal);
        call.check();
        return;
      default:
        return;
    }
  }

  #untilAbortedOrClosed(signal: AbortSignal | undefined): Promise<void> {
    const closing = this.#closing.signal;
    return new Promise((resolve) => {
      const end = (): void => {
        signal?.removeEventListener('abort', end);
        closing.removeEventListener('abort', end);
        resolve();
      };
      signal?.addEventListener('abort', end);
      closing.addEventListener('abort', end);
    });
  }

  #damagedParts(
    parts: readonly Uint8Array[],
    fault: ObjectFault | undefined,
  ): readonly Uint8Array[] {
    if (fault?.kind !== 'corrupt' && fault?.kind !== 'truncate') return parts;
    const bytes = concatBytes(parts);
    if (bytes.length === 0) return parts;
    if (fault.kind === 'corrupt') {
      this.#flipBit(bytes, fault.at);
      return [bytes];
    }
    return this.#count('truncate', [bytes.subarray(0, Math.floor(fault.at * bytes.length))]);
  }

  async #truncatedGet(
    key: ObjectKey,
    options: GetOptions,
    at: number,
  ): Promise<ObjectBody | undefined> {
    const { signal, range, allocate } = options;
    const whole = await this.#inner.head(key, { signal });
    if (whole === undefined || whole.byteLength === 0) return this.#inner.get(key, options);
    const byteLength = Math.floor(at * whole.byteLength);
    const body = await this.#inner.get(key, {
      signal,
      allocate,
      range: cutRange(range, byteLength),
    });
    if (body === undefined) return undefined;
    return this.#count('truncate', { ...body, info: { ...body.info, byteLength } });
  }

  #flipBit(bytes: Uint8Array, at: number): void {
    if (bytes.length === 0) return;
    const position = at * bytes.length;
    const index = Math.floor(position);
    bytes[index] = (bytes[index] ?? 0) ^ (1 << Math.floor((position - index) * 8));
    this.#counts.corrupt += 1;
  }

  #count<Result>(kind: ObjectFaultKind, result: Result): Result {
    this.#counts[kind] += 1;
    return result;
  }
}

/** A picker that gives the faults one after another to the calls of the verb, then none. */
export function scriptedFaults(verb: ObjectVerb, faults: readonly ObjectFault[]): FaultPicker {
  let next = 0;
  return (call) => {
    if (call.verb !== verb || next === faults.length) return undefined;
    next += 1;
    return faults[next - 1];
  };
}
