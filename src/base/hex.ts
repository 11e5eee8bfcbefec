/** Lower-case hexadecimal text of the bytes. */
export function hexFromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** The bytes of hexadecimal text, either case; `undefined` when it is not an even run of hex digits. */
export function bytesFromHex(text: string): Uint8Array | undefined {
  // Buffer would take the low byte of any character for a digit.
  return digits.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined;
}

/** Writes the bytes of the text at the offset, where there is room; false, and nothing, for no hex. */
export function writeHex(text: string, into: Buffer, offset: number): boolean {
  return digits.test(text) && into.write(text, offset, 'hex') === text.length / 2;
}

const digits = /^(?:[0-9a-f]{2})*$/i;
