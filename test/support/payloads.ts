import { seededRandom } from './random.ts';

/** Incompressible bytes that depend on the seed alone. */
export function randomPayload(seed: string | number, byteLength: number): Uint8Array {
  const random = seededRandom(seed);
  const words = new Uint32Array(Math.ceil(byteLength / 4));
  for (let i = 0; i < words.length; i += 1) words[i] = random.word();
  return new Uint8Array(words.buffer, 0, byteLength);
}

/** Bytes like those of a KV cache in bfloat16: pairs with a smooth high byte and a noisy low one. */
export function smoothPayload(seed: string | number, byteLength: number): Uint8Array {
  const noise = randomPayload(seed, byteLength);
  for (let i = 1; i < byteLength; i += 2) noise[i] = 0x3c + (noise[i] & 3);
  return noise;
}

/** The same bytes in memory that other threads may share. */
export function inSharedMemory(bytes: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

/** The same bytes as a window of a larger array, at an odd offset. */
export function insideLarger(bytes: Uint8Array): Uint8Array {
  const larger = new Uint8Array(bytes.length + 21).fill(0xee);
  larger.set(bytes, 13);
  return larger.subarray(13, 13 + bytes.length);
}
