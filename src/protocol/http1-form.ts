import { viewOf } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { wireFilters } from './read-messages.ts';
import type { CompressedForm } from './read-messages.ts';

/**
 * What stands before each payload of a bulk body of version 3. Little-endian.
 *
 * ```text
 * 0 4  bytes that follow instead of the payload: one zstd frame; 0: the payload itself follows
 * 4 4  what the payload was before: 0 as it is, 1 shuffle2, 2 split2
 * ```
 */
export const formBytes = 8;

export function encodeForm(form: CompressedForm | undefined): Uint8Array {
  const bytes = new Uint8Array(formBytes);
  if (form === undefined) return bytes;
  const view = viewOf(bytes);
  view.setUint32(0, form.length, true);
  view.setUint32(4, wireFilters.indexOf(form.filter), true);
  return bytes;
}

/**
 * The form of a payload of that length; undefined: as it is. A longer payload is never compressed, so its length
 * bounds the memory for both.
 *
 * @throws StoreError `INVALID` for one that no sender writes.
 */
export function decodeForm(bytes: Uint8Array, rawLength: number): CompressedForm | undefined {
  const view = viewOf(bytes);
  const length = view.getUint32(0, true);
  const number = view.getUint32(4, true);
  const filter = wireFilters.at(number);
  if (length === 0 && number === 0) return undefined;
  const isFit = length > 0 && length < rawLength && rawLength <= limits.wireCompressBytesMax;
  if (filter !== undefined && isFit) return { filter, length };
  const what = `${length} bytes in form ${number} for a payload of ${rawLength}`;
  throw new StoreError('INVALID', `the bulk body has ${what}`);
}
