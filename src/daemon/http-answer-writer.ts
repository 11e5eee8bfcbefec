import { concatBytes } from '../base/bytes.ts';
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

/** The answer as bytes, in groups that are written one after another. Payloads are not copied. */
export function answerGroups(
  answer: HttpAnswer,
  facts: AnswerFacts,
): Iterable<readonly Uint8Array[]> {
  const head = encodeAnswerHead(answer, facts);
  const isBare = facts.method === 'HEAD' || answer.byteLength === 0;
  return groupsOf(head, isBare ? [] : answer.body);
}

/** The whole of a short answer. */
export function answerBytes(answer: HttpAnswer, facts: AnswerFacts): Uint8Array {
  return concatBytes([...answerGroups(answer, facts)].flat());
}

function encodeAnswerHead(
  { status, headers, byteLength }: HttpAnswer,
  { isLast, wallMs }: AnswerFacts,
): Uint8Array {
  const hasLength = status !== 204 && status !== 304;
  return encodeHead(`HTTP/1.1 ${status} ${reasonPhrases[status] ?? 'Unknown'}`, [
    ['date', httpDate(wallMs)],
    ...headers,
    ...(hasLength ? ([['content-length', String(byteLength)]] as const) : []),
    ...(isLast ? ([['connection', 'close']] as const) : []),
  ]);
}

/** The head and the parts in groups of a few MiB, none of them cut unless it is longer than that. */
function* groupsOf(
  head: Uint8Array,
  parts: Iterable<Uint8Array>,
): Generator<readonly Uint8Array[]> {
  let group = [head];
  let bytes = head.length;
  for (const part of parts) {
    for (let at = 0; at < part.length; at += writeBytesMax) {
      const piece = part.subarray(at, at + writeBytesMax);
      if (bytes + piece.length > writeBytesMax && group.length > 0) {
        yield group;
        [group, bytes] = [[], 0];
      }
      group.push(piece);
      bytes += piece.length;
    }
  }
  if (group.length > 0) yield group;
}
