import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { projectRoot } from './project.ts';
import { groupsOf, longestFiles, longestFirst } from './test-order.ts';
import { findTestFiles, formatCounts, runTests } from './test-run.ts';
import type { TestCounts, TestRunOptions } from './test-run.ts';

const imports = "import { after, before, beforeEach, describe, it, test } from 'node:test';\n";

describe('runTests()', () => {
  let directory = '';
  let printed = '';

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'wombatkv test runner '));
    writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
    printed = '';
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const runAll = (options: Partial<TestRunOptions> = {}): Promise<TestCounts> =>
    runTests({
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
  const run = (body: string, options: Partial<TestRunOptions> = {}): Promise<TestCounts> => {
    writeFileSync(join(directory, 'one.test.js'), imports + body);
    return runAll(options);
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
      it('f', { skip: 'left to another lane: npm run f has a compiler' }, () => {});
    `;
    assert.deepEqual(await run(body), { passed: 0, failed: 0, skipped: 5 });
    assert.match(printed, /skipped: a no compiler/);
    // What no other lane runs is said once more where nobody overlooks it.
    const last = printed.trimEnd().split('\n').slice(-2).sort();
    assert.deepEqual(last, [
      'NOT TESTED: 1 test, skipped for no compiler',
      'NOT TESTED: 2 tests, skipped for no reason',
    ]);
    assert.deepEqual(await run(body, { mustRunAll: true }), { passed: 0, failed: 3, skipped: 2 });
  });

  it('fails when no file matches, unless there is no slow suite', async () => {
    assert.equal((await run(`it('a', () => {});`, { filters: ['nothing'] })).failed, 1);
    assert.equal((await run(`it('a', () => {});`, { speed: 'slow' })).failed, 0);
  });

  it('tells quick suites from slow ones and those with needs, and filters by path', () => {
    for (const name of ['a.test.js', 'b.slow.test.js', 'c.js', 'd.s3.test.js', 'e.peers.test.js']) {
      writeFileSync(join(directory, name), '');
    }
    const find = (speed: TestRunOptions['speed'], ...filters: string[]): readonly string[] =>
      findTestFiles({ directory, speed, filters });
    assert.deepEqual(find('quick'), ['a.test.js']);
    assert.deepEqual(find('slow'), ['b.slow.test.js']);
    assert.deepEqual(find('all'), ['a.test.js', 'b.slow.test.js']);
    assert.deepEqual(find('all', 'a.test.ts'), ['a.test.js']);
    assert.deepEqual(find('s3'), ['d.s3.test.js']);
    assert.deepEqual(find('peers'), ['e.peers.test.js']);
    assert.deepEqual(find('system'), []);
    const exceptions = ['a.test.ts'];
    const rest = findTestFiles({ directory, speed: 'all', filters: [], exceptions });
    assert.deepEqual(rest, ['b.slow.test.js']);
  });

  describe('of files that share a process', () => {
    /** Runs a, b and c, each with a test that tells its process; `b` is the body of the second. */
    const runThree = (b: string, options: Partial<TestRunOptions> = {}): Promise<TestCounts> => {
      mkdirSync(join(directory, 'src'));
      const tell = 't.diagnostic(`process ${process.pid}`)';
      for (const name of ['a', 'b', 'c']) {
        const body = name === 'b' ? b : `it('is ${name}', (t) => ${tell});`;
        writeFileSync(join(directory, 'src', `${name}.test.js`), imports + body);
      }
      return runAll(options);
    };
    /** The processes that a and c told. */
    const processes = (): readonly string[] =>
      [...printed.matchAll(/# process (\d+)/g)].map(([, id]) => id);
    /** What is printed of one file. */
    const reportOf = (name: string): string =>
      printed.split(/^(?=ok|FAIL)/m).find((text) => text.includes(`src/${name}.test.ts:`)) ?? '';
    /** Only b failed, with these words; a and c each passed one test. */
    const assertOnlySecondFailed = (counts: TestCounts, words: RegExp): void => {
      assert.match(reportOf('a'), /^ok {3}src\/a.test.ts: 1 passed, 0 failed, 0 skipped/, printed);
      assert.match(reportOf('c'), /^ok {3}src\/c.test.ts: 1 passed, 0 failed, 0 skipped/, printed);
      assert.match(reportOf('b'), /^FAIL src\/b.test.ts/, printed);
      assert.match(reportOf('b'), words);
      assert.ok(counts.failed > 0);
      assert.equal(processes().length, 2);
    };

    it('reports each file, and gives each a process where that is asked for', async () => {
      const body = "it('is b', () => {}); describe('inner', () => { it('d', () => {}); });";
      assert.deepEqual(await runThree(body), { passed: 4, failed: 0, skipped: 0 });
      assert.match(reportOf('b'), /2 passed, 0 failed, 0 skipped/);
      assert.equal(new Set(processes()).size, 1);
      printed = '';
      const counts = await runAll({ aloneEach: true });
      assert.deepEqual(counts, { passed: 4, failed: 0, skipped: 0 });
      assert.equal(new Set(processes()).size, 2);
    });

    it('keeps hooks, environment, folder and exit status of a file to itself', async () => {
      const counts = await runThree(`
        beforeEach((t) => { if (t.name !== 'is b') throw new Error('a hook of b'); });
        after(() => { process.env.PLANTED = 'b'; process.chdir('/'); });
        it('is b', () => {});
      `);
      assert.deepEqual(counts, { passed: 3, failed: 0, skipped: 0 });
      rmSync(join(directory, 'src'), { recursive: true });
      const folder = JSON.stringify(process.cwd());
      mkdirSync(join(directory, 'src'));
      const leave = "it('a', () => { process.env.PLANTED = 'a'; process.chdir('/'); });";
      const find = `it('b', () => {
        if (process.env.PLANTED !== undefined || process.cwd() !== ${folder}) throw new Error('no');
      });`;
      writeFileSync(join(directory, 'src', 'a.test.js'), imports + leave);
      writeFileSync(join(directory, 'src', 'b.test.js'), imports + find);
      assert.deepEqual(await runAll(), { passed: 2, failed: 0, skipped: 0 }, printed);
    });

    it('names the file of a failed test, and prints the output of no other', async () => {
      const counts = await runThree(
        "it('is b', () => { console.log('a hint'); throw new Error('the reason'); });",
      );
      assert.deepEqual(counts, { passed: 2, failed: 1, skipped: 0 });
      assertOnlySecondFailed(counts, /failed: is b[^]*the reason[^]*its output:\s+a hint\s*$/);
      assert.equal(new Set(processes()).size, 1);
    });

    it('names the file that cannot be imported, or whose hook fails', async () => {
      const body = "it('is b', () => {}); throw new Error('at import');";
      assertOnlySecondFailed(await runThree(body), /failed: the file itself[^]*at import/);
      printed = '';
      const hook = "it('is b', () => {}); after(() => { throw new Error('a hook'); });";
      writeFileSync(join(directory, 'src', 'b.test.js'), imports + hook);
      assertOnlySecondFailed(await runAll(), /failed: the file itself[^]*a hook/);
    });

    it('names the file without a test', async () => {
      assertOnlySecondFailed(await runThree(''), /the file has no test in it/);
    });

    it('names the file that ends the process, and runs those behind it in another', async () => {
      // In words by which the runner would not leave it alone from the first.
      const body = "it('is b', () => process['kill'](process.pid, 'SIGKILL'));";
      assertOnlySecondFailed(await runThree(body), /the file ended by SIGKILL/);
      assert.equal(new Set(processes()).size, 2);
      printed = '';
      writeFileSync(join(directory, 'src', 'b.test.js'), "process['exit'](0);");
      assertOnlySecondFailed(await runAll(), /the file ended before its tests did|no test in it/);
    });

    it('names the file that hangs, and runs those behind it in another process', async () => {
      const body = "it('is b', () => new Promise(() => { setInterval(() => {}, 1000); }));";
      const counts = await runThree(body, { fileTimeoutMs: 4000 });
      assertOnlySecondFailed(counts, /the file did not end within 4 s/);
      assert.equal(new Set(processes()).size, 2);
    });

    it('names the file whose tests wait for nothing', async () => {
      const counts = await runThree("it('is b', () => new Promise(() => {}));");
      assertOnlySecondFailed(counts, /failed: is b/);
    });

    it('names the file that leaves something open, and keeps it from the others', async () => {
      const counts = await runThree("it('is b', () => { setInterval(() => {}, 1000); });");
      assertOnlySecondFailed(counts, /the file left something open: Timeout/);
      assert.equal(new Set(processes()).size, 2);
    });

    it('names the file whose error comes after its tests', async () => {
      const counts = await runThree(
        "it('is b', () => { setTimeout(() => { throw new Error('too late'); }, 20); });",
      );
      assertOnlySecondFailed(counts, /too late[^]*the file ended with exit status 1/);
      printed = '';
      const body = "it('is b', () => { Promise.reject(new Error('unheard')); });";
      writeFileSync(join(directory, 'src', 'b.test.js'), imports + body);
      assertOnlySecondFailed(await runAll(), /unheard/);
    });
  });

  it('ends with the words that .ci/run reads', () => {
    const counts = { passed: 3, failed: 2, skipped: 1 };
    assert.equal(formatCounts(counts), '3 passed, 2 failed, 1 skipped');
  });
});

describe('longestFirst()', () => {
  it('puts the files that take long before all others, then those that share a process', () => {
    const files = [
      ['src/open-store.test.js'],
      ['src/store/store.test.js'],
      ['b.test.js', 'c.test.js'],
      ['test/sim/simulation.test.js'],
    ] as const;
    assert.deepEqual(longestFirst(files), [files[3], files[1], files[2], files[0]]);
  });

  it('names files that are there', () => {
    for (const file of longestFiles) assert.ok(existsSync(join(projectRoot(), file)), file);
  });
});

describe('groupsOf()', () => {
  const directory = join(projectRoot(), 'dist');
  const files = findTestFiles({ directory, speed: 'all', filters: [] });
  const groups = groupsOf(directory, files);
  const shared = groups.filter((group) => group.length > 1).flat();

  it('has every file once, and most small ones in few processes', () => {
    assert.deepEqual(groups.flat().toSorted(), files);
    assert.ok(shared.length > 50, `${shared.length} files share a process`);
  });

  it('leaves files alone that are long, slow, or in folders of their own kind', () => {
    for (const file of longestFiles) assert.ok(!shared.includes(file.replace(/\.ts$/, '.js')));
    for (const file of shared) assert.doesNotMatch(file, /\.(slow|s3|peers)\.test\.js$|^test\//);
  });

  it('leaves files alone that start threads, load the engine, measure or end their process', () => {
    for (const name of [
      'platform/worker-pool',
      'engines/llama/state-engine',
      'format/zstd-frame',
      'open-store',
    ]) {
      assert.deepEqual(groups.filter((group) => group.includes(`src/${name}.test.js`)).flat(), [
        `src/${name}.test.js`,
      ]);
    }
  });
});
