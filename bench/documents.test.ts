import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawCharts, drawModesChart, drawTtftChart } from './chart.ts';
import { warmRows } from './engine-sequence/sequence-table.ts';
import { withTable } from './documents.ts';
import { ttftRows } from './main-job/ttft-table.ts';
import { atLeast, atMost, rowOf } from './report.ts';
import type { Row, Table } from './report.ts';
import type { ResultFile } from './result-file.ts';

const rows: readonly Row[] = [
  [ttftRows.alone, 20_000],
  [ttftRows.restored, 150],
  [ttftRows.wiped, 170],
  [ttftRows.decode, 110],
].map(([what, ms]) => rowOf({ what: String(what), unit: 'ms', samples: [Number(ms)] }));

const table: Table = { name: 'main-job', title: 'Main job', rows, notes: [] };

const result: ResultFile = {
  scenario: 'main-job',
  isQuick: false,
  date: '2026-01-02T03:04:05.000Z',
  machine: {
    ...{ cpu: 'A CPU', cores: 2, memoryBytes: 8 * 1024 ** 3, kernel: 'Linux 6', node: 'v20' },
    loadAverage: [0.1, 0, 0],
  },
  source: { commit: 'abc', isChanged: false },
  limits: { ...table, name: 'limits' },
  tables: [table],
  settings: { promptTokens: 1700, model: 'some-model' },
  versions: {},
  voidReasons: [],
};

describe('withTable', () => {
  const page =
    '# Title\n\nBefore.\n\n<!-- bench:main-job -->\n\nold\n\n<!-- /bench:main-job -->\n\nAfter.\n';

  it('replaces only what stands between the markers', () => {
    const written = withTable(page, table, result);
    assert.match(written, /^# Title\n\nBefore\.\n\n<!-- bench:main-job -->\n/);
    assert.match(written, /<!-- \/bench:main-job -->\n\nAfter\.\n$/);
    assert.match(written, /\| one decode step \| 110 ms \|/);
    assert.doesNotMatch(written, /old/);
  });

  it('changes nothing when the figures are the same', () => {
    const once = withTable(page, table, result);
    assert.equal(withTable(once, table, result), once);
  });

  it('adds a section at the end when the page has no markers', () => {
    assert.match(withTable('# Title\n', table, result), /^# Title\n\n## Main job\n\n<!-- bench/);
  });

  it('says above the table when the figures prove nothing', () => {
    assert.match(withTable(page, table, { ...result, isQuick: true }), /Quick run/);
    assert.match(withTable(page, table, { ...result, voidReasons: ['dull'] }), /Void: dull/);
  });
});

describe('rowOf', () => {
  const parts = {
    what: 'x',
    unit: 'ms',
    samples: [10],
    against: { what: 'y', value: 20 },
  } as const;

  it('judges the ratio, or on request what was measured', () => {
    assert.equal(rowOf({ ...parts, bar: atMost(0.5) }).isMet, true);
    assert.equal(rowOf({ ...parts, ratio: 'speed-up', bar: atLeast(2.1) }).isMet, false);
    assert.equal(rowOf({ ...parts, bar: atMost(9), barOn: 'measured' }).isMet, false);
  });

  it('has no verdict without a bar', () => {
    assert.equal(rowOf(parts).isMet, undefined);
  });
});

describe('drawTtftChart', () => {
  it('draws one bar for each row, longer for longer times', () => {
    const svg = drawTtftChart(result) ?? '';
    const widths = [...svg.matchAll(/<rect [^>]*width="([\d.]+)"/g)].map(([, width]) =>
      Number(width),
    );
    assert.equal(widths.length, 4);
    const [cold, restored, wiped, decode] = widths;
    assert.ok(cold > wiped && wiped > restored && restored > decode);
    assert.match(svg, /133 × faster/);
  });

  it('draws nothing for other scenarios', () => {
    assert.equal(drawTtftChart({ ...result, tables: [] }), undefined);
  });
});

describe('drawModesChart', () => {
  it('draws one bar for each mode, and one for plain files', () => {
    const { byMode, files, tableName } = warmRows;
    const rows = [...byMode.map(({ what }) => what), files].map((what, at) =>
      rowOf({ what, unit: 'ms', samples: [at + 1] }),
    );
    const sequence = { ...table, name: tableName, rows };
    const charts = drawCharts({ ...result, tables: [sequence] });
    assert.deepEqual([...charts.keys()], ['restore-modes.svg']);
    const svg = charts.get('restore-modes.svg') ?? '';
    assert.equal(svg.match(/<rect /g)?.length, byMode.length + 1);
    for (const { mode } of byMode) assert.ok(svg.includes(`>${mode}</text>`), mode);
  });

  it('draws nothing for other scenarios', () => {
    assert.equal(drawModesChart(result), undefined);
  });
});
