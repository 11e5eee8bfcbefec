import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { canForbidCalls } from '../support/forbidden-calls.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const child = fileURLToPath(new URL('./silent-calls-child.js', import.meta.url));
const calls = 1000;
/** A machine that runs other tests may take longer than usual. */
const childMsMax = 120_000;

const skip = canForbidCalls
  ? withoutNative()
  : 'opt-in elsewhere: the filter is written for Linux on x86-64';

/**
 * The system kills a client in Node when any of its threads reads, writes, sends, receives, polls, opens, or maps a
 * file while it looks up and loads what is in the daemon's memory.
 */
describe('1,000 lookups and loads through shared memory', { skip }, () => {
  let temporary: TemporaryDirectory;
  let daemon: DaemonProcess;
  let socketPath: string;

  before(async () => {
    temporary = await makeTemporaryDirectory('silent');
    const { path } = temporary;
    socketPath = `${path}/run/silent.sock`;
    daemon = new DaemonProcess(['--prefix', 'silent'], {
      ...{ HOME: path, WMBT_KV_RUNTIME_DIR: `${path}/run`, WMBT_KV_PUFFER_RAM_BYTES: '16MiB' },
    });
    await daemon.ready();
  });
  after(async () => {
    await daemon.stop('SIGKILL');
    await temporary.remove();
  });

  const run = (url: string, count: number): { readonly ended: string; readonly errors: string } => {
    const { status, signal, stderr } = spawnSync(
      process.execPath,
      [child, url, String(count), 'forbid'],
      { encoding: 'utf8', timeout: childMsMax, killSignal: 'SIGKILL' },
    );
    return { ended: signal ?? String(status), errors: stderr };
  };

  it('make no call to the system', () => {
    assert.deepEqual(run(`shm:${socketPath}`, calls), { ended: '0', errors: '' });
  });

  it('would be seen to: over the socket the system kills the client', () => {
    assert.equal(run(`unix:${socketPath}`, 1).ended, 'SIGSYS');
  });
});
