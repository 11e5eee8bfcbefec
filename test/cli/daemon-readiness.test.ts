import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { DaemonProcess } from './daemon-process.ts';

const hasPython = spawnSync('python3', ['--version']).status === 0;
const skip = withoutNative() || (hasPython ? false : 'python3 is not installed');

/** Prints each datagram that comes to the socket; Node has no such sockets. */
const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(60)
print('listening', flush=True)
for _ in range(2): print(s.recv(1000).decode(), flush=True)
`;

test(
  'a daemon tells its service manager when it is ready and when it stops',
  { skip },
  async () => {
    const directory = await makeTemporaryDirectory('readiness');
    const address = join(directory.path, 'notify');
    const python = spawn('python3', ['-c', receiver, address], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let told = '';
    const end = once(python, 'close');
    python.stdout.setEncoding('utf8').on('data', (text: string) => (told += text));
    await once(python.stdout, 'data');
    const run = join(directory.path, 'run');
    const environment = { HOME: directory.path, WMBT_KV_RUNTIME_DIR: run, NOTIFY_SOCKET: address };
    const daemon = new DaemonProcess([], environment);
    try {
      await daemon.ready();
      assert.equal(await daemon.stop(), 0);
      await end;
      assert.equal(told, 'listening\nREADY=1\nSTOPPING=1\n');
      const events = daemon.events.map(({ event }) => event);
      assert(!events.includes('service-manager'), daemon.output);
    } finally {
      await daemon.stop('SIGKILL');
      python.kill('SIGKILL');
      await directory.remove();
    }
  },
);

test('a daemon that cannot tell its service manager says so, and serves', async () => {
  const directory = await makeTemporaryDirectory('readiness');
  const environment = {
    HOME: directory.path,
    WMBT_KV_RUNTIME_DIR: join(directory.path, 'run'),
    WMBT_KV_NATIVE: 'off',
    NOTIFY_SOCKET: join(directory.path, 'notify'),
  };
  const daemon = new DaemonProcess([], environment);
  try {
    await daemon.ready();
    const { message } = await daemon.seen('service-manager');
    assert.match(String(message), /asked to be told READY=1.*WMBT_KV_NATIVE is off/);
    assert.equal(await daemon.stop(), 0);
  } finally {
    await daemon.stop('SIGKILL');
    await directory.remove();
  }
});
