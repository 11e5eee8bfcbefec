import { assert } from '../base/assert.ts';

/** Values of the labels of one series, by name. They come from fixed sets, so series are few. */
export type Labels = Readonly<Record<string, string>>;

/** One line of a family: its labels and its value now. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Upper bounds of histograms of calls, in seconds: from a local answer to a slow object store. */
export const latencyBuckets: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30,
];

/** Series of one family at most: more would mean that a label holds what clients choose. */
const seriesMax = 1000;

/** A number that only grows, by labels. */
export class Counter {
  readonly #series = new Map<string, { readonly labels: Labels; value: number }>();

  add(labels: Labels, value = 1): void {
    seriesOf(this.#series, labels, () => ({ labels, value: 0 })).value += value;
  }

  get samples(): readonly Sample[] {
    return [...this.#series.values()];
  }
}

interface HistogramSeries {
  readonly labels: Labels;
  readonly counts: number[];
  sum: number;
  count: number;
}

/** How long things took, by labels, in seconds. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, HistogramSeries>();

  constructor(bounds: readonly number[] = latencyBuckets) {
    this.#bounds = bounds;
  }

  observe(labels: Labels, seconds: number): void {
    const counts = (): number[] => this.#bounds.map(() => 0);
    const make = (): HistogramSeries => ({ labels, counts: counts(), sum: 0, count: 0 });
    const series = seriesOf(this.#series, labels, make);
    const index = this.#bounds.findIndex((bound) => seconds <= bound);
    if (index >= 0) series.counts[index] += 1;
    series.sum += seconds;
    series.count += 1;
  }

  render(name: string): string {
    let text = '';
    for (const { labels, counts, sum, count } of this.#series.values()) {
      let below = 0;
      counts.forEach((inBucket, index) => {
        below += inBucket;
        text += line(`${name}_bucket`, { ...labels, le: String(this.#bounds[index]) }, below);
      });
      text += line(`${name}_bucket`, { ...labels, le: '+Inf' }, count);
      text += line(`${name}_sum`, labels, sum);
      text += line(`${name}_count`, labels, count);
    }
    return text;
  }
}

/** One family in the text format of Prometheus. */
export function renderFamily(
  head: {
    readonly name: string;
    readonly type: 'counter' | 'gauge' | 'histogram';
    readonly help: string;
  },
  body: readonly Sample[] | Histogram,
): string {
  const { name, type, help } = head;
  assert(/^[a-z][a-z0-9_]*$/.test(name), `a name of Prometheus: ${name}`);
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  const heading = `# HELP ${name} ${escaped}\n# TYPE ${name} ${type}\n`;
  if (body instanceof Histogram) return heading + body.render(name);
  return heading + body.map(({ labels, value }) => line(name, labels, value)).join('');
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapedLabel(text)}"`);
  return `${name}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
}

function escapedLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function seriesOf<Series>(series: Map<string, Series>, labels: Labels, make: () => Series): Series {
  const key = JSON.stringify(labels);
  const known = series.get(key);
  if (known !== undefined) return known;
  assert(series.size < seriesMax, `more than ${seriesMax} series of one metric`);
  const made = make();
  series.set(key, made);
  return made;
}
