import { stripVTControlCharacters } from 'node:util';

export interface TableColumn {
  readonly title: string;
  /** Numbers stand on the right. */
  readonly align: 'left' | 'right';
}

const gap = '  ';

/** A table of text, one line for each row, every line ended. Cells may be styled. */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  styleTitle: (text: string) => string = (text) => text,
): string {
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, index) =>
    Math.max(...[titles, ...rows].map((row) => visibleLength(row[index] ?? ''))),
  );
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ align }, index) => padded(cells[index] ?? '', widths[index], align))
      .join(gap)
      .trimEnd();
  const lines = [styleTitle(line(titles)), ...rows.map(line)];
  return lines.map((text) => `${text}\n`).join('');
}

/** Lines of a name and its value, the values below each other. */
export function renderFacts(
  facts: readonly (readonly [name: string, value: string])[],
  indent = '',
): string {
  const width = Math.max(0, ...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${indent}${name.padEnd(width)}  ${value}\n`).join('');
}

/** The words of the text in lines of at most `columns` characters, each after the indent. */
export function wrapText(text: string, columns: number, indent = ''): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > columns) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((part) => `${indent}${part}\n`).join('');
}

function padded(cell: string, width: number, align: TableColumn['align']): string {
  const space = ' '.repeat(Math.max(0, width - visibleLength(cell)));
  return align === 'left' ? cell + space : space + cell;
}

/** Characters on the screen: styles take none. */
function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}
