import { StoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { LoadOptions, PayloadBorrow } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { bulkVersion } from '../protocol/http1-bulk.ts';
import type { BulkHead } from '../protocol/http1-bulk.ts';
import type { Operation } from '../protocol/http1-paths.ts';
import { jsonAnswer } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';
import { bareJob, bulkJob, jsonJob } from './http-bodies.ts';
import { bulkAnswer, nothingLent } from './http-bulk-answer.ts';
import type { OutgoingPayload } from './http-bulk-answer.ts';
import type { HttpJob } from './http-exchange.ts';
import { callOptionsOf } from './http-context.ts';
import type { HttpParts, HttpRequest } from './http-context.ts';
import {
  flagField,
  keyField,
  keysField,
  lengthsField,
  optionalKeyField,
  selectionOf,
  tokensField,
} from './http-fields.ts';
import type { Fields } from './http-fields.ts';
import { saveJob, saveOptionsOf } from './http-save.ts';

/** The client takes payloads compressed. */
function mayCompress(fields: Fields): boolean {
  return flagField(fields, 'compressed') === true;
}

/** The operations of one namespace: every call of the store but flush and stats, many keys at once. */
export class HttpOperations {
  readonly #parts: HttpParts;

  constructor(parts: HttpParts) {
    this.#parts = parts;
  }

  /**
   * What who is to save is told: the newest bulk body taken, that the payload of any stored block may be left out, and
   * whether version 3 is taken.
   */
  get #savesTaken(): Readonly<Record<string, unknown>> {
    return { bulk: bulkVersion, gaps: true, compressed: this.#parts.wire !== undefined };
  }

  open(operation: Operation, namespace: Namespace, request: HttpRequest): Promise<HttpJob> {
    if (operation === 'lookup' && request.head.method !== 'POST') {
      const keys = (request.query.get('keys') ?? '').split(',').filter((key) => key !== '');
      return Promise.resolve(bareJob(() => this.#lookup(namespace, request, { keys })));
    }
    const parts = this.#parts;
    switch (operation) {
      case 'save':
        return saveJob(parts, request, namespace);
      case 'save-tail':
      case 'save-raw-tail':
        return bulkJob(parts, request, ({ head, payloads }) => {
          if (head.records.length === 1 && !head.records[0].isLeftOut) {
            return this.#saveTail(operation, namespace, request, { ...head, payload: payloads[0] });
          }
          throw new StoreError('INVALID', `a tail is one record; got ${head.records.length}`);
        });
      default:
        return jsonJob(parts, request, (fields) =>
          this.#run(operation, namespace, request, fields),
        );
    }
  }

  #run(
    operation: Exclude<Operation, 'save' | 'save-tail' | 'save-raw-tail'>,
    namespace: Namespace,
    request: HttpRequest,
    fields: Fields,
  ): Promise<HttpAnswer> {
    switch (operation) {
      case 'lookup':
        return this.#lookup(namespace, request, fields);
      case 'contains':
        return this.#contains(namespace, request, fields);
      case 'load':
        return this.#load(namespace, request, fields);
      case 'load-tail':
        return this.#loadTail(namespace, request, fields);
      case 'load-raw-tail':
        return this.#loadRawTail(namespace, request, fields);
      case 'prefetch':
        return this.#prefetch(namespace, request, fields);
      case 'delete':
        return this.#delete(namespace, request, fields);
      default:
        return operation satisfies never;
    }
  }

  async #lookup(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const options = callOptionsOf(request, ns, this.#parts.limits);
    return jsonAnswer(await this.#parts.store.lookup(keysField(fields, 'keys'), options));
  }

  async #contains(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const options = callOptionsOf(request, ns, this.#parts.limits);
    const { store } = this.#parts;
    const keys = keysField(fields, 'keys');
    if (fields['lengths'] === undefined) {
      return jsonAnswer({ stored: await store.contains(keys, options), ...this.#savesTaken });
    }
    // It is to be saved: the bucket is not asked for what a save would not look for there.
    const lengths = lengthsField(fields, 'lengths', keys.length);
    const isWanted = await store.wants(keys, { ...options, lengths });
    return jsonAnswer({ stored: isWanted.map((one) => !one), ...this.#savesTaken });
  }

  async #load(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const options = this.#loadOptions(ns, request, fields);
    const keys = keysField(fields, 'keys');
    const borrow = await request.account.runLoad(request.signal, () =>
      this.#parts.store.load(keys, options),
    );
    const payloads = borrow.blocks.map((block) => ({
      ...block,
      checksum: block.crc,
      position: undefined,
    }));
    const { reason } = borrow;
    const loan = { payloads, attributes: { reason }, release: () => borrow.release() };
    return bulkAnswer(this.#parts, request, loan, mayCompress(fields));
  }

  async #loadTail(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const tip = keyField(fields, 'tip');
    const query = { tip, tokens: tokensField(fields, 'tokens') };
    const options = this.#loadOptions(ns, request, fields);
    const tail = await request.account.runLoad(request.signal, () =>
      this.#parts.store.loadTail(query, options),
    );
    if (tail === undefined) return bulkAnswer(this.#parts, request, nothingLent, false);
    const payloads = [{ ...payloadOf(tip, tail), hasDecodedTokens: tail.hasDecodedTokens }];
    const loan = { payloads, attributes: { tokens: tail.tokens }, release: () => tail.release() };
    return bulkAnswer(this.#parts, request, loan, mayCompress(fields));
  }

  async #loadRawTail(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const tip = keyField(fields, 'tip');
    const options = callOptionsOf(request, ns, this.#parts.limits);
    const tail = await request.account.runLoad(request.signal, () =>
      this.#parts.store.loadRawTail(tip, options),
    );
    if (tail === undefined) return bulkAnswer(this.#parts, request, nothingLent, false);
    const payloads = [payloadOf(tip, tail)];
    const loan = { payloads, attributes: {}, release: () => tail.release() };
    return bulkAnswer(this.#parts, request, loan, false);
  }

  async #prefetch(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const options = callOptionsOf(request, ns, this.#parts.limits);
    const loaded = await this.#parts.store.prefetch(keysField(fields, 'keys'), options);
    return jsonAnswer({ loaded });
  }

  async #delete(ns: Namespace, request: HttpRequest, fields: Fields): Promise<HttpAnswer> {
    const options = callOptionsOf(request, ns, this.#parts.limits);
    return jsonAnswer(await this.#parts.store.delete(selectionOf(fields), options));
  }

  async #saveTail(
    operation: 'save-tail' | 'save-raw-tail',
    ns: Namespace,
    request: HttpRequest,
    { records, attributes, payload }: BulkHead & { readonly payload: Uint8Array },
  ): Promise<HttpAnswer> {
    const options = saveOptionsOf(this.#parts, request, ns, attributes);
    const { store } = this.#parts;
    const [{ key: tip, position, hasDecodedTokens }] = records;
    if (operation === 'save-raw-tail') {
      return jsonAnswer(await store.saveRawTail(tip, payload, options));
    }
    const tokens = tokensField(attributes, 'tokens');
    const tail = { tip, tokens, payload, position, hasDecodedTokens };
    return jsonAnswer(await store.saveTail(tail, options));
  }

  #loadOptions(ns: Namespace, request: HttpRequest, fields: Fields): LoadOptions {
    return {
      ...callOptionsOf(request, ns, this.#parts.limits),
      exact: flagField(fields, 'exact'),
      fingerprint: optionalKeyField(fields, 'fingerprint'),
    };
  }
}

function payloadOf(key: BlockKey, { payload, tier, crc }: PayloadBorrow): OutgoingPayload {
  return {
    key,
    payload,
    checksum: crc,
    tier,
    tokens: 0,
    position: undefined,
    hasDecodedTokens: false,
  };
}
