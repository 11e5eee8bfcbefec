import { bulkParts, bulkType, encodeBulkHead, payloadBytesOf } from '../protocol/http1-bulk.ts';
import type { BulkAttributes, BulkPayload, BulkRecord } from '../protocol/http1-bulk.ts';
import { compressedParts } from '../wire/compressed-body.ts';
import type { WireCodec } from '../wire/wire-codec.ts';
import type { HttpAnswer } from './http-answer.ts';
import type { HttpParts, HttpRequest } from './http-context.ts';

/** A payload on its way out, and what the record before it says. */
export interface OutgoingPayload
  extends Omit<BulkRecord, 'byteLength' | 'isLeftOut'>, BulkPayload {}

/** Payloads on loan. */
export interface Loan {
  readonly payloads: readonly OutgoingPayload[];
  readonly attributes: BulkAttributes;
  /** Gives them back. */
  readonly release: () => void;
}

type AnswerParts = Pick<HttpParts, 'metrics' | 'wire' | 'counters'>;
interface AnswerRequest {
  readonly account: Pick<HttpRequest['account'], 'pins'>;
}

export const nothingLent: Loan = { payloads: [], attributes: {}, release: () => undefined };

/**
 * Payloads on loan as one body, which are given back when it is sent, or cannot be made; compressed where that was
 * agreed.
 */
export function bulkAnswer(
  parts: AnswerParts,
  request: AnswerRequest,
  loan: Loan,
  mayCompress: boolean,
): HttpAnswer {
  try {
    return lentAnswer(parts, request, loan, mayCompress);
  } catch (error) {
    loan.release();
    throw error;
  }
}

function lentAnswer(
  parts: AnswerParts,
  { account }: AnswerRequest,
  { payloads, attributes, release }: Loan,
  mayCompress: boolean,
): HttpAnswer {
  const { metrics, wire } = parts;
  const records = payloads.map((one) => ({
    ...one,
    byteLength: one.payload.length,
    isLeftOut: false,
  }));
  const bytes = records.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const codec = mayCompress && payloads.length > 0 ? wire?.sender : undefined;
  const sent =
    codec === undefined
      ? rawBody(records, attributes)
      : compressedBody(parts, codec, records, attributes);
  metrics.pinned += payloads.length;
  metrics.pinnedBytes += bytes;
  const unpin = account.pins.add(bytes);
  return {
    status: 200,
    headers: [['content-type', bulkType]],
    ...sent,
    release: () => {
      metrics.pinned -= payloads.length;
      metrics.pinnedBytes -= bytes;
      unpin();
      release();
    },
  };
}

type SentRecord = BulkRecord & BulkPayload;

function rawBody(
  records: readonly SentRecord[],
  attributes: BulkAttributes,
): Pick<HttpAnswer, 'body' | 'byteLength'> {
  const head = encodeBulkHead({ records, attributes });
  return {
    body: bulkParts(head, records),
    byteLength: head.length + payloadBytesOf(records),
  };
}

/** Its length is not known before the last payload was compressed. */
function compressedBody(
  { counters }: AnswerParts,
  codec: WireCodec,
  records: readonly SentRecord[],
  attributes: BulkAttributes,
): Pick<HttpAnswer, 'body' | 'byteLength'> {
  const head = encodeBulkHead({ records, attributes, isLastFirst: true, hasForms: true });
  const { sent } = counters.compressed;
  const onSent = (rawBytes: number, wireBytes: number): void => {
    if (wireBytes < rawBytes) sent.add(rawBytes, wireBytes);
  };
  return {
    body: compressedParts(head, records.toReversed(), { codec, onSent }),
    byteLength: undefined,
  };
}
