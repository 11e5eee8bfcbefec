import { assert } from '../base/assert.ts';
import { concatBytes } from '../base/bytes.ts';
import { chunkOf, lastChunk } from '../protocol/http1-chunks.ts';
import type { BodyPart } from '../protocol/http1-chunks.ts';
import { httpDate } from '../protocol/http1-date.ts';
import { encodeHead } from '../protocol/http1-head.ts';
import { reasonPhrases } from './http-answer.ts';
import type { HttpAnswer } from './http-answer.ts';

/** Bytes written at once: about a millisecond of work; the peer's time to take them is limited. */
const writeBytesMax = 2 * 1024 * 1024;

export interface AnswerFacts {
  readonly method: string | undefined;
  readonly isLast: boolean;
  readonly wallMs: number;
}

/**
 * The answer as bytes, in groups that are written one after another. Payloads are not copied. What there is goes
 * before a part is waited for that is still made.
 */
export async function* answerGroups(
  answer: HttpAnswer,
  facts: AnswerFacts,
): AsyncGenerator<readonly Uint8Array[]> {
  const isChunked = answer.byteLength === undefined;
  const framed = isChunked ? chunkOf : asTheyAre;
  let head: readonly Uint8Array[] = [encodeAnswerHead(answer, facts)];
  const group = new Group();
  for (const part of isBare(answer, facts) ? [] : answer.body) {
    if (part instanceof Promise && group.bytes > 0) {
      yield [...head, ...framed(group.take())];
      head = [];
    }
    for (const piece of part instanceof Promise ? (await part).flatMap(piecesOf) : piecesOf(part)) {
      if (group.bytes + piece.length > writeBytesMax) {
        yield [...head, ...framed(group.take())];
        head = [];
      }
      group.add(piece);
    }
  }
  const end = [...head, ...framed(group.take()), ...(isChunked ? [lastChunk] : [])];
  if (end.length > 0) yield end;
}

/** The whole of a short answer, whose parts are all there. */
export function answerBytes(answer: HttpAnswer, facts: AnswerFacts): Uint8Array {
  const body = isBare(answer, facts) ? [] : [...answer.body].map(partThatIsThere);
  return concatBytes([encodeAnswerHead(answer, facts), ...body]);
}

function encodeAnswerHead(
  { status, headers, byteLength }: HttpAnswer,
  { isLast, wallMs }: AnswerFacts,
): Uint8Array {
  const framing =
    byteLength === undefined
      ? (['transfer-encoding', 'chunked'] as const)
      : (['content-length', String(byteLength)] as const);
  const hasFraming = status !== 204 && status !== 304;
  return encodeHead(`HTTP/1.1 ${status} ${reasonPhrases[status] ?? 'Unknown'}`, [
    ['date', httpDate(wallMs)],
    ...headers,
    ...(hasFraming ? [framing] : []),
    ...(isLast ? ([['connection', 'close']] as const) : []),
  ]);
}

function isBare({ byteLength }: HttpAnswer, { method }: AnswerFacts): boolean {
  return method === 'HEAD' || byteLength === 0;
}

/** Bytes that are written together. */
class Group {
  bytes = 0;
  #pieces: Uint8Array[] = [];

  add(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.bytes += piece.length;
  }

  take(): readonly Uint8Array[] {
    const pieces = this.#pieces;
    [this.#pieces, this.bytes] = [[], 0];
    return pieces;
  }
}

/** The part, cut where it is longer than what is written at once. */
function piecesOf(part: Uint8Array): readonly Uint8Array[] {
  if (part.length <= writeBytesMax) return part.length === 0 ? [] : [part];
  const count = Math.ceil(part.length / writeBytesMax);
  return Array.from({ length: count }, (_, at) =>
    part.subarray(at * writeBytesMax, (at + 1) * writeBytesMax),
  );
}

function asTheyAre(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  return pieces;
}

function partThatIsThere(part: BodyPart): Uint8Array {
  assert(part instanceof Uint8Array, 'a short answer is made of bytes');
  return part;
}
