import { encodeDataHeader, encodeFrameHeader } from './frame.ts';

/** Bytes that are written at once: more of them gain nothing, and others wait for each write. */
const gatheredBytesMax = 512 * 1024;

/** The frames of a payload, which is not copied: what it is, and then its bytes in pieces. */
export function payloadFrames(
  id: number,
  notice: Uint8Array,
  payload: Uint8Array,
  pieceBytesMax: number,
): readonly Uint8Array[] {
  const parts = [encodeFrameHeader('payload', id, notice), notice];
  for (let at = 0; at < payload.length; at += pieceBytesMax) {
    const piece = payload.subarray(at, at + pieceBytesMax);
    parts.push(encodeDataHeader(id, piece.length), piece);
  }
  return parts;
}

/**
 * Frames on their way to one connection, written together: a call of the system for each of many small
 * payloads costs more than their bytes.
 */
export class GatheredFrames {
  readonly #write: (parts: readonly Uint8Array[]) => void;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(write: (parts: readonly Uint8Array[]) => void) {
    this.#write = write;
  }

  /** Bytes that are not written yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes the parts; writes everything when it is enough. */
  add(parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      this.#parts.push(part);
      this.#bytes += part.length;
    }
    if (this.#bytes >= gatheredBytesMax) this.writeOut();
  }

  writeOut(): void {
    if (this.#parts.length === 0) return;
    const parts = this.#parts;
    this.#parts = [];
    this.#bytes = 0;
    this.#write(parts);
  }
}
