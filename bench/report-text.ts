import { renderTable, wrapText } from '../src/cli/text-table.ts';
import type { TableColumn } from '../src/cli/text-table.ts';
import type { Bar, Row, Table, Unit } from './report.ts';

const columns: readonly TableColumn[] = [
  { title: 'what', align: 'left' },
  { title: 'measured (min–max of rounds)', align: 'left' },
  { title: 'against, same run', align: 'left' },
  { title: 'ratio', align: 'right' },
  { title: 'bar', align: 'left' },
  { title: 'met', align: 'left' },
];

const noteColumns = 100;

/** The table as text for a terminal. A quick run says so in every row with a bar. */
export function renderText({ title, rows, notes }: Table, isQuick: boolean): string {
  const heading = isQuick ? `${title} (quick)` : title;
  const cells = rows.map((row) => [...cellsOf(row), metText(row, isQuick, 'NO')]);
  const below = notes.map((note) => `\n${wrapText(note, noteColumns)}`).join('');
  return `${heading}\n\n${renderTable(columns, cells)}${below}`;
}

/** The table in Markdown, with its notes below it. */
export function renderMarkdown({ rows, notes }: Table, isQuick: boolean): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  const rule = columns.map(({ align }) => (align === 'left' ? '---' : '---:'));
  const cells = rows.map((row) => [...cellsOf(row), metText(row, isQuick, '**no**')]);
  const lines = [columns.map(({ title }) => title), rule, ...cells].map(line);
  return [...lines, ...notes.map((note) => `\n${wrapText(note, noteColumns).trimEnd()}`)].join(
    '\n',
  );
}

/** A quantity in few digits, with its unit. */
export function formatQuantity(value: number, unit: Unit): string {
  if (unit === 'count') return value.toLocaleString('en-US');
  if (unit === 'bytes') return formatBytes(value);
  if (unit === 'ms' && value >= 10_000) return `${digits(value / 1000)} s`;
  return `${digits(value)} ${unit}`;
}

export function formatBar({ kind, value, unit }: Bar): string {
  return `${kind === 'at least' ? '≥' : '≤'} ${formatQuantity(value, unit)}`;
}

/** All cells but the last. */
function cellsOf({ what, unit, measured, against, ratio, bar }: Row): string[] {
  const { median, min, max, rounds } = measured;
  const value = formatQuantity(median, unit);
  const range = `${formatQuantity(min, unit)} – ${formatQuantity(max, unit)}, ${rounds}`;
  return [
    what,
    rounds === 1 || min === max ? value : `${value} (${range})`,
    against === undefined ? '' : `${against.what}: ${formatQuantity(against.value, against.unit)}`,
    ratio === undefined ? '' : `${digits(ratio)} ×`,
    bar === undefined ? '' : formatBar(bar),
  ];
}

/** Whether the bar is met; the micro model of a quick run proves neither. */
function metText({ isMet }: Row, isQuick: boolean, no: string): string {
  if (isMet === undefined) return '';
  return `${isMet ? 'yes' : no}${isQuick ? ' (quick)' : ''}`;
}

/** Three digits that count, or all before the point. */
function digits(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 100) return value.toLocaleString('en-US', { maximumFractionDigits: 0 });
  if (size >= 10) return value.toFixed(1);
  return size >= 1 ? value.toFixed(2) : value.toPrecision(2);
}

function formatBytes(bytes: number): string {
  let size = bytes;
  let unit = 'B';
  for (const larger of ['KiB', 'MiB', 'GiB']) {
    if (size < 1024) break;
    size /= 1024;
    unit = larger;
  }
  return unit === 'B' ? `${size} B` : `${digits(size)} ${unit}`;
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|');
}
