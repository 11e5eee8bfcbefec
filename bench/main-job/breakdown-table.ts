import type { AnswerResult } from '../engine/engine-job.ts';
import type { Span, SpanName } from '../engine/spans.ts';
import { rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import type { Answers } from './answers.ts';

/** Parts of a restored TTFT, in milliseconds. `tail` is under way beside `load`. */
interface Parts {
  readonly keys: number;
  readonly lookup: number;
  readonly load: number;
  readonly tail: number;
  readonly image: number;
  readonly loadState: number;
  readonly decode: number;
}

const names: Readonly<Record<keyof Parts, string>> = {
  keys: 'hashing the keys',
  lookup: 'lookup',
  load: 'load of the blocks, verified',
  tail: 'load of the tail, beside it',
  image: 'state file: image and write',
  loadState: "the engine's own load",
  decode: 'prefill of what is left, first decode',
};

/** Where the restored TTFT goes. */
export function breakdownTable(answers: Answers): Table {
  return {
    name: 'main-job-breakdown',
    title: 'Where the restored TTFT goes',
    rows: [...rowsOf('restart', answers.restored), ...rowsOf('cache wiped', answers.wiped)],
    notes: ['Medians of the same processes as above, taken around the calls of store and engine.'],
  };
}

function rowsOf(label: string, results: readonly AnswerResult[]): Row[] {
  const parts = results.map(partsOf);
  const whole = medianOf(results.map(({ firstTokenMs }) => firstTokenMs));
  const against = { what: 'TTFT', value: whole };
  const keys = Object.keys(names) as (keyof Parts)[];
  const rows = keys.map((key) =>
    rowOf({
      what: `${label}: ${names[key]}`,
      ...{ unit: 'ms', samples: parts.map((one) => one[key]), against },
    }),
  );
  const cpu = results.map(({ firstTokenCpuMs }) => firstTokenCpuMs);
  return [
    ...rows,
    rowOf({ what: `${label}: CPU time of all threads`, unit: 'ms', samples: cpu, against }),
  ];
}

function partsOf({ spans, firstTokenMs }: AnswerResult): Parts {
  const find = (name: SpanName): Span | undefined => spans.find((span) => span.name === name);
  const lookup = find('lookup');
  const load = find('load');
  const tail = find('loadTail');
  const loadState = find('loadState');
  const loadedMs = Math.max(load?.endMs ?? 0, tail?.endMs ?? 0);
  // What follows the restore: a prefill of what was not stored, and the decode of the last token.
  const restEndMs = loadState?.endMs ?? loadedMs;
  return {
    keys: lookup?.startMs ?? 0,
    lookup: lengthOf(lookup),
    load: lengthOf(load),
    tail: lengthOf(tail),
    image: loadState === undefined ? 0 : loadState.startMs - loadedMs,
    loadState: lengthOf(loadState),
    decode: firstTokenMs - restEndMs,
  };
}

function lengthOf(span: Span | undefined): number {
  return span === undefined ? 0 : span.endMs - span.startMs;
}
