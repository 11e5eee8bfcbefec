import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readGgufFileInfo } from 'node-llama-cpp';
import { blake3Hex } from '../../base/blake3.ts';
import type { OpenFile } from '../../platform/files.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import type { Platform } from '../../platform/platform.ts';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import { describeModel, endOfTextToken, randomModels } from './gguf-model.ts';
import type { RandomModelSpec, TensorDescription } from './gguf-model.ts';
import { RandomWeights, tensorRowBytes } from './gguf-weights.ts';
import { randomModelByteLength, writeRandomModel } from './gguf-writer.ts';

const platform = nodePlatform();
const quantised: RandomModelSpec = { ...randomModels.micro, weightType: 'Q8_0', isTied: true };

let directory: TemporaryDirectory;
before(async () => {
  directory = await makeTemporaryDirectory('gguf');
});
after(() => directory.remove());

describe('writeRandomModel()', () => {
  const digests: readonly [string, RandomModelSpec, string][] = [
    [
      'micro',
      randomModels.micro,
      '352d9a4f27a941582edc22efb14da60c484f2dae31ae5f7a51879be8ce6b23e3',
    ],
    [
      'micro, quantised and tied',
      quantised,
      '79d70fceaec5f5532a19aa7bcb2520f11df4e2544912a7056c780208dc5a8b75',
    ],
    ['tiny', randomModels.tiny, 'bca585d409c3b10620a01a9041675bff2fdcb98229982c9772e86a3eda3212a9'],
    [
      'tiny-qwen2',
      randomModels['tiny-qwen2'],
      '81f7d73c097b32d74e0318871345d70466d77fc553deef486461a7b07c95c814',
    ],
    [
      'tiny-gemma3',
      randomModels['tiny-gemma3'],
      'de37fadd3b72211786d92025eea5da669b82b7a312b6f5d12fc5953c8b8ab775',
    ],
  ];
  for (const [name, spec, digest] of digests) {
    it(`writes the same ${name} on every machine`, async () => {
      const path = join(directory.path, `${name}.gguf`);
      const { byteLength } = await writeRandomModel(platform, path, spec);
      const bytes = await readFile(path);
      assert.equal(byteLength, bytes.length);
      assert.equal(byteLength, randomModelByteLength(spec));
      assert.equal(blake3Hex(bytes), digest);
    });
  }

  it('writes other weights for another seed', async () => {
    const first = await written({ ...randomModels.micro, seed: 1 });
    const second = await written({ ...randomModels.micro, seed: 2 });
    assert.equal(first.length, second.length);
    assert.notDeepEqual(first, second);
  });

  it('writes what another reader of the format understands', async () => {
    const spec = randomModels['tiny-gemma3'];
    const path = join(directory.path, 'understood.gguf');
    await writeRandomModel(platform, path, spec);
    const info = await readGgufFileInfo(path, { readTensorInfo: true, logWarnings: false });
    const { gemma3, tokenizer } = info.metadata;
    assert.equal(info.version, 3);
    assert.equal(info.metadata.general.architecture, 'gemma3');
    assert.equal(info.metadata.general.name, 'random-tiny-gemma3');
    assert.equal(gemma3?.attention?.sliding_window, 256);
    assert.equal(gemma3.rope?.freq_base, 10_000);
    assert.equal(tokenizer?.ggml.tokens.length, 512);
    assert.equal(tokenizer.ggml.add_bos_token, false);
    const { tensors } = describeModel(spec);
    const named = info.fullTensorInfo?.map((tensor) => ({
      name: tensor.name,
      dimensions: tensor.dimensions.map(Number),
      type: tensor.ggmlType,
    }));
    const types = { F16: 1, Q8_0: 8 };
    assert.deepEqual(
      named,
      tensors.map(({ name, columns, rows, content }) => ({
        name,
        dimensions: rows === undefined ? [columns] : [columns, rows],
        type: content.kind === 'ones' ? 0 : types[content.type],
      })),
    );
  });

  it('tells how far it is, up to all', async () => {
    const told: number[][] = [];
    const path = join(directory.path, 'told.gguf');
    const { byteLength } = await writeRandomModel(platform, path, randomModels.tiny, (...numbers) =>
      told.push(numbers),
    );
    assert.deepEqual(told.at(-1), [byteLength, byteLength]);
    assert.ok(
      told.every(([done, total], i) => total === byteLength && done > (told[i - 1]?.[0] ?? 0)),
    );
  });

  it('leaves nothing behind when a write fails', async () => {
    const path = join(directory.path, 'failed', 'model.gguf');
    await platform.files.makeDirectory(join(directory.path, 'failed'));
    await assert.rejects(writeRandomModel(fullDisk(), path, randomModels.micro), /ENOSPC/);
    assert.deepEqual(await platform.files.list(join(directory.path, 'failed')), []);
  });

  async function written(spec: RandomModelSpec): Promise<Buffer> {
    const path = join(directory.path, 'written.gguf');
    await writeRandomModel(platform, path, spec);
    return readFile(path);
  }
});

describe('describeModel()', () => {
  it('refuses dimensions that do not fit', () => {
    const misfits: Partial<RandomModelSpec>[] = [
      { embeddingSize: 100 },
      { feedForwardSize: 100 },
      { heads: 3 },
      { heads: 4, kvHeads: 3 },
      { vocabularySize: endOfTextToken },
    ];
    for (const misfit of misfits) {
      assert.throws(() => describeModel({ ...randomModels.micro, ...misfit }), RangeError);
    }
  });

  it('gives Qwen2.5-0.5B about as many parameters as the real one', () => {
    const { tensors } = describeModel(randomModels['qwen2.5-0.5b']);
    const parameters = tensors.reduce((sum, { columns, rows = 1 }) => sum + columns * rows, 0);
    // The real one has 494,032,768: 24 layers of 1,152 biases more.
    assert.equal(parameters, 494_032_768 - 24 * 1152);
  });
});

describe('RandomWeights', () => {
  for (const type of ['F16', 'Q8_0'] as const) {
    const tensor: TensorDescription = {
      name: 'weights',
      columns: 128,
      rows: 300,
      content: { kind: 'random', type, deviation: 0.25, silentRow: 256 },
    };

    it(`gives the same ${type} rows in chunks of any size`, () => {
      const whole = rowsOf(tensor, [300]);
      assert.deepEqual(rowsOf(tensor, [1, 250, 5, 1, 43]), whole);
      const rowBytes = tensorRowBytes(tensor);
      const silent = whole.subarray(256 * rowBytes, 257 * rowBytes);
      assert.ok(silent.every((byte) => byte === 0));
    });

    it(`gives ${type} numbers of the deviation asked for`, () => {
      const numbers = numbersOf(type, rowsOf(tensor, [300]));
      assert.equal(numbers.length, 128 * 300);
      const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
      const square = numbers.reduce((sum, number) => sum + number * number, 0) / numbers.length;
      assert.ok(Math.abs(mean) < 0.005, `mean ${mean}`);
      assert.ok(Math.abs(Math.sqrt(square) - 0.25) < 0.005, `deviation ${Math.sqrt(square)}`);
    });
  }

  it('never gives -128 to quantised groups', () => {
    const content = { kind: 'random', type: 'Q8_0', deviation: 1, silentRow: undefined } as const;
    const bytes = rowsOf({ name: 'w', columns: 128, rows: 300, content }, [300]);
    assert.ok(bytes.every((byte, i) => i % 34 < 2 || byte !== 128));
  });
});

function rowsOf(tensor: TensorDescription, chunks: readonly number[]): Uint8Array {
  const rowBytes = tensorRowBytes(tensor);
  const weights = new RandomWeights(7);
  const bytes = new Uint8Array(rowBytes * (tensor.rows ?? 1));
  let row = 0;
  for (const rows of chunks) {
    weights.fillRows(tensor, row, bytes.subarray(row * rowBytes, (row + rows) * rowBytes));
    row += rows;
  }
  return bytes;
}

/** The numbers that an engine would see. */
function numbersOf(type: 'F16' | 'Q8_0', bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const numbers: number[] = [];
  if (type === 'F16') {
    for (let at = 0; at < bytes.length; at += 2) numbers.push(fromHalf(view.getUint16(at, true)));
    return numbers;
  }
  for (let at = 0; at < bytes.length; at += 34) {
    const scale = fromHalf(view.getUint16(at, true));
    for (let i = 2; i < 34; i += 1) numbers.push(scale * view.getInt8(at + i));
  }
  return numbers;
}

function fromHalf(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}

/** A platform whose files take the first megabyte and fail then. */
function fullDisk(): Pick<Platform, 'files' | 'random'> {
  const open = async (...where: Parameters<Platform['files']['open']>): Promise<OpenFile> => {
    const file = await platform.files.open(...where);
    return {
      read: (into, position) => file.read(into, position),
      write: async (buffers, position) => {
        if (position > 100_000) throw new Error('ENOSPC: no space left on device');
        await file.write(buffers, position);
      },
      sync: () => file.sync(),
      truncate: (byteLength) => file.truncate(byteLength),
      byteLength: () => file.byteLength(),
      close: () => file.close(),
    };
  };
  return { random: platform.random, files: { ...platform.files, open } };
}
