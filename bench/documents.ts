import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { renderMarkdown } from './report-text.ts';
import type { Table } from './report.ts';
import type { ResultFile } from './result-file.ts';
import { drawCharts } from './chart.ts';

/**
 * The documents with the tables of the results in docs/BENCHMARKS.md, and the charts: texts by the paths where they are to
 * lie.
 */
export async function renderDocuments(
  root: string,
  results: readonly ResultFile[],
): Promise<ReadonlyMap<string, string>> {
  const page = join(root, 'docs', 'BENCHMARKS.md');
  const charts = new Map<string, string>();
  let text = existsSync(page) ? readFileSync(page, 'utf8') : '# Benchmarks\n';
  for (const result of results) {
    text = withTable(text, { ...result.limits, name: 'limits' }, result);
    for (const table of result.tables) text = withTable(text, table, result);
    for (const [name, chart] of drawCharts(result)) {
      charts.set(join(root, 'docs', 'images', name), chart);
    }
  }
  // The tables' columns are aligned as the formatter wants them.
  const options = (await resolveConfig(page)) ?? {};
  return new Map([[page, await format(text, { ...options, filepath: page })], ...charts]);
}

/** Replaces what stands between the table's markers; without markers the table goes to the end. */
export function withTable(page: string, table: Table, result: ResultFile): string {
  const begin = `<!-- bench:${table.name} -->`;
  const end = `<!-- /bench:${table.name} -->`;
  const block = `${begin}\n\n${originOf(result)}\n\n${renderMarkdown(table, result.isQuick)}\n\n${end}`;
  const from = page.indexOf(begin);
  const to = page.indexOf(end);
  if (from >= 0 && to > from) return page.slice(0, from) + block + page.slice(to + end.length);
  return `${page.trimEnd()}\n\n## ${table.title}\n\n${block}\n`;
}

/** The line above a table: where, when and of what its figures are. */
function originOf({ machine, source, date, isQuick, voidReasons }: ResultFile): string {
  const gibibytes = Math.round(machine.memoryBytes / 1024 ** 3);
  const commit = `${source.commit}${source.isChanged ? ' with changes' : ''}`;
  const parts = [
    `${machine.cpu}, ${machine.cores} cores, ${gibibytes} GiB`,
    `${machine.kernel}, Node ${machine.node}`,
    `load ${machine.loadAverage[0]}`,
    `commit ${commit}, ${date.slice(0, 10)}`,
  ];
  const quick = isQuick ? '**Quick run: the figures prove nothing.** ' : '';
  const isVoid = voidReasons.length > 0 ? `**Void: ${voidReasons.join('; ')}.** ` : '';
  return `${quick}${isVoid}${parts.join(' · ')}.`;
}
