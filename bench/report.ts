import { summarize } from './statistics.ts';
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

export interface RowParts {
  readonly what: string;
  readonly unit: Unit;
  readonly samples: readonly number[];
  readonly against?: { readonly what: string; readonly value: number; readonly unit?: Unit };
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
  const ratio =
    against === undefined ? undefined : ratioOf(measured.median, against.value, parts.ratio);
  const judged = barOn === 'measured' ? undefined : ratio;
  return {
    what,
    unit,
    measured,
    against: against === undefined ? undefined : { unit, ...against },
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

function ratioOf(measured: number, against: number, kind: RowParts['ratio'] = 'share'): number {
  return kind === 'share' ? measured / against : against / measured;
}

function meets(value: number, bar: Pick<Bar, 'kind' | 'value'>): boolean {
  return bar.kind === 'at least' ? value >= bar.value : value <= bar.value;
}
