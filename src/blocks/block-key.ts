declare const blockKeyBrand: unique symbol;

/**
 * The key of a block: 64 lower-case hex characters of a BLAKE3 digest that covers the identity of
 * the model and every token up to and including the block. Also the tip of a chain (the key of its
 * last block, or the seed of an empty chain).
 */
export type BlockKey = string & { readonly [blockKeyBrand]: true };

/** Characters of a key. */
export const blockKeyLength = 64;

const pattern = /^[0-9a-f]{64}$/;

/**
 * The key in the text, upper case accepted.
 *
 * @throws RangeError naming the text when it is not 64 hex characters.
 */
export function parseBlockKey(text: string): BlockKey {
  const lower = text.toLowerCase();
  if (isBlockKey(lower)) return lower;
  throw new RangeError(
    text.length === blockKeyLength
      ? `block key has a character that is not a hex digit: ${JSON.stringify(text)}`
      : `block key must be 64 chars; got ${text.length} for ${JSON.stringify(text.slice(0, 80))}`,
  );
}

/** The key whose digest lies there: 32 bytes. Nothing is checked, for hex of bytes is canonical. */
export function blockKeyAt(bytes: Buffer, at: number): BlockKey {
  return bytes.toString('hex', at, at + blockKeyLength / 2) as BlockKey;
}

/** True when the text is a key in its canonical form. */
export function isBlockKey(text: string): text is BlockKey {
  return pattern.test(text);
}
