import { isStoreError, messageOf, StoreError } from '../../base/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { momentOf } from '../../platform/calendar.ts';
import type {
  HttpBodyPlan,
  HttpHead,
  HttpOrigin,
  HttpRequest,
  HttpResponse,
} from '../../platform/http.ts';
import { objectLimits } from '../object-limits.ts';
import { moneyClassOf } from '../request-ledger.ts';
import type { MoneyClass, RequestLedger } from '../request-ledger.ts';
import { pathOf } from './s3-address.ts';
import type { S3Address } from './s3-address.ts';
import type { CredentialCache, S3Credentials } from './s3-credentials.ts';
import { failureOf, isExpiry, refusalOf } from './s3-failure.ts';
import type { S3Failure } from './s3-failure.ts';
import { S3Signer } from './s3-signer.ts';

export interface S3Request {
  /** What messages call it, such as `put of kv/a`. */
  readonly what: string;
  readonly method: HttpRequest['method'];
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body?: readonly Uint8Array[] | undefined;
  /** Statuses from 300 up that are answers and no refusals. */
  readonly answers?: readonly number[] | undefined;
  /** Where the body of a status below 300 goes; collected by default, as long as an error may be. */
  readonly receive?: ((head: HttpHead) => HttpBodyPlan) | undefined;
  readonly signal: AbortSignal;
  readonly deadlineMs?: number | undefined;
}

export interface S3Response extends HttpResponse {
  /** What a status from 300 up says. */
  readonly failure: S3Failure | undefined;
}

export interface S3ConnectionParts {
  readonly clock: Clock;
  readonly origin: HttpOrigin;
  readonly address: S3Address;
  readonly region: string;
  readonly credentials: CredentialCache;
  /** Gets every request that goes over the wire. */
  readonly ledger?: RequestLedger | undefined;
}

/**
 * Signed requests to one bucket. Sends a request a second time for two reasons only, which nobody
 * above can see to: the server's clock is another one, or the session token has ended. Every other
 * repetition is a wrapper's business.
 */
export class S3Connection {
  readonly #parts: S3ConnectionParts;
  readonly #signer = new S3Signer();
  /** What the server's clock is ahead of ours. */
  #skewMs = 0;

  constructor(parts: S3ConnectionParts) {
    this.#parts = parts;
  }

  /**
   * The answer: a status below 300, or one of the request's `answers`.
   *
   * @throws StoreError `UNAVAILABLE` for a refusal, with a `Refusal` as cause, or a broken exchange;
   *   `ABORTED` when the signal fires; what `receive` threw.
   */
  async send(request: S3Request): Promise<S3Response> {
    let mayCorrectClock = true;
    let mayRefresh = true;
    for (;;) {
      const credentials = await this.#credentials(request);
      const response = await this.#exchange(request, credentials);
      const { failure } = response;
      if (failure === undefined) return response;
      if (mayCorrectClock && this.#correctClock(response, failure)) {
        mayCorrectClock = false;
        continue;
      }
      if (mayRefresh && credentials.sessionToken !== undefined && isExpiry(failure)) {
        mayRefresh = false;
        this.#parts.credentials.drop(credentials);
        continue;
      }
      const isAnswer = request.answers?.includes(failure.status) === true;
      if (isAnswer && failure.code !== 'NoSuchBucket') return response;
      throw refusalOf(request.what, failure, response);
    }
  }

  close(): Promise<void> {
    return this.#parts.origin.close();
  }

  async #credentials({ what, signal }: S3Request): Promise<S3Credentials> {
    const credentials = await this.#parts.credentials.get();
    if (!signal.aborted) return credentials;
    throw new StoreError('ABORTED', `${what} was aborted`, { cause: signal.reason });
  }

  async #exchange(request: S3Request, credentials: S3Credentials): Promise<S3Response> {
    const { address, region, clock, origin, ledger } = this.#parts;
    const { what, method, key, query, headers, body, receive, signal } = request;
    const path = pathOf(address, key, query);
    const signed = this.#signer.signedHeaders(
      {
        ...{ method, path, region },
        headers: { ...headers, host: address.host },
        timeMs: clock.wallMs() + this.#skewMs,
      },
      credentials,
    );
    ledger?.add(billedAs(request));
    const byteLength = (body ?? []).reduce((sum, part) => sum + part.length, 0);
    const http: HttpRequest = {
      ...{ method, path, headers: signed, body, signal },
      receive: (head) =>
        head.status < 300 && receive !== undefined
          ? receive(head)
          : { kind: 'collect', byteLengthMax: objectLimits.s3ErrorBytesMax },
      deadlineMs: request.deadlineMs ?? exchangeMs(byteLength),
      idleMs: objectLimits.s3IdleMs,
    };
    try {
      const response = await origin.send(http);
      const failure = response.status < 300 ? undefined : failureOf(response, response.body);
      return { ...response, failure };
    } catch (error) {
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      throw new StoreError('UNAVAILABLE', `${what}: ${messageOf(error)}`, { cause: error });
    }
  }

  /** True when the refusal is explained by our clock and a second attempt has the right time. */
  #correctClock({ headers }: HttpHead, { status }: S3Failure): boolean {
    if (status !== 403 && status !== 400) return false;
    const serverMs = momentOf(headers['date'] ?? '');
    if (serverMs === undefined) return false;
    const skewMs = serverMs - this.#parts.clock.wallMs();
    if (Math.abs(skewMs - this.#skewMs) < objectLimits.s3SkewToleratedMs) return false;
    this.#skewMs = skewMs;
    return true;
  }
}

/** Time for an exchange with a body of so many bytes in either direction. */
export function exchangeMs(byteLength: number): number {
  const { s3RequestMs, s3BytesPerSecondMin } = objectLimits;
  return s3RequestMs + Math.ceil((byteLength / s3BytesPerSecondMin) * 1000);
}

/** A get without a key is a list, which costs what a put does. */
function billedAs({ method, key }: S3Request): MoneyClass {
  switch (method) {
    case 'GET':
      return moneyClassOf(key === undefined ? 'list' : 'get');
    case 'HEAD':
      return moneyClassOf('head');
    case 'PUT':
    case 'POST':
      return moneyClassOf('put');
    case 'DELETE':
      return moneyClassOf('delete');
    default:
      return method satisfies never;
  }
}
