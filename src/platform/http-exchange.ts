import type { Dispatcher } from 'undici';
import { concatBytes } from '../base/bytes.ts';
import { deferred } from '../base/deferred.ts';
import { messageOf, StoreError } from '../base/errors.ts';
import type { HttpBodyPlan, HttpHead, HttpRequest, HttpResponse } from './http.ts';

/** Bodies up to this size go out in one write; copying them costs less than a write more. */
const joinedBytesMax = 64 * 1024;

/** Bytes of one write of a longer body. Each one that the server takes is a sign of life. */
const writeBytesMax = 1024 * 1024;

/**
 * One request and its answer. Settles exactly once; whatever undici still tells afterwards is
 * ignored, so that the caller's memory is its own again.
 */
export class HttpExchange implements Dispatcher.DispatchHandler {
  readonly result: Promise<HttpResponse>;
  readonly #origin: string;
  readonly #request: HttpRequest;
  readonly #settle: (outcome: { readonly response: HttpResponse } | { error: unknown }) => void;
  readonly #onAbort = (): void => this.fail(this.#aborted());
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | undefined;
  #head: HttpHead | undefined;
  #plan: HttpBodyPlan | undefined;
  readonly #collected: Uint8Array[] = [];
  #received = 0;
  #isSettled = false;

  constructor(origin: string, request: HttpRequest) {
    this.#origin = origin;
    this.#request = request;
    const result = deferred<HttpResponse>();
    this.result = result.promise;
    this.#timer = setTimeout(() => {
      this.fail(this.#unavailable(`took more than ${request.deadlineMs} ms`));
    }, request.deadlineMs);
    this.#settle = (outcome) => {
      this.#isSettled = true;
      clearTimeout(this.#timer);
      request.signal?.removeEventListener('abort', this.#onAbort);
      if ('response' in outcome) result.resolve(outcome.response);
      else result.reject(outcome.error);
    };
    if (request.signal?.aborted === true) this.#onAbort();
    else request.signal?.addEventListener('abort', this.#onAbort);
  }

  /** Hands the request to undici, unless it has failed already. */
  start(dispatcher: Dispatcher): void {
    if (this.#isSettled) return;
    const { method, path, headers, body, idleMs } = this.#request;
    const byteLength = lengthOf(body ?? []);
    const lengthHeader = body === undefined ? {} : { 'content-length': String(byteLength) };
    dispatcher.dispatch(
      {
        origin: this.#origin,
        method,
        path,
        headers: { ...headers, ...lengthHeader },
        body: body === undefined ? null : wireBody(body, byteLength),
        headersTimeout: idleMs,
        bodyTimeout: idleMs,
      },
      this,
    );
  }

  /** Ends the exchange with the error, and the connection with it. Ignored when it has ended. */
  fail(error: unknown): void {
    if (this.#isSettled) return;
    this.#settle({ error });
    this.#controller?.abort(error instanceof Error ? error : new Error(messageOf(error)));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isSettled) controller.abort(new Error('nobody waits for the answer'));
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    // Informational heads come before the one that counts.
    if (this.#isSettled || status < 200) return;
    this.#head = { status, headers: joinedHeaders(headers) };
    try {
      this.#plan = this.#request.receive(this.#head);
    } catch (error) {
      this.fail(error);
    }
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Uint8Array): void {
    if (this.#isSettled || this.#plan === undefined) return;
    const plan = this.#plan;
    switch (plan.kind) {
      case 'into':
        this.#land(plan, chunk);
        break;
      case 'collect':
        if (this.#received + chunk.length > plan.byteLengthMax) {
          this.fail(this.#unavailable(`has a body of more than ${plan.byteLengthMax} bytes`));
          return;
        }
        this.#collected.push(chunk);
        this.#received += chunk.length;
        break;
      default:
        plan satisfies never;
    }
  }

  onResponseEnd(): void {
    if (this.#isSettled) return;
    if (this.#head === undefined || this.#plan === undefined) {
      this.fail(this.#unavailable('ended without a head'));
    } else if (this.#plan.kind === 'collect') {
      this.#settle({ response: { ...this.#head, body: concatBytes(this.#collected) } });
    } else if (this.#received === this.#plan.bytes.length) {
      this.#settle({ response: { ...this.#head, body: this.#plan.bytes } });
    } else {
      this.fail(
        this.#unavailable(`has ${this.#received} of ${this.#plan.bytes.length} bytes of its body`),
      );
    }
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    if (this.#isSettled) return;
    this.fail(this.#unavailable(`failed: ${reasonOf(error)}`, error));
  }

  #land(plan: Extract<HttpBodyPlan, { kind: 'into' }>, chunk: Uint8Array): void {
    const room = plan.bytes.length - this.#received;
    if (chunk.length > room && plan.isRestDropped !== true) {
      this.fail(this.#unavailable(`has a body of more than ${plan.bytes.length} bytes`));
      return;
    }
    plan.bytes.set(chunk.length > room ? chunk.subarray(0, room) : chunk, this.#received);
    this.#received += Math.min(chunk.length, room);
    if (plan.isRestDropped !== true || this.#received < plan.bytes.length) return;
    if (this.#head === undefined) return;
    this.#settle({ response: { ...this.#head, body: plan.bytes } });
    this.#controller?.abort(new Error('the rest of the body is not wanted'));
  }

  #aborted(): StoreError {
    const { method, signal } = this.#request;
    return new StoreError('ABORTED', `${method} at ${this.#origin} was aborted`, {
      cause: signal?.reason,
    });
  }

  #unavailable(what: string, cause?: unknown): StoreError {
    const message = `${this.#request.method} at ${this.#origin} ${what}`;
    return new StoreError('UNAVAILABLE', message, cause === undefined ? undefined : { cause });
  }
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** The body as undici takes it: one array when short, else slices that are written one by one. */
function wireBody(
  parts: readonly Uint8Array[],
  byteLength: number,
): Uint8Array | NonNullable<Dispatcher.DispatchOptions['body']> {
  if (byteLength <= joinedBytesMax) return concatBytes(parts);
  // Its types leave out that undici takes any iterable of bytes.
  return slicesOf(parts) as unknown as NonNullable<Dispatcher.DispatchOptions['body']>;
}

async function* slicesOf(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += writeBytesMax) {
      yield part.subarray(at, at + writeBytesMax);
    }
  }
}

function joinedHeaders(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  const joined: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    joined[name.toLowerCase()] = typeof value === 'string' ? value : value.join(', ');
  }
  return joined;
}

/** The message of the error, or of the first one below it that has any. */
function reasonOf(error: Error): string {
  if (error.message !== '') return error.message;
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map(messageOf).join('; ');
  }
  return error.name;
}
