import { limits } from '../blocks/limits.ts';
import type { WireCodec } from './wire-codec.ts';
import type { EncodedForWire } from './wire-tasks.ts';

/**
 * Payloads compressed in the order in which they are sent, some ahead of the one that is due, so that threads work
 * while the link does. What was compressed and is not taken any more is dropped with this.
 */
export class CompressionAhead {
  readonly #codec: Pick<WireCodec, 'encode'>;
  readonly #payloads: readonly Uint8Array[];
  readonly #ahead: Promise<EncodedForWire | undefined>[] = [];
  #begun = 0;

  constructor(codec: Pick<WireCodec, 'encode'>, payloads: readonly Uint8Array[]) {
    this.#codec = codec;
    this.#payloads = payloads;
  }

  /** The next payload; undefined: it goes as it is. Never rejects. */
  take(): Promise<EncodedForWire | undefined> {
    while (this.#begun < this.#payloads.length && this.#ahead.length < limits.wireAheadMax) {
      this.#ahead.push(this.#codec.encode(this.#payloads[this.#begun]));
      this.#begun += 1;
    }
    return this.#ahead.shift() ?? Promise.resolve(undefined);
  }
}
