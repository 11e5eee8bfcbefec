import { assert, assertDefined } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';
import { bytesFromHex } from '../base/hex.ts';

const encoder = new TextEncoder();

/** Writes little-endian fields one after another into memory that grows. */
export class ByteWriter {
  #bytes: Uint8Array;
  #view: DataView;
  #at = 0;

  constructor(expectedBytes = 256) {
    this.#bytes = new Uint8Array(expectedBytes);
    this.#view = viewOf(this.#bytes);
  }

  /** What was written. The memory is the writer's no longer. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#at);
  }

  u8(value: number): this {
    this.#view.setUint8(this.#reserve(1), value);
    return this;
  }

  u16(value: number): this {
    this.#view.setUint16(this.#reserve(2), value, true);
    return this;
  }

  u32(value: number): this {
    assert(Number.isInteger(value) && value >= 0 && value <= 0xffffffff, `u32 of ${value}`);
    this.#view.setUint32(this.#reserve(4), value, true);
    return this;
  }

  i32(value: number): this {
    this.#view.setInt32(this.#reserve(4), value, true);
    return this;
  }

  /** A whole number up to 2^53 in eight bytes. */
  u64(value: number): this {
    assert(Number.isSafeInteger(value) && value >= 0, `u64 of ${value}`);
    this.#view.setBigUint64(this.#reserve(8), BigInt(value), true);
    return this;
  }

  bytes(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  /** 64 hex characters as 32 bytes. */
  key(hex: string): this {
    const bytes = assertDefined(bytesFromHex(hex), 'a key in hex');
    assert(bytes.length === 32, `key of ${bytes.length} bytes`);
    return this.bytes(bytes);
  }

  /** A count and the keys. */
  keys(keys: readonly string[]): this {
    this.u32(keys.length);
    for (const key of keys) this.key(key);
    return this;
  }

  /** Length in two bytes, then UTF-8. A longer text is cut. */
  text(text: string): this {
    const bytes = encoder.encode(text).subarray(0, 0xffff);
    return this.u16(bytes.length).bytes(bytes);
  }

  /** A count and one bit for each flag, the first in the lowest place. */
  bits(flags: readonly boolean[]): this {
    this.u32(flags.length);
    const packed = new Uint8Array(Math.ceil(flags.length / 8));
    flags.forEach((flag, index) => {
      if (flag) packed[index >> 3] |= 1 << (index & 7);
    });
    return this.bytes(packed);
  }

  /** Makes room for so many bytes; gives where they begin. */
  #reserve(count: number): number {
    const at = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#at, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, at));
      this.#bytes = grown;
      this.#view = viewOf(grown);
    }
    return at;
  }
}
