import { isMemoryRefusal, isStoreError, messageOf, noMemory } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import type { BodyPart } from '../protocol/http1-chunks.ts';

/** What goes back to the client. */
export interface HttpAnswer {
  readonly status: number;
  /** Without those that every answer has: length, date and connection. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Taken part by part as the client takes them; none may change before `release` is called. */
  readonly body: Iterable<BodyPart>;
  /** Undefined: it is not known before, so the body goes in chunks, to a client that asked for it in this way. */
  readonly byteLength: number | undefined;
  /** Called once when the body is on its way, or never will be. */
  readonly release?: (() => void) | undefined;
  /** Close the connection after it. */
  readonly isLast?: boolean | undefined;
}

const encoder = new TextEncoder();

export function jsonAnswer(value: unknown, status = 200): HttpAnswer {
  return textAnswer(status, 'application/json', `${JSON.stringify(value)}\n`);
}

export function textAnswer(status: number, type: string, text: string): HttpAnswer {
  const headers = [
    ['content-type', type],
    ['cache-control', 'no-store'],
  ] as const;
  return { status, headers, ...oneBody(encoder.encode(text)) };
}

/** A body that is one array. */
export function oneBody(bytes: Uint8Array): {
  readonly body: readonly Uint8Array[];
  readonly byteLength: number;
} {
  return { body: [bytes], byteLength: bytes.length };
}

export function emptyAnswer(status: number, headers: HttpAnswer['headers'] = []): HttpAnswer {
  return { status, headers, body: [], byteLength: 0 };
}

/** `{"error":{"code","reason"}}`: the code is that of `StoreError`. */
export function errorAnswer(status: number, code: string, reason: string): HttpAnswer {
  return jsonAnswer({ error: { code, reason } }, status);
}

/** The answer to a request that could not be read or is not served. */
export function refusalAnswer(status: number, reason: string): HttpAnswer {
  // Nothing is wrong with a request that came too slowly but that: it may be made again.
  const codes: Readonly<Record<number, StoreErrorCode>> = {
    ...{ 408: 'UNAVAILABLE', 413: 'TOO_LARGE', 503: 'BUSY' },
  };
  return errorAnswer(status, codes[status] ?? 'INVALID', reason);
}

/** The answer for what a call of the store, or the reading of a request, threw. */
export function failureAnswer(error: unknown): HttpAnswer {
  if (isStoreError(error)) {
    const answer = errorAnswer(statusOf(error.code), error.code, error.message);
    if (error.code !== 'BUSY' && error.code !== 'UNAVAILABLE') return answer;
    return { ...answer, headers: [...answer.headers, ['retry-after', '1']] };
  }
  if (isMemoryRefusal(error)) return failureAnswer(noMemory(error));
  // What the store throws for an argument that is none.
  if (error instanceof RangeError || error instanceof TypeError) {
    return errorAnswer(400, 'INVALID', error.message);
  }
  return errorAnswer(500, 'UNAVAILABLE', `the server failed: ${messageOf(error)}`);
}

function statusOf(code: StoreErrorCode): number {
  switch (code) {
    case 'BUSY':
      return 429;
    case 'TOO_LARGE':
      return 413;
    case 'INVALID':
    case 'CORRUPT':
      return 400;
    case 'INCOMPATIBLE':
      return 409;
    case 'ABORTED':
      return 504;
    case 'UNAVAILABLE':
    case 'CLOSED':
      return 503;
    default:
      return code satisfies never;
  }
}

/** The words after the status. */
export const reasonPhrases: Readonly<Record<number, string>> = {
  200: 'OK',
  201: 'Created',
  204: 'No Content',
  206: 'Partial Content',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  416: 'Range Not Satisfiable',
  417: 'Expectation Failed',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};
