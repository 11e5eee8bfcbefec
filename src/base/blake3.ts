import { hash, hashInto } from 'blake3-jit';
import { hexFromBytes } from './hex.ts';

/** Bytes of a BLAKE3 digest. */
export const blake3Bytes = 32;

/** The BLAKE3 digest of the input as 32 bytes. Meant for inputs below a few mebibytes. */
export function blake3(input: Uint8Array): Uint8Array {
  return hash(input);
}

/** Writes the BLAKE3 digest of the input into `output` (32 bytes). Allocates nothing. */
export function blake3Into(input: Uint8Array, output: Uint8Array): void {
  hashInto(input, output);
}

/**
 * The BLAKE3 digest of the input as 64 lower-case hex characters.
 *
 * @example
 * ```ts
 * blake3Hex(new Uint8Array(0)).slice(0, 8); // 'af1349b9'
 * ```
 */
export function blake3Hex(input: Uint8Array): string {
  return hexFromBytes(hash(input));
}
