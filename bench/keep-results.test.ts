import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { keepResult } from './keep-results.ts';
import { rowOf } from './report.ts';
import { resultPath, toJson } from './result-file.ts';
import type { ResultFile } from './result-file.ts';

let root: string;
let page: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'wombatkv-keep-results-'));
  page = join(root, 'docs', 'BENCHMARKS.md');
});
afterEach(() => rmSync(root, { recursive: true }));

function resultOf(ms: number): ResultFile {
  const rows = [rowOf({ what: 'a call', unit: 'ms', samples: [ms] })];
  const table = { name: 'calls', title: 'Calls', rows, notes: [] };
  return {
    ...{ scenario: 'calls', isQuick: false, date: '2026-01-02T03:04:05.000Z' },
    machine: {
      ...{ cpu: 'A CPU', cores: 2, memoryBytes: 8 * 1024 ** 3, kernel: 'Linux 6', node: 'v20' },
      loadAverage: [0.1, 0, 0],
    },
    source: { commit: 'abc', isChanged: false },
    ...{ limits: { ...table, name: 'limits' }, tables: [table] },
    ...{ settings: {}, versions: {}, voidReasons: [] },
  };
}

test('a result is kept, and the page shows it when it is asked to', async () => {
  const first = resultOf(10);
  assert.deepEqual(await keepResult(root, first, { isWriting: false }), [resultPath(root, first)]);
  assert.ok(!existsSync(page));
  const second = resultOf(20);
  const paths = await keepResult(root, second, { isWriting: true });
  assert.deepEqual(paths, [resultPath(root, second), page]);
  assert.equal(readFileSync(paths[0], 'utf8'), toJson(second));
  assert.match(readFileSync(page, 'utf8'), /\| a call +\| 20\.0 ms/);
});

test('a page that cannot be written leaves the result of the run before', async () => {
  const path = resultPath(root, resultOf(10));
  await keepResult(root, resultOf(10), { isWriting: false });
  mkdirSync(page, { recursive: true });
  await assert.rejects(keepResult(root, resultOf(20), { isWriting: true }));
  assert.equal(readFileSync(path, 'utf8'), toJson(resultOf(10)));
  rmSync(join(root, 'docs'), { recursive: true });
  writeFileSync(join(root, 'docs'), 'no folder');
  await assert.rejects(keepResult(root, resultOf(20), { isWriting: true }));
  assert.equal(readFileSync(path, 'utf8'), toJson(resultOf(10)));
  assert.deepEqual(
    readdirSync(join(root, 'bench', 'results')).length,
    1,
    'nothing is left beside it',
  );
});
