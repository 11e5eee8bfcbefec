import type { Call } from '../call-gate.ts';
import type { ObjectInfo, ObjectKey, PutCondition, PutResult } from '../object-store.ts';
import { crcHeader, crcOfParts, crcText, requireStoredCrc } from './s3-checksum.ts';
import type { S3Connection, S3Response } from './s3-connection.ts';
import { refusalOf } from './s3-failure.ts';
import { bodyLength, infoOfHead, plainEtag } from './s3-object-facts.ts';
import { uploadInParts } from './s3-upload.ts';

export interface PutSizes {
  /** Larger bodies are put in parts. */
  readonly multipartBytesMin: number;
  readonly partBytes: number;
}

export interface PutRequest {
  readonly key: ObjectKey;
  readonly parts: readonly Uint8Array[];
  readonly condition: PutCondition | undefined;
  readonly call: Call;
  readonly signal: AbortSignal;
}

type Outcome = PutResult['outcome'];

/** How a tag is written in `if-match`: as HTTP wants it, or without quotes. */
type EtagForm = 'quoted' | 'bare';

/**
 * Puts objects, with the conditions and checksums that the server knows. What it does not know is
 * learned from its answers and remembered for the life of the store: docs/OBJECT-STORES.md says
 * what is lost then.
 */
export class S3Put {
  readonly #connection: S3Connection;
  readonly #sizes: PutSizes;
  #hasConditions = true;
  #hasChecksums = true;
  /** What the server wants; some compare a tag with its quotes and all. Undefined: not known yet. */
  #etagForm: EtagForm | undefined;

  constructor(connection: S3Connection, sizes: PutSizes) {
    this.#connection = connection;
    this.#sizes = sizes;
  }

  async put(request: PutRequest): Promise<PutResult> {
    const byteLength = request.parts.reduce((sum, part) => sum + part.length, 0);
    if (byteLength > this.#sizes.multipartBytesMin) return this.#putInParts(request);
    for (;;) {
      if (!this.#hasConditions && !(await this.#mayPut(request))) {
        return { outcome: refusedOutcome(request.condition) };
      }
      const response = await this.#putWhole(request);
      if (response.status !== 501) {
        const outcome = await this.#outcomeOf(request, response);
        return outcome === 'stored' ? storedAs(request, response.headers['etag']) : { outcome };
      }
      this.#unlearn(request, response);
      request.call.check();
    }
  }

  async #putWhole(request: PutRequest, form = this.#etagForm ?? 'quoted'): Promise<S3Response> {
    const { key, parts, condition, signal } = request;
    const what = `put of ${key}`;
    const crc = this.#hasChecksums ? crcOfParts(parts) : undefined;
    const response = await this.#connection.send({
      ...{ what, method: 'PUT', key, body: parts, signal },
      headers: {
        ...(this.#hasConditions ? conditionHeaders(condition, form) : {}),
        ...(crc === undefined ? {} : { [crcHeader]: crcText(crc) }),
      },
      answers: answersTo(condition),
    });
    if (crc !== undefined && response.status < 300) requireStoredCrc(what, response, crc);
    return response;
  }

  async #outcomeOf(request: PutRequest, { status }: S3Response): Promise<Outcome> {
    const { condition } = request;
    if (status < 300) {
      if (condition?.kind === 'if-match') this.#etagForm ??= 'quoted';
      return 'stored';
    }
    if (condition?.kind !== 'if-match' || status === 404 || this.#etagForm !== undefined) {
      return refusedOutcome(condition);
    }
    return this.#tryBareEtag(request);
  }

  /** The tag did not match as it is written in HTTP. When it is the object's, its form is to blame. */
  async #tryBareEtag(request: PutRequest): Promise<Outcome> {
    const { condition } = request;
    const info = await this.#look(request);
    if (condition?.kind !== 'if-match' || info?.etag !== condition.etag) return 'changed';
    const { status } = await this.#putWhole(request, 'bare');
    if (status >= 300) return 'changed';
    this.#etagForm = 'bare';
    return 'stored';
  }

  async #putInParts(request: PutRequest): Promise<PutResult> {
    const { key, parts, condition, call, signal } = request;
    // Some servers look at no condition when parts become an object, so the bytes are saved here.
    if (condition !== undefined && !(await this.#mayPut(request))) {
      return { outcome: refusedOutcome(condition) };
    }
    const { status, etag } = await uploadInParts(this.#connection, {
      ...{ key, parts, call, signal },
      partBytes: this.#sizes.partBytes,
      hasChecksums: this.#hasChecksums,
      headers: this.#hasConditions ? conditionHeaders(condition, this.#etagForm ?? 'quoted') : {},
    });
    return status === 200 ? storedAs(request, etag) : { outcome: refusedOutcome(condition) };
  }

  /** Whether the condition holds now. Another put may come between this look and ours. */
  async #mayPut(request: PutRequest): Promise<boolean> {
    const { condition } = request;
    if (condition === undefined) return true;
    const info = await this.#look(request);
    return condition.kind === 'if-absent' ? info === undefined : info?.etag === condition.etag;
  }

  async #look({ key, signal }: PutRequest): Promise<ObjectInfo | undefined> {
    const what = `put of ${key}: look`;
    const request = { what, method: 'HEAD', key, signal, answers: [404] } as const;
    const head = await this.#connection.send(request);
    return head.status === 404 ? undefined : infoOfHead(key, head, bodyLength(key, head));
  }

  /** The server says that it does not implement something: it is not asked for it again. */
  #unlearn({ key, condition }: PutRequest, response: S3Response): void {
    const { failure } = response;
    const namesChecksum = /checksum/i.test(`${failure?.header} ${failure?.message}`);
    if (condition !== undefined && this.#hasConditions && !namesChecksum) {
      this.#hasConditions = false;
    } else if (this.#hasChecksums) {
      this.#hasChecksums = false;
    } else if (failure !== undefined) {
      throw refusalOf(`put of ${key}`, failure, response);
    }
  }
}

/** The tag as every get tells it, of a put without a condition: another is not asked for it. */
function storedAs({ condition }: PutRequest, etag: string | undefined): PutResult {
  const isTold = condition === undefined && etag !== undefined && etag !== '';
  return isTold ? { outcome: 'stored', etag: plainEtag(etag) } : { outcome: 'stored' };
}

function conditionHeaders(
  condition: PutCondition | undefined,
  form: EtagForm,
): Record<string, string> {
  if (condition === undefined) return {};
  if (condition.kind === 'if-absent') return { 'if-none-match': '*' };
  return { 'if-match': form === 'bare' ? condition.etag : `"${condition.etag}"` };
}

function answersTo(condition: PutCondition | undefined): readonly number[] {
  if (condition === undefined) return [501];
  return condition.kind === 'if-match' ? [404, 412, 501] : [412, 501];
}

function refusedOutcome(condition: PutCondition | undefined): Outcome {
  return condition?.kind === 'if-match' ? 'changed' : 'present';
}
