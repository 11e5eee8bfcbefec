import { assertDefined } from '../../base/assert.ts';
import { formatCount, formatDuration, formatPayloads, formatRatio } from '../quantity.ts';
import type { Output, TextStyle } from '../terminal.ts';
import { renderTable, wrapText } from '../text-table.ts';
import type { DemoReport, DemoRow, DemoRowName } from './demo-report.ts';

const titles: Readonly<Record<DemoRowName, string>> = {
  cold: 'cold',
  restarted: 'restarted',
  'cache-wiped': 'cache wiped',
  'other-ending-cold': 'other ending, cold',
  'other-ending': 'other ending, restored',
};

const columnsMax = 100;
/** Below it, times tell more about the moment than about the store. */
const tellingRatioMin = 1.5;

/** The report as a person reads it: what happened, where it came from, and what it means. */
export function demoText(output: Output, report: DemoReport): string {
  const width = Math.min(output.columns, columnsMax);
  const parts = [
    timesTable(output, report.rows),
    tiersTable(output, report.rows),
    notesOf(report)
      .map((note) => styleLines(output, 'dim', wrapText(note, width)))
      .join(''),
    conclusion(output, report, width),
  ];
  return `\n${parts.join('\n')}`;
}

function timesTable(output: Output, rows: readonly DemoRow[]): string {
  const columns = [
    { title: '', align: 'left' },
    { title: 'first token', align: 'right' },
    { title: 'faster', align: 'right' },
    { title: 'tokens computed', align: 'right' },
    { title: 'restored', align: 'right' },
    { title: 'same answer', align: 'left' },
  ] as const;
  const cells = rows.map((row) => [
    titles[row.name],
    formatDuration(row.firstTokenMs),
    row.isAnswerEqual === undefined ? '' : output.style('bold', formatRatio(row.ratio)),
    formatCount(row.computedTokens),
    formatCount(row.restoredTokens),
    equalText(output, row.isAnswerEqual),
  ]);
  return renderTable(columns, cells, (text) => output.style('bold', text));
}

function equalText(output: Output, isEqual: boolean | undefined): string {
  if (isEqual === undefined) return '(reference)';
  return isEqual ? output.style('green', 'yes') : output.style('red', 'NO');
}

function tiersTable(output: Output, rows: readonly DemoRow[]): string {
  const columns = [
    { title: 'up to the first token', align: 'left' },
    { title: 'from memory', align: 'left' },
    { title: 'from disk', align: 'left' },
    { title: 'from the object store', align: 'left' },
    { title: 'requests to it', align: 'left' },
  ] as const;
  const cells = rows.map(({ name, store }) => [
    titles[name],
    ...[store.memory, store.disk, store.object].map(({ payloads, bytes }) =>
      formatPayloads(payloads, bytes),
    ),
    requestsText(store.requests),
  ]);
  return renderTable(columns, cells, (text) => output.style('bold', text));
}

/** `14 get, 1 head`; a dash when there were none. */
function requestsText(requests: DemoRow['store']['requests']): string {
  const made = Object.entries(requests).filter(([, count]) => count > 0);
  return made.length === 0 ? '–' : made.map(([verb, count]) => `${count} ${verb}`).join(', ');
}

function notesOf({ settings, rows, ...report }: DemoReport): readonly string[] {
  const [cold] = rows;
  const { threads, device, contextSize, batchSize } = settings;
  const cores = threads === 1 ? '1 thread' : `${threads} threads`;
  const notes = [
    `Model ${settings.modelName}; ${device}, ${cores}, context ${formatCount(contextSize)}, batch ` +
      `${batchSize}, attention auto. Prompt of ${formatCount(cold.promptTokens)} tokens, of which the ` +
      `other ending shares ${formatCount(report.sharedTokens)} (restored by blocks of 128); answers ` +
      `of ${report.answerTokens} tokens, greedy, ${report.distinctTokens} of them different.`,
    'Every row is a process of its own. The time counts from the tokens handed to a loaded, warmed ' +
      'engine; "faster" is against the cold answer to the same prompt. --threads 1 is the method of ' +
      "the project's benchmarks.",
  ];
  if (settings.isQuick) {
    notes.push(
      'The model of --quick is a toy that computes as fast as anything can be restored: its times ' +
        'and ratios say nothing. Without --quick the model has the dimensions of a real one.',
    );
  }
  if (!settings.isRandomModel) notes.push(`It answered: ${JSON.stringify(report.answerText)}`);
  if (report.keptIn !== undefined) {
    const flags = `--store ${settings.objectStore} --namespace ${settings.namespace}`;
    notes.push(`Kept: ${report.keptIn}. Look at it with: wombatkv ls ${flags}`);
  }
  return notes;
}

function conclusion(output: Output, report: DemoReport, width: number): string {
  if (!report.isGood) {
    const lines = report.problems.map((problem) => wrapText(`- ${problem}`, width, '  '));
    return `${output.style('red', 'The demo did not show what it should:')}\n${lines.join('')}`;
  }
  const text = hasTellingTimes(report) ? conclusionByTimes(report) : conclusionByTokens(report);
  return styleLines(output, 'bold', wrapText(text, width));
}

function styleLines(output: Output, style: TextStyle, lines: string): string {
  return lines.replaceAll(/^.+$/gm, (line) => output.style(style, line));
}

/** A toy model, or a fast machine, computes as fast as anything can be restored. */
function hasTellingTimes({ rows, settings }: DemoReport): boolean {
  return !settings.isQuick && rowOf(rows, 'cache-wiped').ratio >= tellingRatioMin;
}

function conclusionByTimes({ rows }: DemoReport): string {
  const needed = (name: DemoRowName): string => {
    const { firstTokenMs, ratio } = rowOf(rows, name);
    return `${formatDuration(firstTokenMs)} (${formatRatio(ratio)})`;
  };
  const cold = formatDuration(rowOf(rows, 'cold').firstTokenMs);
  return (
    `Without WombatKV the engine needed ${cold} before it could say the first word of its answer. ` +
    `It was killed and started again, and with what WombatKV had kept it needed ` +
    `${needed('restarted')}; with nothing but the object store left, ${needed('cache-wiped')}. ` +
    'The answers are the same, token for token.'
  );
}

function conclusionByTokens({ rows }: DemoReport): string {
  const restored = (name: DemoRowName): string => formatCount(rowOf(rows, name).restoredTokens);
  return (
    `The engine computed ${formatCount(rowOf(rows, 'cold').promptTokens)} tokens before its answer. ` +
    `It was killed and started again, and ${restored('restarted')} of them came back from what ` +
    `WombatKV had kept; with nothing but the object store left, ${restored('cache-wiped')}. ` +
    'The answers are the same, token for token.'
  );
}

function rowOf(rows: readonly DemoRow[], name: DemoRowName): DemoRow {
  return assertDefined(
    rows.find((row) => row.name === name),
    `row ${name}`,
  );
}
