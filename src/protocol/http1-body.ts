import { assert } from '../base/assert.ts';
import { http1Limits } from './http1-head.ts';
import type { BodyFraming, Http1Refusal } from './http1-head.ts';

const carriageReturn = 13;
const lineFeed = 10;

type State = 'data' | 'size' | 'data-end' | 'trailer' | 'done';

/**
 * Tells the data of a body from what frames it. The owner asks {@link dataAhead}; so many bytes are
 * data, which it takes from wherever they are and reports with {@link tookData}. When none is ahead
 * and the body is not done, it gives what comes next to {@link takeFraming}. Nothing is copied here.
 *
 * Chunks (RFC 9112 §7.1) are read strictly: sizes are hex digits alone, lines end with CR LF,
 * extensions and trailers are bounded and dropped.
 */
export class BodyDecoder {
  #state: State;
  #ahead: number;
  readonly #isChunked: boolean;
  #line = '';
  #trailerBytes = 0;

  constructor(framing: BodyFraming) {
    this.#isChunked = framing.kind === 'chunked';
    this.#ahead = framing.kind === 'length' ? framing.byteLength : 0;
    if (framing.kind === 'chunked') this.#state = 'size';
    else this.#state = this.#ahead > 0 ? 'data' : 'done';
  }

  get isDone(): boolean {
    return this.#state === 'done';
  }

  /** Bytes that are data for certain, before any framing. */
  get dataAhead(): number {
    return this.#ahead;
  }

  tookData(count: number): void {
    assert(this.#state === 'data' && count > 0 && count <= this.#ahead, `took ${count} of a body`);
    this.#ahead -= count;
    if (this.#ahead === 0) this.#state = this.#isChunked ? 'data-end' : 'done';
  }

  /** Reads framing in `bytes[at, end)`. Returns the index behind it, or why it is none. */
  takeFraming(bytes: Uint8Array, at: number, end: number): number | Http1Refusal {
    let next = at;
    while (next < end && this.#state !== 'done' && this.#ahead === 0) {
      const byte = bytes[next];
      next += 1;
      const refusal = byte === lineFeed ? this.#endLine() : this.#addToLine(byte);
      if (refusal !== undefined) return refusal;
    }
    return next;
  }

  #addToLine(byte: number): Http1Refusal | undefined {
    if (this.#line.endsWith('\r')) return bad('a CR that ends no line of a chunked body');
    if (byte !== carriageReturn && byte !== 9 && (byte < 32 || byte === 127)) {
      return bad('a control character between the chunks of a body');
    }
    this.#line += String.fromCharCode(byte);
    if (this.#state === 'data-end' && this.#line !== '\r') {
      return bad('a chunk that is longer than its size says');
    }
    if (this.#state === 'trailer') {
      this.#trailerBytes += 1;
      if (this.#trailerBytes <= http1Limits.trailerBytesMax) return undefined;
      return { status: 431, reason: `trailers of more than ${http1Limits.trailerBytesMax} bytes` };
    }
    if (this.#line.length <= http1Limits.chunkLineBytesMax) return undefined;
    return bad(`a line before a chunk of more than ${http1Limits.chunkLineBytesMax} bytes`);
  }

  #endLine(): Http1Refusal | undefined {
    if (!this.#line.endsWith('\r')) return bad('a line of a chunked body that ends with a bare LF');
    const line = this.#line.slice(0, -1);
    this.#line = '';
    switch (this.#state) {
      case 'data-end':
        this.#state = 'size';
        return undefined;
      case 'trailer':
        if (line === '') this.#state = 'done';
        else if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+:/.test(line)) return bad('not a trailer');
        return undefined;
      case 'size':
        return this.#startChunk(line);
      case 'data':
      case 'done':
        throw new RangeError(`no line ends in state ${this.#state}`);
      default:
        return this.#state satisfies never;
    }
  }

  #startChunk(line: string): Http1Refusal | undefined {
    const match = /^([0-9A-Fa-f]{1,14})(?:[ \t]*;.*)?$/.exec(line);
    if (match === null) return bad(`not the size of a chunk: ${JSON.stringify(line.slice(0, 40))}`);
    const size = Number.parseInt(match[1], 16);
    if (!Number.isSafeInteger(size)) return { status: 413, reason: `a chunk of ${match[1]} bytes` };
    this.#ahead = size;
    this.#state = size === 0 ? 'trailer' : 'data';
    return undefined;
  }
}

function bad(reason: string): Http1Refusal {
  return { status: 400, reason };
}
