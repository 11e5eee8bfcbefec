/**
 * A part of a body on its way out: bytes, or a promise of some that are made meanwhile. Who sends takes one after
 * another, sends what it has before it waits, and waits for a promise before it takes the next part.
 */
export type BodyPart = Uint8Array | Promise<readonly Uint8Array[]>;

const encoder = new TextEncoder();
const lineEnd = encoder.encode('\r\n');

/** These parts as one chunk of a body whose length is not known before (RFC 9112 §7.1); nothing for no byte. */
export function chunkOf(parts: readonly Uint8Array[]): Uint8Array[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  // A chunk of no byte would end the body.
  if (length === 0) return [];
  return [encoder.encode(`${length.toString(16)}\r\n`), ...parts, lineEnd];
}

/** What ends such a body: the chunk of no byte, and no trailers. */
export const lastChunk: Uint8Array = encoder.encode('0\r\n\r\n');
