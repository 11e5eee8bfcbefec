import { StoreError } from '../base/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { HttpOrigin, HttpRequest, HttpResponse } from '../platform/http.ts';
import type { Sockets } from '../platform/sockets.ts';
import type { HeaderFields, ResponseHead } from '../protocol/http1-head.ts';
import { HttpClientConnection } from './http-client-connection.ts';
import type { HttpExchange } from './http-client-connection.ts';
import { OriginCall } from './origin-call.ts';
import { sinkOf } from './origin-sink.ts';
import type { OriginSink } from './origin-sink.ts';

export interface DirectOriginOptions {
  readonly clock: Clock;
  /** Plain or TLS. */
  readonly sockets: Sockets;
  /** For messages: `http://host:port` or `https://host:port`. */
  readonly origin: string;
  readonly host: string;
  readonly port: number;
  /** Connections at once; further requests wait for one. */
  readonly connectionsMax: number;
}

/** A name that does not resolve or a host that does not answer is known to be gone by then. */
const connectMs = 5000;
/** How long an idle connection is used: shorter than the 5 s after which common servers close it. */
const idleConnectionMs = 4000;

/**
 * A server that is reached without a proxy: answers are read straight into the memory that is given
 * for them (docs/decisions/0049-direct-receive-from-s3.md).
 */
export class DirectOrigin implements HttpOrigin {
  readonly #options: DirectOriginOptions;
  readonly #idle: HttpClientConnection[] = [];
  readonly #calls = new Set<OriginCall>();
  /** Calls that wait for a connection, in order of arrival. */
  readonly #waiting: (() => void)[] = [];
  /** Connections that calls have or make. */
  #taken = 0;
  #isClosed = false;

  constructor(options: DirectOriginOptions) {
    this.#options = options;
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const { clock, origin } = this.#options;
    const call = new OriginCall(clock, origin, request);
    this.#calls.add(call);
    try {
      if (this.#isClosed) throw this.#closed();
      await this.#enter(call.signal);
      try {
        return await this.#exchange(request, call);
      } finally {
        this.#leave();
      }
    } catch (error) {
      throw call.explained(error);
    } finally {
      this.#calls.delete(call);
      call.end();
    }
  }

  close(): Promise<void> {
    this.#isClosed = true;
    for (const call of this.#calls) call.fail(this.#closed());
    for (const connection of this.#idle.splice(0)) connection.destroy();
    return Promise.resolve();
  }

  async #exchange(request: HttpRequest, call: OriginCall): Promise<HttpResponse> {
    const connection = await this.#connection(call.signal);
    let sink: OriginSink | undefined;
    let head: ResponseHead | undefined;
    const exchange: HttpExchange = {
      ...wireRequest(request),
      onProgress: () => call.noteLife(),
      receive: (received) => {
        head = received;
        sink = sinkOf(call.planOf(answerHead(received)), received.body);
        return sink;
      },
    };
    try {
      await connection.run(exchange, call.signal);
      // What a server sends beyond its answer comes now, and not into the next one.
      await this.#options.clock.yield();
    } catch (error) {
      // The rest of the body was not wanted: that broke the exchange off.
      if (sink?.isCut !== true) throw error;
    } finally {
      this.#giveBack(connection);
    }
    if (head === undefined || sink === undefined) {
      throw new StoreError('UNAVAILABLE', 'the answer has no head');
    }
    return { ...answerHead(head), body: sink.bytes };
  }

  async #connection(signal: AbortSignal): Promise<HttpClientConnection> {
    const { clock, sockets, host, port } = this.#options;
    const oldest = clock.nowMs() - idleConnectionMs;
    for (let one = this.#idle.pop(); one !== undefined; one = this.#idle.pop()) {
      if (one.isUsable && one.idleSinceMs >= oldest) {
        one.setAwaited(true);
        return one;
      }
      one.destroy();
    }
    const options = { host, port, timeoutMs: connectMs, signal };
    const connection = await HttpClientConnection.open(sockets, options);
    if (!signal.aborted) return connection;
    connection.destroy();
    throw signal.reason;
  }

  #giveBack(connection: HttpClientConnection): void {
    if (!connection.isUsable) return;
    if (this.#isClosed) {
      connection.destroy();
      return;
    }
    connection.idleSinceMs = this.#options.clock.nowMs();
    connection.setAwaited(false);
    this.#idle.push(connection);
  }

  /** Waits until one connection more may be had. */
  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#taken === this.#options.connectionsMax) await this.#waitForLeave(signal);
    else this.#taken += 1;
  }

  /** Resolves when somebody left and the place is the caller's. */
  #waitForLeave(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1);
        reject(signal.reason);
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(enter);
    });
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken -= 1;
    else next();
  }

  #closed(): StoreError {
    return new StoreError('UNAVAILABLE', 'the store is closing');
  }
}

function wireRequest({
  method,
  path,
  headers,
  body = [],
}: HttpRequest): Omit<HttpExchange, 'receive'> {
  const { host, ...others } = headers;
  const byteLength = body.reduce((sum, part) => sum + part.length, 0);
  return { method, path, host, headers: Object.entries(others), byteLength, body: () => body };
}

function answerHead({ status, headers }: ResponseHead): Omit<HttpResponse, 'body'> {
  return { status, headers: joined(headers) };
}

function joined(fields: HeaderFields): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, values] of fields) headers[name] = values.join(', ');
  return headers;
}
