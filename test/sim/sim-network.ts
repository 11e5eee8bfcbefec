import { concatBytes } from '../../src/base/bytes.ts';
import { StoreError } from '../../src/base/errors.ts';
import { md5Hex } from '../../src/base/md5.ts';
import { cutRange, memoryForBody } from '../../src/objectstore/call-arguments.ts';
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
} from '../../src/objectstore/object-store.ts';
import { pickFault } from './network-faults.ts';
import type { NetworkFault, NetworkShares } from './network-faults.ts';
import type { SimBucket } from './sim-bucket.ts';
import type { SimWorldParts } from './sim-machine.ts';
import type { SimProcess } from './sim-process.ts';

/** What a view of the bucket is made of. */
export interface SimNetworkParts {
  readonly world: SimWorldParts;
  readonly bucket: SimBucket;
  readonly process: SimProcess;
  /** Time of every way there or back; drawn for each when absent. */
  readonly wayMs?: number | undefined;
  /** How often requests go wrong now. */
  readonly shares: () => NetworkShares;
  /** Hears that the object's bytes were altered, on the way or for good. */
  readonly onAltered: (key: ObjectKey, isForGood: boolean) => void;
  /** Hears of a put that arrives though its sender gave up. */
  readonly onLatePut: (key: string) => void;
}

interface Request<Answer, Result> {
  readonly verb: ObjectVerb;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
  /** What the bucket does when the request arrives. */
  readonly arrive: (fault: NetworkFault | undefined) => Promise<Answer>;
  /** What the process makes of the answer when it has come. */
  readonly receive: (answer: Answer, fault: NetworkFault | undefined) => Result;
}

/**
 * The bucket as one process reaches it: requests and answers travel, get lost, and come late. What
 * was sent may arrive although its sender gave up or died.
 */
export class SimNetwork implements ObjectStore {
  readonly url = 's3://simulated';
  readonly #parts: SimNetworkParts;
  readonly #hanging = new Set<() => void>();
  #isClosed = false;

  constructor(parts: SimNetworkParts) {
    this.#parts = parts;
  }

  put(key: ObjectKey, parts: readonly Uint8Array[], options: PutOptions = {}): Promise<PutResult> {
    // The caller may change them as soon as the call has settled, and the request is still on its way.
    const bytes = concatBytes(parts);
    const sent = this.#request<PutResult, PutResult>({
      verb: 'put',
      key,
      signal: options.signal,
      arrive: async (fault) => {
        const { bucket, onAltered } = this.#parts;
        if (fault?.kind !== 'object damaged as it was put') {
          return bucket.put(key, [bytes], options.condition);
        }
        onAltered(key, true);
        const result = await bucket.put(key, [damaged(bytes, fault.at)], options.condition);
        if (result.outcome === 'stored') this.#count(fault);
        return result;
      },
      receive: (result) => result,
    });
    return this.#parts.process.during('upload', sent);
  }

  get(key: ObjectKey, options: GetOptions = {}): Promise<ObjectBody | undefined> {
    return this.#request({
      verb: 'get',
      key,
      signal: options.signal,
      arrive: async () => {
        const { unlessEtag } = options;
        const body = await this.#parts.bucket.store.get(key, { unlessEtag });
        // As S3 does, whatever becomes of the bytes on their way.
        return body && { ...body, md5: md5Hex(body.bytes) };
      },
      receive: (body, fault) => this.#receiveBody(key, body, options, fault),
    });
  }

  head(key: ObjectKey, options: ObjectCallOptions = {}): Promise<ObjectInfo | undefined> {
    return this.#request({
      verb: 'head',
      key,
      signal: options.signal,
      arrive: () => this.#parts.bucket.store.head(key),
      receive: (info) => info,
    });
  }

  list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    const { signal, ...rest } = options;
    return this.#request({
      verb: 'list',
      key: prefix,
      signal,
      arrive: () => this.#parts.bucket.store.list(prefix, rest),
      receive: (page, fault) => {
        if (fault?.kind !== 'stale listing' || page.objects.length === 0) return page;
        this.#count(fault);
        const seen = page.objects.slice(0, Math.floor(fault.at * page.objects.length));
        return { objects: seen, isTruncated: false };
      },
    });
  }

  delete(key: ObjectKey, options: ObjectCallOptions = {}): Promise<void> {
    return this.#request({
      verb: 'delete',
      key,
      signal: options.signal,
      arrive: () => this.#parts.bucket.delete(key),
      receive: () => undefined,
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const end of [...this.#hanging]) end();
  }

  #request<Answer, Result>(request: Request<Answer, Result>): Promise<Result> {
    const { process, bucket, world, shares } = this.#parts;
    const { verb, key, signal } = request;
    const what = `${verb} of ${key}`;
    if (this.#isClosed) return Promise.reject(new StoreError('CLOSED', `${what}: closed`));
    const fault = pickFault(verb, bucket.mode, shares(), world.dice);
    process.trace(`${what}${fault === undefined ? '' : `: ${fault.kind}`}`);
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (end: () => void): void => {
        if (isSettled) return;
        isSettled = true;
        signal?.removeEventListener('abort', onAbort);
        this.#hanging.delete(onClose);
        if (process.isAlive) end();
      };
      const fail = (error: StoreError): void => settle(() => reject(error));
      const onAbort = (): void => fail(new StoreError('ABORTED', `${what}: aborted`));
      const onClose = (): void => fail(new StoreError('CLOSED', `${what}: closed`));
      if (signal?.aborted) return onAbort();
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#hanging.add(onClose);
      const giveUp = { isSettled: () => isSettled, fail };
      void this.#travel(request, fault, giveUp).then((answer) => {
        if (answer === undefined) return;
        settle(() => {
          try {
            resolve(request.receive(answer.value, fault));
          } catch (error) {
            reject(error);
          }
        });
      });
    });
  }

  /** The way there and back; undefined when no answer comes. */
  async #travel<Answer, Result>(
    request: Request<Answer, Result>,
    fault: NetworkFault | undefined,
    caller: { readonly isSettled: () => boolean; readonly fail: (error: StoreError) => void },
  ): Promise<{ readonly value: Answer } | undefined> {
    const { world, process } = this.#parts;
    const { scheduler, dice } = world;
    const what = `${request.verb} of ${request.key}`;
    const unavailable = (why: string): void =>
      caller.fail(new StoreError('UNAVAILABLE', `${what}: ${why}`));
    await this.#way();
    if (fault?.stops === true) {
      this.#count(fault);
      await scheduler.wait(fault.kind === 'no answer' ? 120_000 : 1);
      unavailable(fault.kind);
      return undefined;
    }
    const isAbandoned = caller.isSettled() || !process.isAlive;
    if (isAbandoned && !(await this.#arrivesLate(request))) return undefined;
    const value = await request.arrive(fault);
    await this.#way();
    if (fault?.kind === 'slow first byte') {
      this.#count(fault);
      await scheduler.wait(500 + dice.fraction() * 20_000);
    }
    if (fault?.kind !== 'lost reply of a put that succeeded') return { value };
    this.#count(fault);
    unavailable(fault.kind);
    return undefined;
  }

  #way(): Promise<void> {
    const { world, wayMs } = this.#parts;
    return world.scheduler.wait(wayMs ?? 1 + world.dice.fraction() * 12);
  }

  /** A request whose sender is gone arrives all the same, or was lost with it. */
  async #arrivesLate({
    verb,
    key,
  }: {
    readonly verb: ObjectVerb;
    readonly key: string;
  }): Promise<boolean> {
    const { scheduler, dice, counts } = this.#parts.world;
    if (dice.chance(0.5)) return false;
    if (verb !== 'put') return true;
    counts.add('put that arrives after its caller gave up');
    await scheduler.wait(dice.fraction() * 2000);
    this.#parts.onLatePut(key);
    return true;
  }

  #receiveBody(
    key: ObjectKey,
    body: ObjectBody | undefined,
    options: GetOptions,
    fault: NetworkFault | undefined,
  ): ObjectBody | undefined {
    if (body === undefined || body.isUnchanged === true) return body;
    const isTruncated = fault?.kind === 'truncated body' && body.bytes.length > 0;
    const whole = isTruncated ? Math.floor(fault.at * body.bytes.length) : body.bytes.length;
    const { offset, length } = cutRange(options.range, whole);
    const memory = memoryForBody(options, length);
    const sent = body.bytes.subarray(offset, offset + length);
    if (fault?.kind === 'connection reset in mid-body') {
      this.#count(fault);
      memory.set(sent.subarray(0, Math.floor(fault.at * length)));
      throw new StoreError('UNAVAILABLE', `get of ${key}: connection reset`);
    }
    memory.set(sent);
    if (isTruncated) this.#alter(fault, key);
    if (fault?.kind === 'altered body' && length > 0) {
      memory[Math.floor(fault.at * length)] ^= 1 << Math.floor(fault.at * 8);
      this.#alter(fault, key);
    }
    const { md5 } = body;
    return { info: { ...body.info, byteLength: whole }, bytes: memory, md5 };
  }

  #alter(fault: NetworkFault, key: ObjectKey): void {
    this.#count(fault);
    this.#parts.onAltered(key, false);
  }

  #count(fault: NetworkFault): void {
    this.#parts.world.counts.add(fault.kind);
  }
}

/** The bytes with one changed, or cut off. */
function damaged(bytes: Uint8Array, at: number): Uint8Array {
  if (at < 0.3) return bytes.slice(0, Math.floor((at / 0.3) * bytes.length));
  const changed = bytes.slice();
  changed[Math.floor(((at - 0.3) / 0.7) * bytes.length)] ^= 0x20;
  return changed;
}
