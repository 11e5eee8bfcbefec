import { viewOf } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { blockKeyAt } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads little-endian fields one after another. Whatever does not fit is a `StoreError` `INVALID`
 * that names the message; counts are compared with what is there before memory is taken.
 */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  #at = 0;

  /** `what` names the message in errors. */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#what = what;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): number {
    const value = Number(this.#view.getBigUint64(this.#take(8), true));
    if (!Number.isSafeInteger(value)) throw this.invalid(`a number of ${value} is too large`);
    return value;
  }

  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  key(): BlockKey {
    const { buffer, byteOffset, byteLength } = this.bytes(32);
    return blockKeyAt(Buffer.from(buffer, byteOffset, byteLength), 0);
  }

  /** A count and so many keys. */
  keys(): BlockKey[] {
    return Array.from({ length: this.count(limits.keysPerCallMax, 32) }, () => this.key());
  }

  /** A number of items that have at least so many bytes each: no more than are there. */
  count(most: number, bytesOfOne: number): number {
    const count = this.u32();
    if (count > most) throw this.invalid(`${count} entries; at most ${most} are accepted`);
    const rest = this.#bytes.length - this.#at;
    if (count * bytesOfOne > rest) throw this.invalid(`${count} entries in ${rest} bytes`);
    return count;
  }

  text(): string {
    const bytes = this.bytes(this.u16());
    try {
      return decoder.decode(bytes);
    } catch (cause) {
      throw this.invalid('a text is not UTF-8', cause);
    }
  }

  bits(most: number): boolean[] {
    const count = this.u32();
    if (count > most) throw this.invalid(`${count} flags; at most ${most} are accepted`);
    const packed = this.bytes(Math.ceil(count / 8));
    return Array.from(
      { length: count },
      (_, index) => (packed[index >> 3] & (1 << (index & 7))) !== 0,
    );
  }

  /** One of the words, by its place. */
  word<Word>(words: readonly Word[]): Word {
    const code = this.u8();
    if (code >= words.length) throw this.invalid(`unknown code ${code}`);
    return words[code];
  }

  /** Everything must have been read. */
  end(): void {
    const rest = this.#bytes.length - this.#at;
    if (rest > 0) throw this.invalid(`${rest} bytes too many`);
  }

  /** The error for bytes that are not what they should be. */
  invalid(fault: string, cause?: unknown): StoreError {
    return new StoreError('INVALID', `message ${this.#what}: ${fault}`, { cause });
  }

  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.length) {
      throw this.invalid(`ends after ${this.#bytes.length} bytes; ${at + count} are needed`);
    }
    this.#at += count;
    return at;
  }
}
