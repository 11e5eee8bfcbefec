import assert from 'node:assert/strict';
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { DemoReport, DemoRow, DemoRowName } from '../../src/cli/demo/demo-report.ts';
import { problemsOf, rowsOf } from '../../src/cli/demo/demo-report.ts';
import type { DemoAnswer } from '../../src/cli/demo/demo-job.ts';
import { randomModels } from '../../src/engines/llama/gguf-model.ts';
import { writeRandomModel } from '../../src/engines/llama/gguf-writer.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { objectKeys } from '../support/stored-objects.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';
import type { CliOptions, CliResult } from './run-cli.ts';

// A run of the demo has one busy process at a time, so that two of them fill the processors.
describe('wombatkv demo', { concurrency: 2 }, () => {
  let home: TemporaryDirectory;
  before(async () => {
    home = await makeTemporaryDirectory('cli-demo');
  });
  after(() => home.remove());

  /** A directory in which the demo makes its own temporary ones. */
  const makeTemporary = async (name: string): Promise<string> => {
    const path = join(home.path, name);
    await mkdir(path);
    return path;
  };

  const run = (
    args: readonly string[],
    temporary: string,
    options: Partial<CliOptions> = {},
  ): Promise<CliResult> =>
    runCli(['demo', ...args], {
      home: home.path,
      environment: { TMPDIR: temporary },
      ...options,
    });

  /**
   * Goal: the demo shows what it claims. Method: the counters of each of its processes, in the
   * user's own object store, which holds nothing of the demo afterwards.
   */
  it('restores after a kill, from the bucket alone, and for another ending, with equal tokens', async () => {
    const store = pathToFileURL(join(home.path, 'objects')).href;
    const temporary = await makeTemporary('first');
    const args = ['--quick', '--json', '--store', store];
    const { exitCode, stdout, stderr } = await run(args, temporary);
    assert.equal(exitCode, 0, stderr);
    assert.doesNotMatch(stdout + stderr, /\u001b/, 'no escape codes in a pipe');
    const report: DemoReport = JSON.parse(stdout);
    assert.equal(report.isGood, true);
    assert.deepEqual(report.problems, []);
    assert.ok(report.distinctTokens >= 20, `${report.distinctTokens} different tokens`);
    const row = rowReader(report);

    const cold = row('cold');
    assert.equal(cold.promptTokens, 700);
    assert.equal(cold.computedTokens, 700);
    assert.equal(payloadsOf(cold), 0);
    assert.ok(cold.saved.payloads >= 6, `${cold.saved.payloads} payloads saved`);

    const restarted = row('restarted');
    assert.equal(restarted.isAnswerEqual, true);
    assert.equal(restarted.restoredTokens, 699);
    assert.equal(restarted.store.object.payloads, 0);
    assert.equal(restarted.store.requests.get, 0);
    assert.equal(restarted.store.disk.payloads, 6, 'five blocks and a tail');

    const wiped = row('cache-wiped');
    assert.equal(wiped.isAnswerEqual, true);
    assert.equal(wiped.restoredTokens, 699);
    assert.equal(wiped.store.memory.bytes + wiped.store.disk.bytes, 0);
    assert.equal(wiped.store.object.payloads, 6);
    assert.equal(wiped.store.object.bytes, restarted.store.disk.bytes);
    assert.ok(wiped.store.requests.get <= 5 + 2, `${wiped.store.requests.get} GETs for 5 blocks`);

    assert.equal(row('other-ending-cold').restoredTokens, 0);
    assert.equal(payloadsOf(row('other-ending-cold')), 0);
    const other = row('other-ending');
    assert.equal(other.isAnswerEqual, true);
    assert.equal(other.restoredTokens, Math.floor(report.sharedTokens / 128) * 128);
    assert.ok(other.restoredTokens >= 384);

    assert.deepEqual(await readdir(temporary), [], 'its directory is removed');
    const bucket = openObjectStore(store, nodePlatform());
    assert.deepEqual(await objectKeys(bucket), [], 'its namespace is deleted');
    await bucket.close();
  });

  it('takes a model and a prompt, keeps what it is told to, and says it in words', async () => {
    const model = join(home.path, 'my model.gguf');
    await writeRandomModel(nodePlatform(), model, randomModels.tiny);
    const prompt = join(home.path, 'prompt.txt');
    const file = await nodePlatform().files.open(prompt, 'create-new');
    await file.write([new TextEncoder().encode('All work and no play. '.repeat(20))], 0);
    await file.close();
    const args = ['--model', model, '--prompt', prompt, '--tokens', '8', '--threads', '1'];
    const temporary = await makeTemporary('second');
    const { exitCode, stdout, stderr } = await run([...args, '--keep'], temporary);
    assert.equal(exitCode, 0, stderr);
    assert.match(
      stderr,
      /^1\/5 cold: a new process, and nothing stored yet \.\.\.\n {2}first token/m,
    );
    assert.match(stderr, /accepted, then killed \(SIGKILL\)$/m);
    assert.match(stdout, /^cold .* 440 +0 {2}\(reference\)$/m);
    assert.match(stdout, /^restarted .* 1 +439 {2}yes$/m);
    assert.match(stdout, /^cache wiped .* 1 +439 {2}yes$/m);
    assert.match(stdout, /^other ending, restored .* 384 {2}yes$/m);
    assert.match(stdout, /^It answered: "/m);
    assert.match(stdout.replaceAll('\n', ' '), /The answers are the same, token for token\. $/);
    const [kept] = await readdir(temporary);
    assert.match(stdout.replaceAll('\n', ' '), new RegExp(`Kept: .*${kept}`));
    const objects = pathToFileURL(join(temporary, kept, 'objects')).href;
    const listed = await runCli(['ls', '--store', objects], { home: home.path });
    assert.match(listed.stdout, /^\d+ objects, /m);
  });

  it('refuses a prompt that is too short before it computes anything', async () => {
    const prompt = join(home.path, 'short.txt');
    const file = await nodePlatform().files.open(prompt, 'create-new');
    await file.write([new TextEncoder().encode('too short')], 0);
    await file.close();
    const temporary = await makeTemporary('third');
    const args = ['--quick', '--prompt', prompt];
    const { exitCode, stdout, stderr } = await run(args, temporary);
    assert.equal(exitCode, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /^wombatkv: the prompt has 9 tokens; the demo takes 300 to 1983$/m);
  });

  it('says that a model cannot be cached, and exits with 1', async () => {
    const model = join(home.path, 'sliding.gguf');
    await writeRandomModel(nodePlatform(), model, randomModels['tiny-gemma3']);
    const temporary = await makeTemporary('fourth');
    const { exitCode, stderr } = await run(['--model', model, '--threads', '1'], temporary);
    assert.equal(exitCode, 1);
    assert.match(
      stderr,
      /^wombatkv: this model cannot be cached: .* sliding window of 256 tokens$/m,
    );
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const temporary = await makeTemporary('fifth');
    const { exitCode, stderr } = await run(['--quick'], temporary, {
      onStart: (child) => {
        child.stderr?.on('data', (text: string) => {
          if (text.includes('2/5')) child.kill('SIGINT');
        });
      },
    });
    assert.equal(exitCode, 1);
    assert.match(stderr, /^wombatkv: the demo was interrupted by SIGINT$/m);
    assert.deepEqual(await readdir(temporary), []);
  });

  it('names the package to install when there is no engine', async (t) => {
    const root = await makeTemporaryDirectory('cli-no-engine');
    t.after(() => root.remove());
    const compiled = fileURLToPath(new URL('../../src/', import.meta.url));
    await cp(compiled, join(root.path, 'src'), { recursive: true });
    await linkModulesWithout('node-llama-cpp', root.path);
    const program = join(root.path, 'src/cli/main.js');
    const { exitCode, stderr } = await run(['--quick'], root.path, { program });
    assert.equal(exitCode, 1);
    assert.match(stderr, /^wombatkv: .*npm install node-llama-cpp$/m);
  });
});

describe('the report of the demo', () => {
  const answer = (changes: Partial<DemoAnswer>): DemoAnswer => ({
    firstTokenMs: 10,
    promptTokens: [1, 2, 3],
    documentTokens: 3,
    answerTokens: [1, 2, 3, 4],
    answerText: '',
    restoredTokens: 2,
    toFirstToken: {
      ...{ memory: none, disk: none, object: none, readBytes: 0 },
      requests: { put: 0, get: 0, head: 0, list: 0, delete: 0 },
    },
    saved: { payloads: 0, bytes: 0, ms: 0 },
    failures: 0,
    lastFailure: undefined,
    device: 'cpu',
    modelName: 'model',
    ...changes,
  });
  const none = { payloads: 0, bytes: 0 };
  const good = {
    cold: answer({ restoredTokens: 0, firstTokenMs: 1000 }),
    restarted: answer({}),
    'cache-wiped': answer({}),
    'other-ending-cold': answer({ restoredTokens: 0 }),
    'other-ending': answer({}),
  };

  it('has no problem when all is well', () => {
    assert.deepEqual(problemsOf(good, true), []);
    assert.deepEqual(
      rowsOf(good).map(({ name, ratio, isAnswerEqual }) => [name, ratio, isAnswerEqual]),
      [
        ['cold', 1, undefined],
        ['restarted', 100, true],
        ['cache-wiped', 100, true],
        ['other-ending-cold', 1, undefined],
        ['other-ending', 1, true],
      ],
    );
  });

  it('says which answer differs, what was not restored, and whether the wiped cache answered', () => {
    const { toFirstToken } = good.cold;
    const disk = { payloads: 1, bytes: 7 };
    const bad = {
      ...good,
      restarted: answer({ answerTokens: [1, 2, 9, 4] }),
      'cache-wiped': answer({ toFirstToken: { ...toFirstToken, disk } }),
      'other-ending': answer({ restoredTokens: 0, lastFailure: 'a load failed' }),
    };
    assert.deepEqual(problemsOf(bad, true), [
      'restarted: the answer differs from token 3 on',
      'other-ending: nothing was restored: a load failed',
      'cache-wiped: bytes came from a cache that was to be empty',
    ]);
    assert.equal(rowsOf(bad)[1].isAnswerEqual, false);
  });

  it('does not trust a random model that repeats itself; a real one may', () => {
    const same = answer({ answerTokens: [5, 5, 5, 5], restoredTokens: 0 });
    const answers = {
      ...{ cold: same, restarted: answer({ answerTokens: [5, 5, 5, 5] }) },
      ...{ 'cache-wiped': answer({ answerTokens: [5, 5, 5, 5] }) },
      ...{ 'other-ending-cold': good['other-ending-cold'], 'other-ending': good['other-ending'] },
    };
    assert.deepEqual(problemsOf(answers, true), [
      'cold: only 1 different tokens, so equality says little',
    ]);
    assert.deepEqual(problemsOf(answers, false), []);
  });
});

function rowReader(report: DemoReport): (name: DemoRowName) => DemoRow {
  return (name) => {
    const row = report.rows.find((one) => one.name === name);
    assert.ok(row !== undefined, `no row ${name}`);
    return row;
  };
}

function payloadsOf({ store }: DemoRow): number {
  return store.memory.payloads + store.disk.payloads + store.object.payloads;
}

/** A `node_modules` with links to all packages that this program sees, but one. */
async function linkModulesWithout(name: string, directory: string): Promise<void> {
  const [modules] = fileURLToPath(import.meta.resolve('commander')).split('/commander/');
  await mkdir(join(directory, 'node_modules'));
  for (const entry of await readdir(modules)) {
    if (entry === name || entry.startsWith('.')) continue;
    await symlink(join(modules, entry), join(directory, 'node_modules', entry));
  }
}
