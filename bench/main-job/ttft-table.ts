import { limits } from '../../src/blocks/limits.ts';
import type { AnswerResult } from '../engine/engine-job.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import type { Answers } from './answers.ts';
import type { JobSetup } from './job-setup.ts';

/** Rows that the chart shows. */
export const ttftRows = {
  alone: 'TTFT, engine alone (uncached control)',
  cold: 'TTFT, cold: WombatKV, nothing stored',
  restored: 'TTFT, restored after restart',
  wiped: 'TTFT, restored with the cache wiped',
  decode: 'one decode step',
} as const;

export type Cores = 'one core' | 'all cores';

/** The rows of the restored prompt. Bars hold for one core. */
export function ttftTable(job: JobSetup, answers: Answers, cores: Cores): Table {
  const rows = [...ttftRowsOf(answers), ...wipedRows(job, answers), equalityRow(answers)];
  const isOne = cores === 'one core';
  return {
    name: isOne ? 'main-job' : 'main-job-all-cores',
    title: `Main job, ${cores}`,
    rows: isOne ? rows : rows.map((row) => ({ ...row, bar: undefined, isMet: undefined })),
    notes: [
      `${job.modelName}, ${job.prompt.length} tokens, F16 KV, context ${job.engine.contextSize}, ` +
        `batch 512, flash attention auto, ${cores}. TTFT: from the tokens handed to a loaded, ` +
        'warmed, fresh process to the first token. Files are in the page cache. A cold process is held ' +
        'against the one of its round without WombatKV, and what remains against the decode steps of ' +
        'its own process; the ratios of these two rows are the medians over the rounds.',
    ],
  };
}

function ttftRowsOf({ alone, cold, restored, wiped }: Answers): Row[] {
  const ms = (results: readonly AnswerResult[]): number[] =>
    results.map(({ firstTokenMs }) => firstTokenMs);
  const decode = [...restored, ...wiped].map(({ decodeMs }) => medianOf(decodeMs));
  const control = { what: 'engine alone', value: medianOf(ms(alone)) };
  // Each process is held to the decode steps that it took itself.
  const limitMs = restored.map(({ decodeMs }) => 1.25 * medianOf(decodeMs) + 15);
  const unit = 'ms';
  const restoredMs = ms(restored);
  return [
    rowOf({ what: ttftRows.alone, unit, samples: ms(alone) }),
    rowOf({
      ...{ what: ttftRows.cold, unit, samples: ms(cold), bar: atMost(1.02) },
      against: { what: 'engine alone', value: ms(alone) },
    }),
    rowOf({
      ...{ what: ttftRows.restored, unit, samples: restoredMs, against: control },
      ...{ ratio: 'speed-up', bar: atLeast(105) },
    }),
    rowOf({
      ...{ what: ttftRows.wiped, unit, samples: ms(wiped), against: control },
      ...{ ratio: 'speed-up', bar: atLeast(90) },
    }),
    rowOf({
      ...{ what: 'the same, against the local restore', unit, samples: ms(wiped) },
      ...{ against: { what: 'restored', value: medianOf(restoredMs) }, bar: atMost(1.5) },
    }),
    rowOf({ what: ttftRows.decode, unit, samples: decode }),
    rowOf({
      ...{ what: 'what remains of the restored TTFT', unit, samples: restoredMs },
      ...{ against: { what: '1.25 × decode + 15 ms', value: limitMs }, bar: atMost(1) },
    }),
  ];
}

/** Where the bytes of the wiped restore came from, and what was asked of the object store. */
function wipedRows({ prompt }: JobSetup, { wiped }: Answers): Row[] {
  const blocks = Math.floor((prompt.length - 1) / limits.blockTokensUnit);
  const requestsMax = blocks + 2 + Math.floor(3 + blocks / 64);
  const uses = wiped.flatMap(({ use }) => use ?? []);
  const localBytes = uses.map(({ memoryBytes, diskBytes }) => memoryBytes + diskBytes);
  const gets = uses.map(({ requests }) => requests.get);
  const others = uses.map(({ requests: { put, head, list } }) => put + head + list);
  return [
    rowOf({
      ...{ what: 'cache wiped: bytes from memory and disk', unit: 'bytes', samples: localBytes },
      bar: atMost(0),
    }),
    rowOf({
      what: 'cache wiped: bytes of payloads from the object store',
      unit: 'bytes',
      samples: uses.map(({ objectBytes }) => objectBytes),
    }),
    rowOf({
      what: `cache wiped: GETs for ${blocks} blocks and a tail`,
      ...{ unit: 'count', samples: gets, bar: atMost(requestsMax) },
    }),
    rowOf({ what: 'cache wiped: other requests', unit: 'count', samples: others }),
  ];
}

function equalityRow({ cold, restored, wiped, reference }: Answers): Row {
  const expected = reference.tokens.join(' ');
  const all = [...cold, ...restored, ...wiped];
  const equal = all.filter(({ tokens }) => tokens.join(' ') === expected).length;
  return rowOf({
    what: `answers equal to the uncached one, of ${all.length}`,
    ...{ unit: 'count', samples: [equal], bar: atLeast(all.length) },
  });
}
