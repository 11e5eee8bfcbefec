import type { Namespace } from '../blocks/namespace.ts';
import type { ServedStore } from '../blocks/served-store.ts';
import type { BufferPool } from '../base/buffer-pool.ts';
import { StoreError } from '../base/errors.ts';
import type { Checksums } from '../platform/checksums.ts';
import type { Clock } from '../platform/clock.ts';
import { headerOf } from '../protocol/http1-head.ts';
import type { RequestHead } from '../protocol/http1-head.ts';
import type { TakeMemory } from '../protocol/http1-sink.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { DaemonCounters } from './daemon-counters.ts';
import type { HttpAdmission } from './http-admission.ts';
import type { HttpClientAccount } from './http-clients.ts';
import type { HttpLimits } from './http-limits.ts';
import type { HttpMetrics } from './http-metrics.ts';

/** What the parts of the HTTP server share. */
export interface HttpParts {
  readonly store: ServedStore;
  readonly clock: Clock;
  readonly limits: HttpLimits;
  readonly admission: HttpAdmission;
  readonly metrics: HttpMetrics;
  /** Where payloads that come are checked. */
  readonly checksums: Checksums;
  /** Memory of bodies, which threads share. Throws `BUSY` when the system has none. */
  readonly pool: BufferPool;
  /** The same for what is not used again: JSON, and heads of bodies. */
  readonly takeMemory: TakeMemory;
  /** Compression of payloads that come and go; none when absent. */
  readonly wire: WireDoor | undefined;
  readonly counters: Pick<DaemonCounters, 'compressed'>;
}

/** One request on its way through them. */
export interface HttpRequest {
  readonly head: RequestHead;
  readonly query: URLSearchParams;
  /** Whose it is. */
  readonly account: HttpClientAccount;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
}

/** Milliseconds that the client gives the call; the store's own deadline when it says nothing. */
export const deadlineHeader = 'wombatkv-deadline-ms';

/** Options of the call that the request makes. */
export function callOptionsOf(
  { head, signal }: HttpRequest,
  namespace: Namespace | undefined,
  limits: HttpLimits,
): {
  readonly namespace: Namespace | undefined;
  readonly signal: AbortSignal;
  readonly deadlineMs: number | undefined;
} {
  const text = headerOf(head.headers, deadlineHeader);
  if (text === undefined) return { namespace, signal, deadlineMs: undefined };
  if (!/^\d{1,10}$/.test(text)) {
    const got = JSON.stringify(text.slice(0, 40));
    throw new StoreError('INVALID', `${deadlineHeader} takes milliseconds; got ${got}`);
  }
  return { namespace, signal, deadlineMs: Math.min(Number(text), limits.callMsMax) };
}
