import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { LoadedBlock } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { matchesTag, parseRange } from '../protocol/http1-conditions.ts';
import { headerOf } from '../protocol/http1-head.ts';
import { emptyAnswer, errorAnswer, jsonAnswer, oneBody } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';
import { bareJob, payloadJob } from './http-bodies.ts';
import type { HttpJob } from './http-exchange.ts';
import { callOptionsOf } from './http-context.ts';
import type { HttpParts, HttpRequest } from './http-context.ts';

/** The checksum of a payload, eight hex digits: sent with answers, checked in requests. */
const checksumHeader = 'wombatkv-crc32c';

/** One block as a plain resource: GET, HEAD, PUT, DELETE. */
export class HttpBlock {
  readonly #parts: HttpParts;

  constructor(parts: HttpParts) {
    this.#parts = parts;
  }

  open(namespace: Namespace, key: BlockKey, request: HttpRequest): Promise<HttpJob> {
    switch (request.head.method) {
      case 'PUT':
        return payloadJob(this.#parts, request, (payload) =>
          this.#put(namespace, key, request, payload),
        );
      case 'DELETE':
        return Promise.resolve(bareJob(() => this.#delete(namespace, key, request)));
      default:
        return Promise.resolve(bareJob(() => this.#get(namespace, key, request)));
    }
  }

  async #get(namespace: Namespace, key: BlockKey, request: HttpRequest): Promise<HttpAnswer> {
    const { store, limits } = this.#parts;
    const { account, signal } = request;
    const borrow = await account.runLoad(signal, () =>
      store.load([key], callOptionsOf(request, namespace, limits)),
    );
    if (borrow.blocks.length === 0) return missing(key, borrow.reason ?? 'unknown');
    const answer = blockAnswer(borrow.blocks[0], request);
    const unpin = account.pins.add(borrow.blocks[0].payload.length);
    const release = (): void => {
      unpin();
      borrow.release();
    };
    return { ...answer, release };
  }

  async #put(
    namespace: Namespace,
    key: BlockKey,
    request: HttpRequest,
    payload: Uint8Array,
  ): Promise<HttpAnswer> {
    const { store, limits } = this.#parts;
    const options = callOptionsOf(request, namespace, limits);
    checkChecksum(headerOf(request.head.headers, checksumHeader), payload);
    if (headerOf(request.head.headers, 'if-none-match')?.trim() === '*') {
      const [isStored] = await store.contains([key], options);
      if (isStored) return errorAnswer(412, 'INVALID', `block ${key} is stored already`);
    }
    const parent = request.query.get('parent');
    const fingerprint = request.query.get('fingerprint');
    const block = {
      key,
      payload,
      tokens: countOf(request.query, 'tokens'),
      position: countOf(request.query, 'position'),
    };
    const result = await store.save([block], {
      ...options,
      durable: request.query.has('durable') ? isTrue(request.query, 'durable') : undefined,
      parent: parent === null ? undefined : parseBlockKey(parent),
      fingerprint: fingerprint === null ? undefined : fingerprint,
    });
    return jsonAnswer(result, result.saved > 0 ? 201 : 200);
  }

  async #delete(namespace: Namespace, key: BlockKey, request: HttpRequest): Promise<HttpAnswer> {
    const { store, limits } = this.#parts;
    const options = callOptionsOf(request, namespace, limits);
    return jsonAnswer(await store.delete({ kind: 'blocks', keys: [key] }, options));
  }
}

function blockAnswer(block: LoadedBlock, request: HttpRequest): HttpAnswer {
  const { payload, tier, tokens } = block;
  const { headers } = request.head;
  const checksum = (block.crc ?? crc32c(payload)).toString(16).padStart(8, '0');
  const tag = `"${checksum}-${payload.length}"`;
  const common = [
    ['etag', tag],
    ['accept-ranges', 'bytes'],
  ] as const;
  if (matchesTag(headerOf(headers, 'if-none-match'), tag)) return emptyAnswer(304, common);
  const ifMatch = headerOf(headers, 'if-match');
  if (ifMatch !== undefined && !matchesTag(ifMatch, tag)) {
    return errorAnswer(412, 'INVALID', `the block has the tag ${tag}`);
  }
  const about = [
    ['content-type', 'application/octet-stream'],
    ...common,
    [checksumHeader, checksum],
    ['wombatkv-tier', tier],
    ['wombatkv-tokens', String(tokens)],
  ] as const;
  const ifRange = headerOf(headers, 'if-range');
  const isRanged = ifRange === undefined || ifRange === tag;
  const range = isRanged ? parseRange(headerOf(headers, 'range'), payload.length) : undefined;
  if (range === undefined) return { status: 200, headers: about, ...oneBody(payload) };
  if (range === 'unsatisfiable') {
    const answer = errorAnswer(416, 'INVALID', `the block has ${payload.length} bytes`);
    const total = ['content-range', `bytes */${payload.length}`] as const;
    return { ...answer, headers: [...answer.headers, total] };
  }
  const span = `bytes ${range.start}-${range.end - 1}/${payload.length}`;
  return {
    status: 206,
    headers: [...about, ['content-range', span]],
    ...oneBody(payload.subarray(range.start, range.end)),
  };
}

function missing(key: BlockKey, reason: string): HttpAnswer {
  const isPassing = reason === 'deadline' || reason === 'unavailable' || reason === 'closed';
  const answer = errorAnswer(isPassing ? 503 : 404, 'MISS', `block ${key}: ${reason}`);
  return { ...answer, headers: [...answer.headers, ['wombatkv-miss', reason]] };
}

function checkChecksum(header: string | undefined, payload: Uint8Array): void {
  if (header === undefined) return;
  const actual = crc32c(payload).toString(16).padStart(8, '0');
  if (header.toLowerCase() === actual) return;
  const said = JSON.stringify(header.slice(0, 40));
  throw new StoreError(
    'CORRUPT',
    `the body has the checksum ${actual}; ${checksumHeader} is ${said}`,
  );
}

function countOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new StoreError(
    'INVALID',
    `${name} takes a number; got ${JSON.stringify(text.slice(0, 40))}`,
  );
}

function isTrue(query: URLSearchParams, name: string): boolean {
  const text = query.get(name) ?? '';
  if (/^(?:1|true|yes|on)$/i.test(text)) return true;
  if (/^(?:0|false|no|off)$/i.test(text)) return false;
  throw new StoreError('INVALID', `${name} takes 1 or 0; got ${JSON.stringify(text.slice(0, 40))}`);
}
