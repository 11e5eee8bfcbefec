import type { ObjectKey } from './object-store.ts';
import { objectLimits } from './object-limits.ts';

const loneSurrogate = /\p{Surrogate}/u;
const onlyAscii = /^[\u0000-\u007f]*$/;
const encoder = new TextEncoder();

/**
 * The text as an object key: 1 to 1024 bytes of well-formed UTF-8 without NUL.
 *
 * @example
 * ```ts
 * const key = parseObjectKey('kv/cabi/default/wombatkv/v2/block/ab/…');
 * ```
 * @throws RangeError naming the value.
 */
export function parseObjectKey(text: string): ObjectKey {
  const fault = text === '' ? 'is empty' : faultOfKeyText(text);
  if (fault !== undefined) throw new RangeError(`object key ${quoted(text)} ${fault}`);
  return text as ObjectKey;
}

/** What keeps the text from being a key or the beginning of one; undefined when nothing does. */
export function faultOfKeyText(text: string): string | undefined {
  if (text.includes('\0')) return 'contains NUL';
  if (loneSurrogate.test(text)) return 'is not well-formed Unicode';
  // No character has more bytes of UTF-8 than three for each of its code units.
  if (text.length * 3 <= objectLimits.keyBytesMax) return undefined;
  const byteLength = Buffer.byteLength(text);
  if (byteLength <= objectLimits.keyBytesMax) return undefined;
  return `has ${byteLength} bytes, more than ${objectLimits.keyBytesMax}`;
}

/**
 * The UTF-8 bytes of the text as characters 0 to 255. Comparing two of them with `<` compares the
 * bytes, which is the order of listings; that of JavaScript strings is another one.
 */
export function byteTextOf(text: string): string {
  return onlyAscii.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** The text whose {@link byteTextOf} is given, or undefined when the bytes are not UTF-8. */
export function textOfByteText(byteText: string): string | undefined {
  if (onlyAscii.test(byteText)) return byteText;
  const text = Buffer.from(byteText, 'latin1').toString('utf8');
  return byteTextOf(text) === byteText ? text : undefined;
}

/** The UTF-8 bytes of the key. */
export function bytesOfKey(key: ObjectKey): Uint8Array {
  return encoder.encode(key);
}

/** The text in quotes and short enough for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length <= 120 ? text : `${text.slice(0, 117)}...`);
}
