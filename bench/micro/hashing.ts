import { blake3, blake3Stream } from '../../src/base/blake3.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { limits } from '../../src/blocks/limits.ts';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { mib } from '../measured-limits.ts';
import { measureInTurns, ratesOf, samplesOf } from '../measure.ts';
import type { TimedCase } from '../measure.ts';
import { rowOf } from '../report.ts';
import type { Row, ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';

/** A case that hashes so many bytes. */
interface HashCase extends TimedCase {
  readonly bytes: number;
}

const chainBlocks = 256;
const kib = 1024;

/** Keys of a chain, digests of payloads, checksums. */
export const hashing: Scenario = {
  name: 'hashing',
  about: 'block keys, BLAKE3 and CRC32C against copying',
  run: (context) => Promise.resolve(run(context)),
};

function run({ isQuick, rounds, limits: { copyRate } }: BenchContext): ScenarioResult {
  const cases = [...chainCases(), ...digestCases(), ...checksumCases()];
  const options = { rounds: rounds ?? (isQuick ? 5 : 15), roundMs: isQuick ? 5 : 20 };
  const measured = measureInTurns(cases, options);
  const rows = cases.flatMap((one): Row[] => {
    const samples = samplesOf(measured, one.name);
    const against = { what: 'M', value: copyRate };
    const rate = rowOf({
      what: one.name,
      unit: 'GB/s',
      samples: ratesOf(samples, one.bytes),
      against,
    });
    if (!one.name.startsWith('keys')) return [rate];
    const time = rowOf({ what: `${one.name}, time`, unit: 'µs', samples: samples.map(inMicros) });
    return [time, rate];
  });
  const table: Table = {
    name: 'hashing',
    title: 'Hashing',
    rows,
    notes: [
      `A block has ${limits.blockTokensUnit} tokens; its key is hashed from 576 bytes. CPU time.`,
    ],
  };
  return { tables: [table], settings: { chainBlocks }, versions: {}, voidReasons: [] };
}

function chainCases(): HashCase[] {
  const blockTokens = limits.blockTokensUnit;
  const tokens = Int32Array.from({ length: chainBlocks * blockTokens }, (_, i) => i);
  const block = tokens.subarray(0, blockTokens);
  const seed = seedOf('benchmark');
  const bytesOfKey = 64 + 4 * blockTokens;
  let growing = new Prefix(seed, blockTokens);
  return [
    {
      name: `keys of ${chainBlocks} blocks`,
      bytes: chainBlocks * bytesOfKey,
      run: () => new Prefix(seed, blockTokens).append(tokens),
    },
    {
      name: 'keys of a chain that grows by one block',
      bytes: bytesOfKey,
      run: () => {
        if (growing.keys.length >= chainBlocks) growing = new Prefix(seed, blockTokens);
        growing.append(block);
      },
    },
  ];
}

function digestCases(): HashCase[] {
  const payload = randomPayload('hashing', 4 * mib);
  return [1, 4].flatMap((size) => {
    const bytes = size * mib;
    const part = payload.subarray(0, bytes);
    return [
      { name: `BLAKE3 of ${size} MiB`, bytes, run: () => blake3(part) },
      {
        name: `BLAKE3 of ${size} MiB, as a stream`,
        bytes,
        run: () => {
          const stream = blake3Stream();
          stream.update(part);
          stream.digestHex();
        },
      },
    ];
  });
}

function checksumCases(): HashCase[] {
  const payload = randomPayload('checksum', mib);
  const sizes = [64, 192, 4 * kib, 64 * kib, mib];
  return sizes.map((bytes) => {
    const part = payload.subarray(0, bytes);
    const size = bytes < kib ? `${bytes} B` : `${bytes / kib} KiB`;
    return { name: `CRC32C of ${size}`, bytes, run: () => crc32c(part) };
  });
}

function inMicros(ms: number): number {
  return ms * 1000;
}
