import { assert } from '../../base/assert.ts';
import { roundUp } from '../../base/bytes.ts';
import type { OpenFile } from '../../platform/files.ts';
import type { Platform } from '../../platform/platform.ts';
import { describeModel } from './gguf-model.ts';
import type {
  MetadataValue,
  ModelDescription,
  RandomModelSpec,
  TensorDescription,
} from './gguf-model.ts';
import { RandomWeights, tensorRowBytes } from './gguf-weights.ts';

/** What {@link writeRandomModel} tells while it writes. */
export type ModelProgress = (writtenBytes: number, totalBytes: number) => void;

/**
 * Writes a model with random weights as a GGUF file, under another name until it is whole.
 *
 * @example
 * ```ts
 * await writeRandomModel(nodePlatform(), '/tmp/micro.gguf', randomModels.micro);
 * ```
 */
export async function writeRandomModel(
  platform: Pick<Platform, 'files' | 'random'>,
  path: string,
  spec: RandomModelSpec,
  onProgress: ModelProgress = () => undefined,
): Promise<{ readonly byteLength: number }> {
  const { files, random } = platform;
  const temporaryPath = `${path}.${random.hex(8)}.partial`;
  const file = await files.open(temporaryPath, 'create-new');
  try {
    try {
      const byteLength = await writeModel(file, spec, onProgress);
      await file.sync();
      await files.rename(temporaryPath, path);
      return { byteLength };
    } finally {
      await file.close();
    }
  } catch (error) {
    await files.remove(temporaryPath);
    throw error;
  }
}

/** Bytes of the file that {@link writeRandomModel} writes. */
export function randomModelByteLength(spec: RandomModelSpec): number {
  const description = describeModel(spec);
  return encodeHeader(description).length + dataByteLength(description.tensors);
}

/** Random bytes made at a time: small beside the file, large beside the cost of a write. */
const chunkBytes = 4 * 1024 * 1024;

async function writeModel(
  file: OpenFile,
  spec: RandomModelSpec,
  onProgress: ModelProgress,
): Promise<number> {
  const description = describeModel(spec);
  const header = encodeHeader(description);
  const totalBytes = header.length + dataByteLength(description.tensors);
  const weights = new RandomWeights(spec.seed);
  const chunk = new Uint8Array(chunkBytes);
  await file.write([header], 0);
  let at = header.length;
  for (const tensor of description.tensors) {
    const rows = tensor.rows ?? 1;
    const rowBytes = tensorRowBytes(tensor);
    const rowsAtOnce = Math.floor(chunkBytes / rowBytes);
    for (let row = 0; row < rows; row += rowsAtOnce) {
      const bytes = chunk.subarray(0, Math.min(rowsAtOnce, rows - row) * rowBytes);
      weights.fillRows(tensor, row, bytes);
      await file.write([bytes], at);
      at += bytes.length;
      onProgress(at, totalBytes);
    }
  }
  assert(at === totalBytes, `model has ${at} bytes, not ${totalBytes}`);
  return totalBytes;
}

/** Every tensor begins at a multiple of this. */
const alignmentBytes = 32;

const valueTypes = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
const tensorTypes = { F32: 0, F16: 1, Q8_0: 8 } as const;

/**
 * Everything before the first tensor of a GGUF file, version 3:
 *
 * ```text
 * "GGUF" │ u32 3 │ u64 tensors │ u64 entries
 * per entry    string key │ u32 type │ value
 * per tensor   string name │ u32 dimensions │ u64 columns [│ u64 rows] │ u32 type │ u64 offset
 * zeros up to a multiple of 32; tensor offsets count from there
 *
 * string = u64 bytes │ UTF-8       array = u32 type of elements │ u64 count │ elements
 * ```
 */
function encodeHeader({ metadata, tensors }: ModelDescription): Uint8Array {
  const header = new HeaderBytes();
  header.u32(0x46554747);
  header.u32(3);
  header.u64(tensors.length);
  header.u64(metadata.length);
  for (const { key, value } of metadata) {
    header.string(key);
    putValue(header, value);
  }
  let offset = 0;
  for (const tensor of tensors) {
    putTensor(header, tensor, offset);
    offset += tensorByteLength(tensor);
  }
  return header.padded(alignmentBytes);
}

function putValue(header: HeaderBytes, entry: MetadataValue): void {
  switch (entry.type) {
    case 'u32':
      header.u32(valueTypes.u32);
      header.u32(entry.value);
      return;
    case 'f32':
      header.u32(valueTypes.f32);
      header.f32(entry.value);
      return;
    case 'bool':
      header.u32(valueTypes.bool);
      header.u8(entry.value ? 1 : 0);
      return;
    case 'string':
      header.u32(valueTypes.string);
      header.string(entry.value);
      return;
    case 'strings':
      putArrayHead(header, valueTypes.string, entry.values.length);
      for (const value of entry.values) header.string(value);
      return;
    case 'i32s':
      putArrayHead(header, valueTypes.i32, entry.values.length);
      for (const value of entry.values) header.u32(value);
      return;
    default:
      entry satisfies never;
  }
}

function putArrayHead(header: HeaderBytes, elementType: number, count: number): void {
  header.u32(valueTypes.array);
  header.u32(elementType);
  header.u64(count);
}

function putTensor(header: HeaderBytes, tensor: TensorDescription, offset: number): void {
  const { columns, rows, content } = tensor;
  header.string(tensor.name);
  header.u32(rows === undefined ? 1 : 2);
  header.u64(columns);
  if (rows !== undefined) header.u64(rows);
  header.u32(tensorTypes[content.kind === 'ones' ? 'F32' : content.type]);
  header.u64(offset);
}

function dataByteLength(tensors: readonly TensorDescription[]): number {
  let byteLength = 0;
  for (const tensor of tensors) byteLength += tensorByteLength(tensor);
  return byteLength;
}

/** Tensors need no padding: with sizes in multiples of 32 their bytes are aligned. */
function tensorByteLength(tensor: TensorDescription): number {
  const byteLength = tensorRowBytes(tensor) * (tensor.rows ?? 1);
  assert(byteLength % alignmentBytes === 0, `${tensor.name} has ${byteLength} bytes`);
  return byteLength;
}

/** Bytes that grow at the end. */
class HeaderBytes {
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(65_536);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  u8(value: number): void {
    const at = this.#take(1);
    this.#view.setUint8(at, value);
  }

  u32(value: number): void {
    const at = this.#take(4);
    this.#view.setUint32(at, value, true);
  }

  u64(value: number): void {
    const at = this.#take(8);
    this.#view.setBigUint64(at, BigInt(value), true);
  }

  f32(value: number): void {
    const at = this.#take(4);
    this.#view.setFloat32(at, value, true);
  }

  string(value: string): void {
    const bytes = this.#encoder.encode(value);
    this.u64(bytes.length);
    const at = this.#take(bytes.length);
    this.#bytes.set(bytes, at);
  }

  /** All bytes so far, with zeros up to a multiple of `unit`. */
  padded(unit: number): Uint8Array {
    this.#take(roundUp(this.#length, unit) - this.#length);
    return this.#bytes.subarray(0, this.#length);
  }

  /** Makes room for `count` bytes and returns where they begin. May move all bytes. */
  #take(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const longer = new Uint8Array(roundUp(2 * this.#length, 65_536));
      longer.set(this.#bytes);
      this.#bytes = longer;
      this.#view = new DataView(longer.buffer);
    }
    return at;
  }
}
