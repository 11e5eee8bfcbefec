import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { randomModels } from '../../src/engines/llama/gguf-model.ts';
import { demoCacheDirectory, randomModelPath } from '../../src/cli/demo/demo-model.ts';
import { decodePayloadInto, encodePayload } from '../../src/format/payload-codec.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import type { Zstd } from '../../src/format/zstd.ts';
import type { KvType } from '../engine/engine-job.ts';
import { runEngine } from '../engine/engine-process.ts';
import { measureInTurns, ratesOf, samplesOf } from '../measure.ts';
import { randomTokens } from '../prompts.ts';
import { atLeast, rowOf } from '../report.ts';
import type { Row, RowParts, ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';

export interface RealKv {
  readonly blocks: readonly Uint8Array[];
  readonly versions: Readonly<Record<string, string>>;
}

const kvTypes: readonly KvType[] = ['F16', 'BF16', 'Q8_0', 'F32'];
/** Level 1 is the store's default. */
const options = { compress: true, level: 1 };
const ratioMinOfBf16 = 1.4;
const decodeRateMin = 1;

/** Compression as the store does it, on KV that an engine computed. */
export const compression: Scenario = {
  name: 'compression',
  about: 'real KV of each type: ratio against plain zstd, encode and decode',
  run,
};

async function run(context: BenchContext): Promise<ScenarioResult> {
  const modelName = context.isQuick ? 'tiny' : 'qwen2.5-0.5b';
  const promptTokens = context.isQuick ? 300 : 600;
  const rows: Row[] = [];
  let versions = {};
  for (const kvType of kvTypes) {
    const kv = await computeKv(context, { modelName, promptTokens, kvType });
    versions = kv.versions;
    rows.push(...rowsOf(kvType, kv.blocks, context));
  }
  const notes = [
    `KV of ${modelName} with random weights, ${promptTokens} random tokens; blocks of 128 tokens. ` +
      'CPU time of one thread. Trained models give other ratios. Encoding includes the trial that chooses the ' +
      'filter. Raw: the trial found that compression does not pay.',
  ];
  return {
    tables: [{ name: 'compression', title: 'Compression of real KV', rows, notes }],
    settings: { model: modelName, promptTokens, level: options.level },
    versions,
    voidReasons: [],
  };
}

/** Blocks of KV that an engine computed. */
export async function computeKv(
  { platform, progress, directory }: BenchContext,
  {
    modelName,
    promptTokens,
    kvType,
  }: {
    readonly modelName: 'tiny' | 'qwen2.5-0.5b';
    readonly promptTokens: number;
    readonly kvType: KvType;
  },
): Promise<RealKv> {
  const modelPath = await randomModelPath(platform, modelName, progress);
  const path = join(directory, `${kvType}.kv`);
  progress.begin(`computing KV of type ${kvType}`);
  const { blockBytes, versions } = await runEngine({
    kind: 'export',
    engine: {
      ...{ modelPath, kvType, contextSize: 1024, sequences: 1, threads: 0 },
      hashMemoryPath: join(demoCacheDirectory(platform), 'model-hashes.json'),
    },
    prompt: randomTokens('compression', promptTokens, randomModels[modelName].vocabularySize),
    path,
  });
  const bytes = new Uint8Array(readFileSync(path));
  rmSync(path);
  progress.end(`${bytes.length / blockBytes} blocks of ${blockBytes} bytes`);
  const count = bytes.length / blockBytes;
  const blocks = Array.from({ length: count }, (_, i) =>
    bytes.slice(i * blockBytes, (i + 1) * blockBytes),
  );
  return { blocks, versions };
}

function rowsOf(kvType: KvType, blocks: readonly Uint8Array[], context: BenchContext): Row[] {
  const zstd = loadZstd();
  const encoded = blocks.map((block) => encodePayload(block, options, zstd));
  const plain = plainBytes(blocks, zstd);
  const raw = sumOf(blocks);
  const stored = sumOf(encoded.map((one) => one.stored));
  const way = [...new Set(encoded.map(({ codec, filter }) => `${codec}, ${filter}`))].join(' / ');
  // The store decodes into memory that its threads share.
  const target = new Uint8Array(new SharedArrayBuffer(blocks[0].length));
  const cases = [
    { name: 'encode', run: () => blocks.forEach((one) => encodePayload(one, options, zstd)) },
    {
      name: 'decode',
      run: () => {
        for (const one of encoded) {
          decodePayloadInto({ ...one, rawLength: target.length }, target, zstd);
        }
      },
    },
  ];
  const { isQuick, limits, rounds } = context;
  const measured = measureInTurns(cases, { rounds: rounds ?? (isQuick ? 3 : 9), roundMs: 50 });
  const against = { what: 'M', value: limits.copyRate };
  const rate = (name: string): readonly number[] => ratesOf(samplesOf(measured, name), raw);
  return [
    rowOf({
      ...{ what: `${kvType}: raw / stored (${way})`, unit: '×', samples: [raw / stored] },
      ...{ against: { what: 'plain zstd, level 1', value: raw / plain }, ...barOf(kvType) },
    }),
    rowOf({ what: `${kvType}: encode`, unit: 'GB/s', samples: rate('encode'), against }),
    rowOf({
      ...{ what: `${kvType}: decode`, unit: 'GB/s', samples: rate('decode'), against },
      ...{ bar: atLeast(decodeRateMin), barOn: 'measured' },
    }),
  ];
}

/** F16 must gain by the filter; BF16 in all; nothing may grow. */
function barOf(kvType: KvType): Pick<RowParts, 'bar' | 'barOn'> {
  if (kvType === 'F16') return { bar: atLeast(1.01) };
  return { bar: atLeast(kvType === 'BF16' ? ratioMinOfBf16 : 1), barOn: 'measured' };
}

function plainBytes(blocks: readonly Uint8Array[], zstd: Zstd): number {
  return sumOf(blocks.map((block) => zstd.compress(block, options.level)));
}

function sumOf(parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) sum += part.length;
  return sum;
}
