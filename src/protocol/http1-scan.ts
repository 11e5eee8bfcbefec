import { http1Limits } from './http1-head.ts';
import type { Http1Refusal } from './http1-head.ts';

const carriageReturn = 13;
const lineFeed = 10;

/**
 * Looks for the end of a head in bytes that come piece by piece. A line end is CR LF and nothing
 * else: a bare LF or CR is refused as soon as it is seen (RFC 9112 §2.2).
 */
export class HeadScanner {
  #at = 0;
  #lineStart = 0;
  #lines = 0;

  /** Begins anew at the start of the bytes. */
  reset(): void {
    this.#at = 0;
    this.#lineStart = 0;
    this.#lines = 0;
  }

  /**
   * The number of bytes of the head in `bytes[0, end)`, 0 when more are needed. A call sees all
   * bytes of the call before.
   */
  scan(bytes: Uint8Array, end: number): number | Http1Refusal {
    for (; this.#at < end; this.#at += 1) {
      // Looked at with each byte, so that the answer is the same however the bytes were cut.
      if (this.#at >= this.#bytesMax) return this.#tooLong();
      const byte = bytes[this.#at];
      const isAfterReturn = this.#at > 0 && bytes[this.#at - 1] === carriageReturn;
      if (byte !== lineFeed) {
        if (isAfterReturn) return { status: 400, reason: 'a CR that ends no line' };
        continue;
      }
      if (!isAfterReturn) {
        return { status: 400, reason: 'a line that ends with LF instead of CR LF' };
      }
      const lineBytes = this.#at - 1 - this.#lineStart;
      this.#lineStart = this.#at + 1;
      if (lineBytes === 0 && this.#lines > 0) return this.#lineStart;
      if (lineBytes === 0) return { status: 400, reason: 'an empty line instead of a request' };
      this.#lines += 1;
    }
    return 0;
  }

  /** Bytes that the head may have as far as it was read. */
  get #bytesMax(): number {
    return this.#lines === 0 ? http1Limits.lineBytesMax : http1Limits.headBytesMax;
  }

  #tooLong(): Http1Refusal {
    const most = this.#bytesMax;
    if (this.#lines > 0) return { status: 431, reason: `a head of more than ${most} bytes` };
    return { status: 414, reason: `a request line of more than ${most} bytes` };
  }
}

/** The bytes as Latin-1, which keeps every one of them apart. */
export function latin1Text(bytes: Uint8Array, end: number): string {
  let text = '';
  const step = 4096;
  for (let at = 0; at < end; at += step) {
    text += String.fromCharCode(...bytes.subarray(at, Math.min(at + step, end)));
  }
  return text;
}
