/**
 * Numbers that look like the KV of a model, the same on every run: heads of 128 dimensions, a mean
 * and a scale per channel, a few outlier channels, and values that drift from token to token.
 * For benchmarks and tests of codecs; real KV differs from model to model.
 */
export function syntheticKv(type: 'f16' | 'bf16', byteLength: number): Uint8Array {
  const channels = 1024;
  const normal = normals(7);
  const mean = Float64Array.from({ length: channels }, () => 0.4 * normal());
  const scale = Float64Array.from({ length: channels }, () => 0.3 + 0.5 * Math.abs(normal()));
  for (let channel = 0; channel < channels; channel += 33) mean[channel] *= 12;
  const drift = new Float64Array(channels);
  const values = new Uint16Array(Math.ceil(byteLength / 2));
  for (let i = 0; i < values.length; i += 1) {
    const channel = i % channels;
    drift[channel] = 0.98 * drift[channel] + 0.2 * normal();
    const value = mean[channel] + scale[channel] * (drift[channel] + 0.5 * normal());
    values[i] = type === 'bf16' ? bf16(value) : f16(value);
  }
  return new Uint8Array(values.buffer, 0, byteLength);
}

function normals(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
  return () => {
    let sum = -6;
    for (let i = 0; i < 12; i += 1) sum += uniform();
    return sum;
  };
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function bf16(value: number): number {
  float[0] = value;
  return word[0] >>> 16;
}

/** Truncates; what is too small becomes zero. */
function f16(value: number): number {
  float[0] = value;
  const sign = (word[0] >>> 16) & 0x8000;
  const exponent = ((word[0] >>> 23) & 255) - 112;
  if (exponent <= 0) return sign;
  if (exponent >= 31) return sign | 0x7bff;
  return sign | (exponent << 10) | ((word[0] >>> 13) & 0x3ff);
}
