import { assert } from '../../base/assert.ts';
import type { TensorDescription } from './gguf-model.ts';

/** Numbers that a Q8_0 group holds, and its bytes: a half-float scale, then the numbers. */
const groupNumbers = 32;
const groupBytes = 34;

/** Deviation of the odd numbers from -127 to 127, all equally likely. */
const oddByteDeviation = Math.sqrt((128 * 128 - 1) / 3);

/** Bytes of one row of the tensor. */
export function tensorRowBytes(tensor: TensorDescription): number {
  if (tensor.content.kind === 'ones') return 4 * tensor.columns;
  const { type } = tensor.content;
  switch (type) {
    case 'F16':
      return 2 * tensor.columns;
    case 'Q8_0':
      return (tensor.columns / groupNumbers) * groupBytes;
    default:
      return type satisfies never;
  }
}

/**
 * The weights of a random model, tensor after tensor. The same seed gives the same bytes on every
 * machine: only exact arithmetic is used.
 */
export class RandomWeights {
  readonly #words: RandomWords;
  /** 65,536 numbers of deviation 1. */
  readonly #normal: Float32Array;
  /** The same as half floats, by deviation. A model has a handful of deviations. */
  readonly #halves = new Map<number, Uint16Array>();

  constructor(seed: number) {
    this.#words = new RandomWords(seed);
    this.#normal = normalNumbers(this.#words);
  }

  /**
   * Fills `bytes`, a whole number of rows from `firstRow` on. Rows of all tensors must be asked for
   * in file order; how many at a time makes no difference.
   */
  fillRows(tensor: TensorDescription, firstRow: number, bytes: Uint8Array): void {
    const rowBytes = tensorRowBytes(tensor);
    assert(bytes.length % rowBytes === 0, `${bytes.length} bytes are no rows of ${tensor.name}`);
    assert(bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0, 'rows are filled by words');
    const { content } = tensor;
    if (content.kind === 'ones') {
      new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4).fill(1);
      return;
    }
    this.#words.fill(new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4));
    if (content.type === 'F16') this.#mapToHalves(bytes, content.deviation);
    else setScales(bytes, content.deviation);
    const silentRow = (content.silentRow ?? -1) - firstRow;
    if (silentRow >= 0 && silentRow * rowBytes < bytes.length) {
      bytes.fill(0, silentRow * rowBytes, (silentRow + 1) * rowBytes);
    }
  }

  /** Replaces 16 random bits by the half float that they choose. */
  #mapToHalves(bytes: Uint8Array, deviation: number): void {
    const halves = this.#halvesOf(deviation);
    const numbers = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
    for (let i = 0; i < numbers.length; i += 1) numbers[i] = halves[numbers[i]];
  }

  #halvesOf(deviation: number): Uint16Array {
    const known = this.#halves.get(deviation);
    if (known !== undefined) return known;
    const halves = halfFloats(this.#normal.map((number) => number * deviation));
    this.#halves.set(deviation, halves);
    return halves;
  }
}

/**
 * Turns random bytes into Q8_0 groups. The lowest bit of each number is set: -128, which engines
 * never produce and their kernels need not handle, cannot occur.
 */
function setScales(bytes: Uint8Array, deviation: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (let i = 0; i < words.length; i += 1) words[i] |= 0x01010101;
  const [scale] = halfFloats(Float32Array.of(deviation / oddByteDeviation));
  for (let at = 0; at < bytes.length; at += groupBytes) {
    bytes[at] = scale & 255;
    bytes[at + 1] = scale >>> 8;
  }
}

/** Sums of twelve uniform numbers less six, which are normal enough and need no logarithm. */
function normalNumbers(words: RandomWords): Float32Array {
  const numbers = new Float32Array(65_536);
  const draw = new Uint32Array(12);
  for (let i = 0; i < numbers.length; i += 1) {
    words.fill(draw);
    let sum = 0;
    for (const word of draw) sum += word / 2 ** 32;
    numbers[i] = sum - 6;
  }
  return numbers;
}

/** The numbers as half floats: rounded towards zero, and zero below the smallest normal number. */
function halfFloats(numbers: Float32Array): Uint16Array {
  const bits = new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
  const halves = new Uint16Array(numbers.length);
  let isInRange = true;
  for (let i = 0; i < bits.length; i += 1) {
    const sign = (bits[i] >>> 16) & 0x8000;
    const exponent = ((bits[i] >>> 23) & 0xff) - 127 + 15;
    isInRange &&= exponent < 31;
    halves[i] = exponent <= 0 ? sign : sign | (exponent << 10) | ((bits[i] >>> 13) & 0x3ff);
  }
  assert(isInRange, 'a number is too large for a half float');
  return halves;
}

/** Chris Doty-Humphrey's sfc32: small, fast, and good enough for weights. */
class RandomWords {
  #a: number;
  #b = 0x9e3779b9 | 0;
  #c = 0x243f6a88 | 0;
  #counter = 1;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.fill(new Uint32Array(16));
  }

  fill(words: Uint32Array): void {
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let counter = this.#counter;
    for (let i = 0; i < words.length; i += 1) {
      const word = (((a + b) | 0) + counter) | 0;
      counter = (counter + 1) | 0;
      a = b ^ (b >>> 9);
      b = (c + (c << 3)) | 0;
      c = ((c << 21) | (c >>> 11)) + word;
      c |= 0;
      words[i] = word;
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
    this.#counter = counter;
  }
}
