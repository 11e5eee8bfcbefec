import type { Clock } from '../platform/clock.ts';
import type { RequestHead } from '../protocol/http1-head.ts';
import type { BodySink } from '../protocol/http1-sink.ts';
import type { HttpAnswer } from './http-answer.ts';
import type { HttpLimits } from './http-limits.ts';

/** One request that is wanted: where its body goes, and what answers it. */
export interface HttpJob {
  /** Undefined: a body is not wanted; a short one is dropped, a long one not even read. */
  readonly sink: BodySink | undefined;
  /** Called once, when the body is complete. */
  answer(): Promise<HttpAnswer>;
  /** Called once when the exchange is over, whatever became of it. */
  close?(): void;
}

/** Heads and framing are read into so much, which is the connection's alone. */
export const httpScratchBytes = 64 * 1024;

/** What a connection needs of its server. */
export interface HttpConnectionHost {
  readonly clock: Clock;
  readonly limits: HttpLimits;
  /** True while the server ends: an answer is the last of its connection. */
  readonly isDraining: boolean;
  /** Decides by the head alone. Throws what makes an answer of failure. */
  open(head: RequestHead, connection: HttpPeer): Promise<HttpJob>;
  /** Told once for each answer. */
  onAnswer(exchange: AnsweredExchange): void;
  onClose(connection: HttpPeer): void;
}

export interface HttpPeer {
  readonly peer: string;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
}

export interface AnsweredExchange {
  readonly head: RequestHead | undefined;
  readonly status: number;
  readonly elapsedMs: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** A body that nobody wants is dropped when it is at most this long. */
const unwantedBytesMax = 64 * 1024;

/** True for a body that is not read when nobody wants it. */
export function isLongBody({ body, expectsContinue }: RequestHead): boolean {
  return expectsContinue || body.kind === 'chunked' || body.byteLength > unwantedBytesMax;
}
