import { warmRows } from './engine-sequence/sequence-table.ts';
import { ttftRows } from './main-job/ttft-table.ts';
import { formatQuantity } from './report-text.ts';
import type { Row } from './report.ts';
import type { ResultFile } from './result-file.ts';

interface Bar {
  readonly label: string;
  readonly ms: number;
  /** What stands behind the number. */
  readonly note: string;
  readonly color: string;
}

/** Colours and grey that show on white and on black. */
const colors = { cold: '#c2703d', restored: '#3f8f6b', wiped: '#4a86c5', decode: '#8a8f98' };
const grey = '#808690';

const width = 760;
const labelWidth = 230;
const noteWidth = 150;
const barHeight = 26;
const step = 42;
const top = 50;

/** The charts of a result: texts by the names of their files in docs/images. */
export function drawCharts(result: ResultFile): ReadonlyMap<string, string> {
  const charts = new Map<string, string>();
  const ttft = drawTtftChart(result);
  if (ttft !== undefined) charts.set('ttft.svg', ttft);
  const modes = drawModesChart(result);
  if (modes !== undefined) charts.set('restore-modes.svg', modes);
  return charts;
}

/** One restore by mode as a chart; undefined when the result has none. */
export function drawModesChart(result: ResultFile): string | undefined {
  const table = result.tables.find(({ name }) => name === warmRows.tableName);
  if (table === undefined) return undefined;
  const modes = warmRows.byMode.map(({ mode, what }) => ({
    ...{ label: mode, ms: medianOf(table.rows, what), note: '', color: colors.restored },
  }));
  const files = medianOf(table.rows, warmRows.files);
  const bars = [...modes, { label: 'plain files', ms: files, note: '', color: colors.decode }];
  const title = 'Restore of 40 blocks of 1 MiB and a tail by mode, memory warm, log scale';
  return drawBars(result.isQuick ? `${title} (quick)` : title, bars);
}

/** The TTFT rows as a chart; undefined when the result has none. */
export function drawTtftChart(result: ResultFile): string | undefined {
  const table = result.tables.find(({ name }) => name === 'main-job');
  if (table === undefined) return undefined;
  const { prompt, model } = {
    prompt: result.settings['promptTokens'],
    model: result.settings['model'],
  };
  const title = `Time to first token, ${prompt} tokens, ${model}, one core, log scale`;
  return drawBars(result.isQuick ? `${title} (quick)` : title, barsOf(table.rows));
}

function barsOf(rows: readonly Row[]): Bar[] {
  const median = (what: string): number => medianOf(rows, what);
  const cold = median(ttftRows.alone);
  const faster = (ms: number): string => `${(cold / ms).toFixed(0)} × faster`;
  const restored = median(ttftRows.restored);
  const wiped = median(ttftRows.wiped);
  return [
    { label: 'cold, without WombatKV', ms: cold, note: '', color: colors.cold },
    {
      ...{ label: 'restored after restart', ms: restored, color: colors.restored },
      note: faster(restored),
    },
    { label: 'restored, cache wiped', ms: wiped, note: faster(wiped), color: colors.wiped },
    { label: 'one decode step', ms: median(ttftRows.decode), note: '', color: colors.decode },
  ];
}

function medianOf(rows: readonly Row[], what: string): number {
  const row = rows.find((one) => one.what === what);
  if (row === undefined) throw new RangeError(`the table has no row ${what}`);
  return row.measured.median;
}

function drawBars(title: string, bars: readonly Bar[]): string {
  const height = top + bars.length * step + 34;
  const { least, most } = decadesOf(bars);
  const scale = (ms: number): number =>
    ((Math.log10(ms) - least) / (most - least)) * (width - labelWidth - noteWidth);
  const bottom = top + bars.length * step;
  const lines = Array.from({ length: most - least + 1 }, (_, i) => {
    const ms = 10 ** (least + i);
    const x = (labelWidth + scale(ms)).toFixed(1);
    return (
      `  <line x1="${x}" y1="${top - 8}" x2="${x}" y2="${bottom}" stroke="${grey}" stroke-opacity="0.35"/>\n` +
      `  <text x="${x}" y="${bottom + 18}" text-anchor="middle" font-size="12">${tickOf(ms)}</text>`
    );
  });
  const shapes = bars.map(({ label, ms, note, color }, index) => {
    const y = top + index * step + (step - barHeight) / 2;
    const barWidth = Math.max(2, scale(ms)).toFixed(1);
    const middle = y + barHeight / 2 + 5;
    const value = [formatQuantity(ms, 'ms'), note].filter((part) => part !== '').join(', ');
    const end = (labelWidth + Number(barWidth) + 8).toFixed(1);
    return (
      `  <text x="${labelWidth - 10}" y="${middle}" text-anchor="end">${escaped(label)}</text>\n` +
      `  <rect x="${labelWidth}" y="${y}" width="${barWidth}" height="${barHeight}" rx="3" fill="${color}"/>\n` +
      `  <text x="${end}" y="${middle}">${escaped(value)}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}"` +
      ` height="${height}" role="img" aria-label="${escaped(title)}"` +
      ` font-family="system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif" font-size="14" fill="${grey}">`,
    `  <title>${escaped(title)}</title>`,
    `  <text x="14" y="24" font-size="15" font-weight="600">${escaped(title)}</text>`,
    ...lines,
    ...shapes,
    '</svg>',
    '',
  ].join('\n');
}

/** Powers of ten below and above all bars; a bar at the lower one would have no length. */
function decadesOf(bars: readonly Bar[]): { readonly least: number; readonly most: number } {
  const all = bars.map(({ ms }) => ms);
  const least = Math.floor(Math.log10(Math.min(...all)));
  return { least, most: Math.max(least + 1, Math.ceil(Math.log10(Math.max(...all)))) };
}

function tickOf(ms: number): string {
  return ms >= 1000 ? `${ms / 1000} s` : `${ms} ms`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
