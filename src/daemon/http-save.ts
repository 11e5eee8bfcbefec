import { assert } from '../base/assert.ts';
import { exactly } from '../base/buffer-pool.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import type { SaveOptions, SaveResult } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { UploadOrder } from '../blocks/served-store.ts';
import type { BulkAttributes, BulkHead, BulkRecord } from '../protocol/http1-bulk.ts';
import type { BulkPlaces } from '../protocol/http1-sink.ts';
import { Call } from '../store/call.ts';
import { errorAnswer, jsonAnswer } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';
import { readBulk } from './http-bodies.ts';
import type { BulkReader } from './http-bodies.ts';
import { callOptionsOf } from './http-context.ts';
import type { HttpParts, HttpRequest } from './http-context.ts';
import type { HttpJob } from './http-exchange.ts';
import { flagField, optionalKeyField } from './http-fields.ts';
import { IntakeMemory } from './intake-memory.ts';
import { PayloadArrivals } from './payload-arrivals.ts';
import type { ArrivalPlan } from './payload-arrivals.ts';
import { groupsOf, saveGroups } from './save-groups.ts';

/** Options of a save, of which the client says some with its body. */
export function saveOptionsOf(
  { limits }: Pick<HttpParts, 'limits'>,
  request: HttpRequest,
  namespace: Namespace,
  attributes: BulkAttributes,
): SaveOptions {
  return {
    ...callOptionsOf(request, namespace, limits),
    durable: flagField(attributes, 'durable'),
    parent: optionalKeyField(attributes, 'parent'),
    fingerprint: optionalKeyField(attributes, 'fingerprint'),
  };
}

/** A request that saves blocks. */
export function saveJob(
  parts: HttpParts,
  request: HttpRequest,
  namespace: Namespace,
): Promise<HttpJob> {
  return readBulk(parts, request, new HttpSave(parts, request, namespace));
}

/** Payloads that were left out are stored no more: the client sends all of them then. */
class PayloadsGone extends Error {}

interface SavePlan extends ArrivalPlan {
  readonly records: readonly BulkRecord[];
  readonly options: SaveOptions;
  /** Blocks whose payloads were left out. */
  readonly leftOut: number;
}

/**
 * One save while its body comes. Payloads come into memory of the store as long as that lends any. Those of a body
 * from its last block to its first are stored in groups, one while the next one comes; those of another when all
 * are there, for nobody is to find part of a save from its first block.
 */
class HttpSave implements BulkReader {
  readonly #parts: HttpParts;
  readonly #request: HttpRequest;
  readonly #namespace: Namespace;
  #payloads: PayloadArrivals | undefined;
  #saving: Promise<SaveResult> | undefined;

  constructor(parts: HttpParts, request: HttpRequest, namespace: Namespace) {
    this.#parts = parts;
    this.#request = request;
    this.#namespace = namespace;
  }

  begin(head: BulkHead): BulkPlaces {
    const { pool, store } = this.#parts;
    const options = saveOptionsOf(this.#parts, this.#request, this.#namespace, head.attributes);
    const plan = { ...arrivalsOf(head), records: head.records, options };
    const payloads = new PayloadArrivals(new IntakeMemory(store, exactly(pool)), plan);
    this.#payloads = payloads;
    this.#saving = this.#run(plan, payloads);
    // Who waits for the answer hears of a failure. Until then the rest of the body comes and is dropped.
    this.#saving.catch(() => undefined);
    return payloads;
  }

  async answer(): Promise<HttpAnswer> {
    assert(this.#saving !== undefined, 'a body that is complete has begun');
    try {
      return jsonAnswer(await this.#saving);
    } catch (error) {
      if (!(error instanceof PayloadsGone)) throw error;
      return errorAnswer(409, 'MISSING', error.message);
    }
  }

  async close(): Promise<void> {
    this.#payloads?.close();
    await this.#saving?.catch(() => undefined);
  }

  async #run(plan: SavePlan, payloads: PayloadArrivals): Promise<SaveResult> {
    const { clock, limits } = this.#parts;
    const { signal } = this.#request;
    const bytes = plan.expected.reduce((sum, { length }) => sum + length, 0);
    // The body may take that long. What the store does has its own time, unless the client gives it some.
    const mostMs = limits.bodyMs + (1000 * bytes) / limits.bodyBytesPerSecondMin + limits.callMsMax;
    const deadlineMs = plan.options.deadlineMs ?? mostMs;
    try {
      return await Call.run(clock, { signal }, deadlineMs, (call) =>
        this.#save(plan, payloads, call),
      );
    } finally {
      payloads.finish();
    }
  }

  async #save(plan: SavePlan, payloads: PayloadArrivals, call: Call): Promise<SaveResult> {
    const { store, metrics } = this.#parts;
    const { records, groups, leftOut } = plan;
    const options = { ...plan.options, signal: call.signal };
    // In several parts: there is room for all of them, or nothing is stored.
    let isNew = records.map(({ isLeftOut }): boolean => !isLeftOut);
    if (groups.length > 1) {
      const lengths = records.map(({ isLeftOut, byteLength }) => (isLeftOut ? 0 : byteLength));
      const keys = records.map(({ key }) => key);
      const { namespace, signal, deadlineMs } = options;
      isNew = [...(await store.wants(keys, { namespace, signal, deadlineMs, lengths }))];
    }
    // Uploads of the first groups would take the time of those that are still to come.
    const ended = deferred<void>();
    try {
      const order: UploadOrder = { after: ended.promise };
      const { parent } = options;
      const grouped = { blocks: records, parent, options, order, isNew };
      const result = await saveGroups(this.#parts, grouped, {
        nextGroup: () => call.race(payloads.nextGroup()),
        stored: (received) => payloads.stored(received),
      });
      if (result === 'payload-needed')
        throw new PayloadsGone('payloads that were left out are gone');
      await call.race(Promise.resolve(order.durable));
      if (options.durable === true && leftOut > 0) await this.#flushPending(options);
      metrics.leftOut += leftOut;
      return result;
    } finally {
      ended.resolve();
    }
  }

  /** What was left out may have been accepted only; nothing tells which upload is whose. */
  async #flushPending({ signal, deadlineMs }: SaveOptions): Promise<void> {
    const { store } = this.#parts;
    if ((await store.stats({ signal })).pending === 0) return;
    try {
      await store.flush({ signal, deadlineMs });
    } catch (cause) {
      if (!isStoreError(cause, 'UNAVAILABLE')) throw cause;
      // Its own text names what failed, which may be another tenant's.
      const message = 'an upload failed; what was saved stays pending and is tried again';
      throw new StoreError('UNAVAILABLE', message, { cause });
    }
  }
}

/** What comes of a body, and when it is stored. */
function arrivalsOf({ records, isLastFirst }: BulkHead): ArrivalPlan & Pick<SavePlan, 'leftOut'> {
  const due = records
    .map(({ byteLength, isLeftOut }, index) => ({ index, length: byteLength, isLeftOut }))
    .filter(({ isLeftOut }) => !isLeftOut);
  const leftOut = records.length - due.length;
  if (isLastFirst === true) {
    const expected = due.reverse();
    return { expected, groups: groupsOf(expected), leftOut };
  }
  const bytes = due.reduce((sum, { length }) => sum + length, 0);
  return { expected: due, groups: [{ end: due.length, bytes }], leftOut };
}
