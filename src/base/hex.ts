/** Lower-case hexadecimal text of the bytes. */
export function hexFromBytes(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** The bytes of hexadecimal text, either case; `undefined` when it is not an even run of hex digits. */
export function bytesFromHex(text: string): Uint8Array | undefined {
  // Buffer would take the low byte of any character for a digit.
  return digits.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined;
}

const digits = /^(?:[0-9a-f]{2})*$/i;
