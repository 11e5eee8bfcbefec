import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../src/client/connect.ts';
import { chainOf } from '../support/chains.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { DaemonProcess } from './daemon-process.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

const chain = chainOf('daemon-status', 3, 10_000);
let home = '';
let daemon: DaemonProcess;
let urls: readonly string[] = [];
const cleanUps: (() => Promise<unknown>)[] = [];

before(async () => {
  const directory = await makeTemporaryDirectory('daemon-status');
  cleanUps.push(() => directory.remove());
  home = directory.path;
  const tokens = 'root-token\nreader-token verbs=read namespaces=default\n';
  writeFileSync(`${home}/tokens`, tokens, { mode: 0o600 });
  writeFileSync(`${home}/everything`, 'root-token');
  writeFileSync(`${home}/reader`, 'reader-token');
  const doors = ['--prefix', 'here', '--tcp', '127.0.0.1:0', '--http', '127.0.0.1:0'];
  daemon = new DaemonProcess(doors, {
    HOME: home,
    WMBT_KV_RUNTIME_DIR: `${home}/run`,
    WMBT_KV_OBJECT_STORE: 'memory:',
    WMBT_KV_TOKEN_FILE: `${home}/tokens`,
  });
  cleanUps.push(() => daemon.stop('SIGKILL'));
  urls = await daemon.ready();
  const client = await connect(urls[1], { token: 'root-token' });
  await client.save(chain.blocks, { durable: true });
  (await client.load(chain.keys)).release();
  (await client.load(chainOf('absent', 1).keys)).release();
  await client.close();
});

after(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function status(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  const own = { WMBT_KV_TOKEN_FILE: `${home}/everything`, ...environment };
  return runCli(['status', ...args], { home, environment: own });
}

describe('wombatkv status of a daemon', () => {
  it('shows what it counts, by every door', async () => {
    for (const url of urls) {
      const { exitCode, stdout, stderr } = await status(['--connect', url, '--json']);
      assert.equal(exitCode, 0, stderr);
      const { daemon: asked, statistics } = JSON.parse(stdout) as {
        readonly daemon: string;
        readonly statistics: { readonly saved: number; readonly misses: { unknown: number } };
      };
      assert.deepEqual([asked, statistics.saved, statistics.misses.unknown], [url, 3, 1]);
    }
  });

  it('is for people too, and finds the daemon of the environment', async () => {
    const environment = {
      WMBT_KV_RUNTIME_DIR: `${home}/run`,
      WMBT_KV_REMOTE_PREFIX: 'here',
    };
    const { exitCode, stdout, stderr } = await status([], environment);
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^Daemon {2}at shm:.*here\.sock/);
    assert.match(stdout, /accepted +3 payloads/);
    assert.match(stdout, /unknown +1/);
    assert.match(stdout, /requests +3 put/);
  });

  it('says why not, and shows no token', async () => {
    const [, url] = urls;
    const denied = await status(['--connect', url], { WMBT_KV_TOKEN_FILE: `${home}/reader` });
    assert.equal(denied.exitCode, 2);
    assert.match(denied.stderr, /this token may not do that: it lacks the verb admin/);
    const away = await status(['--connect', 'tcp://127.0.0.1:1']);
    assert.equal(away.exitCode, 1);
    assert.match(away.stderr, /cannot be reached/);
    const wrong = await status(['--connect', 'nowhere']);
    assert.equal(wrong.exitCode, 2);
    assert.match(wrong.stderr, /--connect: address must be shm:name, unix:/);
    for (const { stdout, stderr } of [denied, away, wrong]) {
      assert.ok(!`${stdout}${stderr}`.includes('reader-token'));
    }
  });
});
