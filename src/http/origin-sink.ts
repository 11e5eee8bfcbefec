import { StoreError } from '../base/errors.ts';
import type { HttpBodyPlan } from '../platform/http.ts';
import type { BodyFraming } from '../protocol/http1-head.ts';
import { CollectSink } from '../protocol/http1-sink.ts';
import type { BodySink } from '../protocol/http1-sink.ts';

/** Where the body of an answer goes by its plan, and what it was when it has come. */
export interface OriginSink extends BodySink {
  readonly bytes: Uint8Array;
  /** All that is wanted has come, and more follows. */
  readonly isCut: boolean;
}

/**
 * The sink of a plan.
 *
 * @throws StoreError `UNAVAILABLE` when the head already tells that the body is too long or too short.
 */
export function sinkOf(plan: HttpBodyPlan, framing: BodyFraming): OriginSink {
  const byteLength = framing.kind === 'length' ? framing.byteLength : undefined;
  if (plan.kind === 'into') {
    const { bytes, isRestDropped = false } = plan;
    const isLong = byteLength !== undefined && byteLength > bytes.length && !isRestDropped;
    if (isLong) throw tooLong(bytes.length);
    if (byteLength !== undefined && byteLength < bytes.length) {
      throw new StoreError('UNAVAILABLE', `has ${byteLength} of ${bytes.length} bytes of its body`);
    }
    return new IntoSink(bytes, isRestDropped, (byteLength ?? 0) > bytes.length);
  }
  if (byteLength !== undefined && byteLength > plan.byteLengthMax)
    throw tooLong(plan.byteLengthMax);
  return new CollectingSink(plan.byteLengthMax, byteLength);
}

/** Fills given memory exactly, or with the beginning of what comes. */
class IntoSink implements OriginSink {
  readonly bytes: Uint8Array;
  isCut = false;
  readonly #isRestDropped: boolean;
  /** More follows for certain. */
  readonly #hasRest: boolean;
  #length = 0;
  /** Shows a body of unknown length that goes on behind the memory. */
  readonly #spill = new Uint8Array(1);

  constructor(bytes: Uint8Array, isRestDropped: boolean, hasRest: boolean) {
    this.bytes = bytes;
    this.#isRestDropped = isRestDropped;
    this.#hasRest = hasRest;
  }

  space(): Uint8Array {
    return this.#length < this.bytes.length ? this.bytes.subarray(this.#length) : this.#spill;
  }

  took(count: number): void {
    if (this.#length < this.bytes.length) {
      this.#length += count;
      if (this.#length < this.bytes.length || !this.#hasRest) return;
    }
    this.isCut = this.#isRestDropped;
    throw tooLong(this.bytes.length);
  }

  finish(): void {
    if (this.#length === this.bytes.length) return;
    const message = `has ${this.#length} of ${this.bytes.length} bytes of its body`;
    throw new StoreError('UNAVAILABLE', message);
  }
}

class CollectingSink extends CollectSink implements OriginSink {
  readonly isCut = false;
  readonly #mostBytes: number;

  constructor(byteLengthMax: number, byteLength: number | undefined) {
    super(byteLengthMax, byteLength);
    this.#mostBytes = byteLengthMax;
  }

  override took(count: number): void {
    if (this.bytes.length + count > this.#mostBytes) throw tooLong(this.#mostBytes);
    super.took(count);
  }
}

function tooLong(byteLengthMax: number): StoreError {
  return new StoreError('UNAVAILABLE', `has a body of more than ${byteLengthMax} bytes`);
}
