import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { limits } from '../../src/blocks/limits.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { decodeFrameHeader, encodeFrameHeader, namespaceDigestOf } from '../../src/format/frame.ts';
import type { FrameHeader } from '../../src/format/frame.ts';
import { mib } from '../measured-limits.ts';
import { measureInTurns, samplesOf } from '../measure.ts';
import type { TimedCase } from '../measure.ts';
import { rowOf } from '../report.ts';
import type { ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';

/** Headers of frames, beside the time that copying a payload takes. */
export const framing: Scenario = {
  name: 'framing',
  about: 'encoding and decoding the headers of objects',
  run: (context) => Promise.resolve(run(context)),
};

function run({ isQuick, rounds, limits: { copyRate } }: BenchContext): ScenarioResult {
  const cases = [0, limits.followingKeysMax].flatMap(casesWith);
  const options = { rounds: rounds ?? (isQuick ? 5 : 15), roundMs: isQuick ? 5 : 20 };
  const measured = measureInTurns(cases, options);
  const copyMicros = mib / copyRate / 1000;
  const rows = cases.map(({ name }) =>
    rowOf({
      what: name,
      unit: 'µs',
      samples: samplesOf(measured, name).map((ms) => ms * 1000),
      against: { what: 'copy of 1 MiB at M', value: copyMicros },
    }),
  );
  const table: Table = { name: 'framing', title: 'Framing', rows, notes: ['CPU time.'] };
  return { tables: [table], settings: {}, versions: {}, voidReasons: [] };
}

function casesWith(followingCount: number): TimedCase[] {
  const header = headerWith(followingCount);
  const bytes = encodeFrameHeader(header);
  const name = `a header with ${followingCount} following keys`;
  return [
    { name: `encode ${name}`, run: () => encodeFrameHeader(header) },
    { name: `decode and check ${name}`, run: () => decodeFrameHeader(bytes) },
  ];
}

function headerWith(followingCount: number): FrameHeader {
  const key = parseBlockKey('5a'.repeat(32));
  return {
    kind: 'block',
    codec: 'zstd',
    filter: 'shuffle2',
    hasDecodedTokens: false,
    tokens: limits.blockTokensUnit,
    position: 0,
    rawLength: mib,
    storedLength: mib / 2,
    rawCrc: 1,
    storedCrc: 2,
    key,
    parent: key,
    namespaceDigest: namespaceDigestOf(parseNamespace('default')),
    fingerprint: key,
    following: Array.from({ length: followingCount }, () => key),
  };
}
