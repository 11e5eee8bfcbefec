import { createRequire } from 'node:module';
import { nativeKernels } from './native-kernels.ts';

/**
 * CRC32C (Castagnoli, reflected polynomial 0x82f63b78), the checksum of every format here.
 * Long inputs go through our own native code where it is in use, else through a prebuilt hardware
 * implementation where the platform has one; short ones and other platforms through the table below.
 * `crc32c.bench.ts` shows where they cross.
 */
const polynomial = 0x82f63b78;

/**
 * Below so many bytes a call into native code costs more than the table, by our own code and by the
 * prebuilt one (crc32c.bench.ts).
 */
const kernelBytesMin = 96;
const nativeBytesMin = 200;

type Crc32cFunction = (input: Uint8Array, initial?: number) => number;

let tables: Uint32Array | undefined;
/** See {@link zerosOperator}, by power. */
const operators: Uint32Array[] = [];
/** Which entry of the first table has that highest byte: each has another one. */
let taken: Uint8Array | undefined;
let native: Crc32cFunction | false | undefined;

/**
 * The CRC32C of the input.
 *
 * @example
 * ```ts
 * crc32c(new TextEncoder().encode('123456789')); // 0xe3069283
 * ```
 */
export function crc32c(input: Uint8Array): number {
  return crc32cAppend(0, input);
}

/** The CRC32C of `a ‖ input`, given the CRC32C of `a`. */
export function crc32cAppend(crc: number, input: Uint8Array): number {
  if (input.length >= kernelBytesMin) {
    const kernels = nativeKernels();
    if (kernels !== undefined) return kernels.crc32c(input, crc >>> 0);
  }
  if (input.length >= nativeBytesMin) {
    native ??= loadNative();
    if (native !== false) return native(input, crc >>> 0) >>> 0;
  }
  return crc32cByTable(crc, input);
}

/** The CRC32C of `a ‖ b`, given the two CRCs and the length of `b`; no byte is read again. */
export function crc32cCombine(crcOfA: number, crcOfB: number, lengthOfB: number): number {
  let crc = crcOfA >>> 0;
  for (let power = 0, rest = lengthOfB; rest > 0; power += 1, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) crc = timesVector(zerosOperator(power), crc);
  }
  return (crc ^ crcOfB) >>> 0;
}

/** What 2^power zero bytes do to a checksum, as a matrix over its bits. Kept: making one takes long. */
function zerosOperator(power: number): Uint32Array {
  while (operators.length <= power) {
    let operator = operators.at(-1);
    if (operator === undefined) {
      // Of one bit, and then of eight.
      operator = new Uint32Array(32);
      operator[0] = polynomial;
      for (let bit = 1; bit < 32; bit += 1) operator[bit] = 1 << (bit - 1);
      operator = squared(squared(operator));
    }
    operators.push(squared(operator));
  }
  return operators[power];
}

/** The CRC32C of `a`, given that of `a ‖ input`: the bytes are taken back from the last to the first. */
export function crc32cBefore(crc: number, input: Uint8Array): number {
  tables ??= makeTables();
  taken ??= makeTaken(tables);
  let state = ~crc;
  for (let at = input.length - 1; at >= 0; at -= 1) {
    const index = taken[state >>> 24];
    state = ((state ^ tables[index]) << 8) | (index ^ input[at]);
  }
  return ~state >>> 0;
}

/** The table implementation: the fallback where no native code loads, and its test's other half. */
export function crc32cByTable(crc: number, input: Uint8Array): number {
  return crc32cOfRange(crc, input, 0, input.length);
}

/**
 * The CRC32C of `a` and the bytes from `start` to `end`, given that of `a`: for many short pieces of
 * one array, of which a view each would cost more than the sum (decisions/0036).
 */
export function crc32cOfRange(crc: number, input: Uint8Array, start: number, end: number): number {
  tables ??= makeTables();
  const t = tables;
  let state = ~crc;
  let at = start;
  const endOfEights = end - ((end - start) % 8);
  for (; at < endOfEights; at += 8) {
    const low =
      state ^ (input[at] | (input[at + 1] << 8) | (input[at + 2] << 16) | (input[at + 3] << 24));
    state =
      t[1792 + (low & 255)] ^
      t[1536 + ((low >>> 8) & 255)] ^
      t[1280 + ((low >>> 16) & 255)] ^
      t[1024 + (low >>> 24)] ^
      t[768 + input[at + 4]] ^
      t[512 + input[at + 5]] ^
      t[256 + input[at + 6]] ^
      t[input[at + 7]];
  }
  for (; at < end; at += 1) state = t[(state ^ input[at]) & 255] ^ (state >>> 8);
  return ~state >>> 0;
}

function makeTables(): Uint32Array {
  const table = new Uint32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) {
      value = value & 1 ? (value >>> 1) ^ polynomial : value >>> 1;
    }
    table[byte] = value;
  }
  for (let i = 256; i < table.length; i += 1) {
    const previous = table[i - 256];
    table[i] = (previous >>> 8) ^ table[previous & 255];
  }
  return table;
}

function makeTaken(table: Uint32Array): Uint8Array {
  const indexes = new Uint8Array(256);
  for (let index = 0; index < 256; index += 1) indexes[table[index] >>> 24] = index;
  return indexes;
}

function loadNative(): Crc32cFunction | false {
  try {
    const loaded: unknown = createRequire(import.meta.url)('@node-rs/crc32');
    return hasCrc32c(loaded) ? loaded.crc32c : false;
  } catch {
    // No prebuilt binary for this platform: the table gives the same values, more slowly.
    return false;
  }
}

function hasCrc32c(module: unknown): module is { readonly crc32c: Crc32cFunction } {
  return typeof module === 'object' && module !== null && 'crc32c' in module;
}

function timesVector(matrix: Uint32Array, vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector; rest !== 0; bit += 1, rest >>>= 1) {
    if (rest & 1) sum ^= matrix[bit];
  }
  return sum >>> 0;
}

function squared(matrix: Uint32Array): Uint32Array {
  return matrix.map((column) => timesVector(matrix, column));
}
