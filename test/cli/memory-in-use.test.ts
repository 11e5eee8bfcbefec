import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/client.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { DaemonProcess } from './daemon-process.ts';
import { runCli } from './run-cli.ts';

const looks = 8;

// Goal: memory in which payloads come, go to the log and are replaced by others while a command looks at it is never
// called damaged. Method: a daemon with little memory under the saves of a client, which pauses now and then for as long as the log
// waits, and `verify` beside it, several times.
describe('verify beside a daemon that is at work', { skip: withoutNative() }, () => {
  let directory: TemporaryDirectory;
  let daemon: DaemonProcess;

  before(async () => {
    directory = await makeTemporaryDirectory('memory-in-use');
    const home = { HOME: directory.path, WMBT_KV_RUNTIME_DIR: `${directory.path}/run` };
    const settings = { ...home, WMBT_KV_PUFFER_RAM_BYTES: '16MiB' };
    daemon = new DaemonProcess(['--prefix', 'used'], settings);
    await daemon.ready();
  });
  after(async () => {
    await daemon.stop();
    await directory.remove();
  });

  it(`finds no damage in ${looks} looks, and payloads in memory`, async (context) => {
    const store = await connect(`shm:${directory.path}/run/used.sock`);
    let isOver = false;
    let saves = 0;
    const saving = (async () => {
      while (!isOver) {
        const length = saves % 3 === 0 ? 2000 : 150_000;
        await store.save(chainOf(`in use ${saves}`, 4, length).blocks);
        saves += 1;
        await sleep(saves % 60 === 0 ? 1300 : 10);
      }
    })();
    const found: number[] = [];
    try {
      for (let look = 0; look < looks; look += 1) {
        const { stdout, stderr } = await runCli(['verify', '--json'], { home: directory.path });
        assert.notEqual(stdout, '', stderr);
        const [{ state, findings, memory }] = JSON.parse(stdout).cacheDirectories;
        assert.equal(state, 'alive');
        assert.deepEqual([findings, memory.findings], [[], []]);
        found.push(memory.payloads);
      }
    } finally {
      isOver = true;
      await saving;
      await store.close();
    }
    context.diagnostic(`${saves} saves; payloads in memory alone: ${found.join(', ')}`);
    assert.ok(Math.max(...found) > 0, 'something was in memory alone');
  });
});
