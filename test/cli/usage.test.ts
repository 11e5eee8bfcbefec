import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { effectiveSettings } from '../../src/config/settings.ts';
import { outputOf } from '../../src/cli/terminal.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

const commands = ['demo', 'status', 'ls', 'inspect', 'config'];

describe('wombatkv', () => {
  let home: TemporaryDirectory;
  before(async () => {
    home = await makeTemporaryDirectory('cli');
  });
  after(() => home.remove());

  const run = (args: readonly string[], environment = {}): Promise<CliResult> =>
    runCli(args, { home: home.path, environment });

  it('--help lists every command and every setting that has effect', async () => {
    const { exitCode, stdout, stderr } = await run(['--help']);
    assert.equal(exitCode, 0);
    assert.equal(stderr, '');
    for (const command of commands) assert.match(stdout, new RegExp(`^  ${command} `, 'm'));
    for (const { name } of effectiveSettings) assert.match(stdout, new RegExp(`^  ${name}$`, 'm'));
  });

  it('<command> --help describes the command and exits with 0', async () => {
    const results = await Promise.all(commands.map((command) => run([command, '--help'])));
    for (const [index, { exitCode, stdout }] of results.entries()) {
      assert.equal(exitCode, 0);
      assert.match(stdout, new RegExp(`^Usage: wombatkv ${commands[index]} `));
    }
  });

  it('--version is that of package.json', async () => {
    const { exitCode, stdout } = await run(['--version']);
    const found = [2, 3, 4]
      .map((levels) => new URL(`${'../'.repeat(levels)}package.json`, import.meta.url))
      .flatMap((url) => textOf(url));
    const { version }: { version: string } = JSON.parse(found[0] ?? '');
    assert.equal(exitCode, 0);
    assert.equal(stdout, `${version}\n`);
  });

  it('exits with 2 for a command line that is wrong, and names what is', async () => {
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [[], /^Usage: wombatkv/],
      [['lst'], /^wombatkv: unknown command 'lst'/],
      [['ls', '--lim', '3'], /^wombatkv: unknown option '--lim'/],
      [
        ['ls', '--limit', 'many'],
        /^wombatkv: --limit must be a whole number from 1 up; got "many"/,
      ],
      [['inspect'], /^wombatkv: missing required argument 'key'/],
      [['inspect', 'xyz'], /^wombatkv: "xyz" is no key/],
      [['status', 'now'], /^wombatkv: too many arguments/],
      [['config', '--store', 'gs://bucket'], /^wombatkv: --store: objectStore is "gs:/],
      [['config', '--namespace', 'n'.repeat(81)], /^wombatkv: --namespace: namespace must have/],
      [['config', '--cache-directory', 'here'], /^wombatkv: --cache-directory: cacheDirectory/],
      [['config', '--prefix', 'a//b'], /^wombatkv: --prefix: keyPrefix must be/],
      [['demo', '--threads', '0'], /^wombatkv: --threads must be/],
      [['demo', '--store', 'memory:'], /^wombatkv: --store: the processes of the demo need/],
      [['demo', '--model', '/nowhere.gguf'], /^wombatkv: --model: there is no file \/nowhere/],
      [
        ['demo', '--quick', '--prompt', '/nowhere'],
        /^wombatkv: --prompt: \/nowhere cannot be read/,
      ],
    ];
    const results = await Promise.all(wrong.map(([args]) => run(args)));
    for (const [index, { exitCode, stdout, stderr }] of results.entries()) {
      const [args, message] = wrong[index];
      assert.equal(exitCode, 2, `${args.join(' ')}: ${stderr}`);
      assert.equal(stdout, '');
      assert.match(stderr, message);
    }
  });

  it('exits with 2 for a setting that is wrong, in every command', async () => {
    const wrong = { WMBT_KV_PUFER_DIR: '/tmp' };
    const lines = [['demo'], ['status'], ['ls'], ['inspect', 'abcdef'], ['config']];
    const results = await Promise.all(lines.map((args) => run(args, wrong)));
    for (const { exitCode, stdout, stderr } of results) {
      assert.equal(exitCode, 2);
      assert.equal(stdout, '');
      assert.match(stderr, /^wombatkv: unknown settings: WMBT_KV_PUFER_DIR .*WMBT_KV_PUFFER_DIR/);
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    }
    const value = await run(['config'], { WMBT_KV_PUFFER_RAM_BYTES: '1GB' });
    assert.equal(value.exitCode, 2);
    assert.match(value.stderr, /^wombatkv: WMBT_KV_PUFFER_RAM_BYTES is "1GB"; accepted: /);
  });

  it('shows a stack only when WOMBATKV_DEBUG asks for it', async () => {
    const args = ['inspect', 'abcdef', '--store', 'memory:'];
    const [plain, debug] = await Promise.all([run(args), run(args, { WOMBATKV_DEBUG: '1' })]);
    assert.equal(plain.exitCode, 1);
    assert.match(plain.stderr, /^wombatkv: nothing is stored under abcdef .*\n$/);
    assert.equal(debug.exitCode, 1);
    assert.match(debug.stderr, /\n {4}at /);
  });

  it('config shows each value, and where it comes from', async () => {
    const args = ['config', '--json', '--store', 'file:///from/flag', '--namespace', 'by-flag'];
    const { exitCode, stdout, stderr } = await run(args, {
      WMBT_KV_NAMESPACE: 'by-environment',
      WMBT_KV_PUFFER_RAM_BYTES: '64 MiB',
      WMBT_KV_S3_SECRET_KEY: 'do-not-show-this',
    });
    assert.equal(exitCode, 0);
    assert.match(stderr, /without effect in this version: WMBT_KV_S3_SECRET_KEY/);
    assert.doesNotMatch(stdout + stderr, /do-not-show-this/);
    const { settings }: { settings: { name: string; value: unknown; source: string }[] } =
      JSON.parse(stdout);
    assert.deepEqual(
      settings.map(({ name }) => name),
      effectiveSettings.map(({ name }) => name),
    );
    const shown = (name: string): unknown[] =>
      settings.filter((one) => one.name === name).flatMap(({ value, source }) => [value, source]);
    assert.deepEqual(shown('WMBT_KV_OBJECT_STORE'), ['file:///from/flag', 'flag']);
    assert.deepEqual(shown('WMBT_KV_NAMESPACE'), ['by-flag', 'flag']);
    assert.deepEqual(shown('WMBT_KV_PUFFER_RAM_BYTES'), [64 * 1024 ** 2, 'environment']);
    assert.deepEqual(shown('WMBT_KV_PUT_DURABLE'), [false, 'default']);
  });

  it('config as text has a line for each setting', async () => {
    const { exitCode, stdout } = await run(['config'], { WMBT_KV_PUFFER_DISK_BYTES: '0' });
    assert.equal(exitCode, 0);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, effectiveSettings.length + 1);
    assert.match(stdout, /^WMBT_KV_PUFFER_DIR +\(none: there is no disk tier\) +default$/m);
    assert.match(stdout, /^WMBT_KV_OBJECT_STORE_MAX_BYTES +20 GiB +default$/m);
    assert.match(stdout, /^WMBT_KV_LOOKUP_DEADLINE_MS +250 ms +default$/m);
  });
});

describe('an output', () => {
  const written = (isTTY: boolean, noColor: string | undefined): string =>
    outputOf({ isTTY, write: () => true }, noColor).style('green', 'yes');

  it('shows styles only on a terminal, and not with NO_COLOR', () => {
    assert.equal(written(true, undefined), '\u001b[32myes\u001b[39m');
    assert.equal(written(true, ''), '\u001b[32myes\u001b[39m');
    assert.equal(written(true, '1'), 'yes');
    assert.equal(written(false, undefined), 'yes');
  });

  it('has a width also where its stream knows none', () => {
    assert.equal(outputOf({ columns: 72, write: () => true }, undefined).columns, 72);
    assert.ok(outputOf({ columns: 0, write: () => true }, undefined).columns > 40);
    assert.ok(outputOf({ write: () => true }, undefined).columns > 40);
  });
});

function textOf(url: URL): readonly string[] {
  try {
    return [readFileSync(url, 'utf8')];
  } catch {
    // Not at this level: the build folder may lie deeper.
    return [];
  }
}
