import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { projectRoot } from './project.ts';
import { longestFiles, longestFirst } from './test-order.ts';
import { findTestFiles, formatCounts, runTests } from './test-run.ts';
import type { TestCounts, TestRunOptions } from './test-run.ts';

const imports = "import { before, describe, it, test } from 'node:test';\n";

describe('runTests()', () => {
  let directory = '';
  let printed = '';

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'wombatkv test runner '));
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
    printed = '';
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const run = (body: string, options: Partial<TestRunOptions> = {}): Promise<TestCounts> => {
    writeFileSync(join(directory, 'one.test.js'), imports + body);
    return runTests({
      directory,
      speed: 'quick',
      filters: [],
      concurrency: 1,
      fileTimeoutMs: 30_000,
      mustRunAll: false,
      signal: new AbortController().signal,
      print: (line) => {
        printed += `${line}\n`;
      },
      ...options,
    });
  };

  it('counts single tests, not what holds them', async () => {
    const counts = await run(`
      describe('suite', () => { it('a', () => {}); describe('inner', () => { it('b', () => {}); }); });
      test('parent', async (t) => { await t.test('c', () => {}); await t.test('d', () => {}); });
      test('e', (t) => { t.diagnostic('17 cases'); });
    `);
    assert.deepEqual(counts, { passed: 5, failed: 0, skipped: 0 });
    assert.match(printed, /# 17 cases/);
  });

  it('prints a failure in full, with what the file wrote, and counts it once', async () => {
    const counts = await run(`
      describe('suite', () => { it('works', () => {}); it('breaks', () => {
        console.log('a hint'); throw new Error('the reason', { cause: new Error('its cause') });
      }); });
    `);
    assert.deepEqual(counts, { passed: 1, failed: 1, skipped: 0 });
    for (const text of ['suite > breaks', 'the reason', 'its cause', 'a hint', 'one.test.js:']) {
      assert.ok(printed.includes(text), `${text} is missing in ${printed}`);
    }
  });

  it('fails for a broken hook', async () => {
    const counts = await run(`
      describe('suite', () => { before(() => { throw new Error('no'); }); it('a', () => {}); });
    `);
    assert.ok(counts.failed > 0);
    assert.equal(counts.passed, 0);
  });

  it('fails for a file that throws outside its tests', async () => {
    const counts = await run(`it('a', () => {}); throw new Error('at import');`);
    assert.ok(counts.failed > 0);
    assert.match(printed, /at import/);
  });

  it('fails for a file that ends before its tests did', async () => {
    const counts = await run(`
      it('a', () => {}); it('b', async () => { setImmediate(() => process.exit(0)); await new Promise(() => {}); });
    `);
    assert.ok(counts.failed > 0);
  });

  it('fails for a file without a test', async () => {
    assert.deepEqual(await run(''), { passed: 0, failed: 1, skipped: 0 });
    assert.match(printed, /has no test in it/);
    assert.equal((await run(`describe('empty', () => {});`)).failed, 1);
  });

  it('fails for a file that leaves something open, and ends it', async () => {
    const counts = await run(`it('a', () => { setInterval(() => {}, 1000); });`, {
      fileTimeoutMs: 4000,
    });
    assert.deepEqual(counts, { passed: 1, failed: 1, skipped: 0 });
    assert.match(printed, /did not end within 4 s/);
  });

  it('counts a skipped test, and fails for it where all must run', async () => {
    const body = `
      it('a', { skip: 'no compiler' }, () => {});
      it('b', { skip: 'opt-in: a model of your own' }, () => {});
      describe('c', { skip: true }, () => { it('d', () => {}); });
      it('e', { todo: true }, () => {});
    `;
    assert.deepEqual(await run(body), { passed: 0, failed: 0, skipped: 4 });
    assert.match(printed, /skipped: a no compiler/);
    assert.deepEqual(await run(body, { mustRunAll: true }), { passed: 0, failed: 3, skipped: 1 });
  });

  it('fails when no file matches, unless there is no slow suite', async () => {
    assert.equal((await run(`it('a', () => {});`, { filters: ['nothing'] })).failed, 1);
    assert.equal((await run(`it('a', () => {});`, { speed: 'slow' })).failed, 0);
  });

  it('tells quick suites from slow ones and those of S3, and filters by path', () => {
    for (const name of ['a.test.js', 'b.slow.test.js', 'c.js', 'd.s3.test.js']) {
      writeFileSync(join(directory, name), '');
    }
    const find = (speed: TestRunOptions['speed'], ...filters: string[]): readonly string[] =>
      findTestFiles({ directory, speed, filters });
    assert.deepEqual(find('quick'), ['a.test.js']);
    assert.deepEqual(find('slow'), ['b.slow.test.js']);
    assert.deepEqual(find('all'), ['a.test.js', 'b.slow.test.js']);
    assert.deepEqual(find('all', 'a.test.ts'), ['a.test.js']);
    assert.deepEqual(find('s3'), ['d.s3.test.js']);
    const exceptions = ['a.test.ts'];
    const rest = findTestFiles({ directory, speed: 'all', filters: [], exceptions });
    assert.deepEqual(rest, ['b.slow.test.js']);
  });

  it('ends with the words that .ci/run reads', () => {
    const counts = { passed: 3, failed: 2, skipped: 1 };
    assert.equal(formatCounts(counts), '3 passed, 2 failed, 1 skipped');
  });
});

describe('longestFirst()', () => {
  it('puts the files that take long before all others, and keeps the order of those', () => {
    const files = [
      'a.test.js',
      'src/store/store.test.js',
      'b.test.js',
      'test/sim/simulation.test.js',
    ];
    assert.deepEqual(longestFirst(files), [
      ...['test/sim/simulation.test.js', 'src/store/store.test.js', 'a.test.js', 'b.test.js'],
    ]);
  });

  it('names files that are there', () => {
    for (const file of longestFiles) assert.ok(existsSync(join(projectRoot(), file)), file);
  });
});
