import { medianOf, summarize } from './statistics.ts';
import type { Summary } from './statistics.ts';

export type Unit = 'ms' | 'µs' | 'ns' | 'GB/s' | '×' | 'bytes' | 'count';

/** One line of a table. */
export interface Row {
  readonly what: string;
  readonly unit: Unit;
  readonly measured: Summary;
  /** The limit or peer of the same run; undefined when the row has none. */
  readonly against: Reference | undefined;
  readonly ratio: number | undefined;
  readonly bar: Bar | undefined;
  /** Undefined without a bar. */
  readonly isMet: boolean | undefined;
}

export interface Reference {
  readonly what: string;
  readonly unit: Unit;
  readonly value: number;
}

/** What the ratio, or what was measured, must reach. */
export interface Bar {
  readonly kind: 'at least' | 'at most';
  readonly value: number;
  /** `×` is for the ratio. */
  readonly unit: Unit;
}

export interface Table {
  /** Names the markers around the table in docs/BENCHMARKS.md. */
  readonly name: string;
  readonly title: string;
  readonly rows: readonly Row[];
  /** What a reader must know to read the rows. */
  readonly notes: readonly string[];
}

/** What one scenario brought. */
export interface ScenarioResult {
  readonly tables: readonly Table[];
  /** What was measured: model, sizes, rounds. */
  readonly settings: Readonly<Record<string, string | number>>;
  readonly versions: Readonly<Record<string, string>>;
  /** Why the figures must not be used; empty when they may. */
  readonly voidReasons: readonly string[];
}

/** What a row is held against. */
export interface ReferenceParts {
  readonly what: string;
  /**
   * Its value; or that of each round, in which both sides met the same moods of the machine: then the
   * ratio is the median of the rounds' own ratios.
   */
  readonly value: number | readonly number[];
  readonly unit?: Unit;
}

export interface RowParts {
  readonly what: string;
  readonly unit: Unit;
  readonly samples: readonly number[];
  readonly against?: ReferenceParts;
  /** `share`: measured / reference. `speed-up`: reference / measured. */
  readonly ratio?: 'share' | 'speed-up';
  /** Of the ratio; without a reference, or with `barOn`, of what was measured. */
  readonly bar?: Pick<Bar, 'kind' | 'value'>;
  readonly barOn?: 'measured';
}

/** A row of its samples, with its ratio and whether it meets its bar. */
export function rowOf(parts: RowParts): Row {
  const { what, unit, samples, against, bar, barOn } = parts;
  const measured = summarize(samples);
  const ratio = against === undefined ? undefined : ratioOf(samples, against.value, parts.ratio);
  const judged = barOn === 'measured' ? undefined : ratio;
  return {
    what,
    unit,
    measured,
    against: against === undefined ? undefined : { unit, ...against, value: valueOf(against) },
    ratio,
    bar: bar === undefined ? undefined : { ...bar, unit: judged === undefined ? unit : '×' },
    isMet: bar === undefined ? undefined : meets(judged ?? measured.median, bar),
  };
}

export function atLeast(value: number): Pick<Bar, 'kind' | 'value'> {
  return { kind: 'at least', value };
}

export function atMost(value: number): Pick<Bar, 'kind' | 'value'> {
  return { kind: 'at most', value };
}

function valueOf({ value }: ReferenceParts): number {
  return typeof value === 'number' ? value : medianOf(value);
}

function ratioOf(
  samples: readonly number[],
  value: ReferenceParts['value'],
  kind: RowParts['ratio'] = 'share',
): number {
  if (typeof value === 'number') {
    return kind === 'share' ? medianOf(samples) / value : value / medianOf(samples);
  }
  if (value.length !== samples.length) {
    throw new RangeError(`${samples.length} rounds are held against ${value.length}`);
  }
  return medianOf(
    samples.map((sample, round) =>
      kind === 'share' ? sample / value[round] : value[round] / sample,
    ),
  );
}

function meets(value: number, bar: Pick<Bar, 'kind' | 'value'>): boolean {
  return bar.kind === 'at least' ? value >= bar.value : value <= bar.value;
}
