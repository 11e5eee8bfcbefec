import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { projectRoot } from '../../tools/project.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';

const run = promisify(execFile);
const unit = readFileSync(
  join(projectRoot(), 'deploy', 'systemd', 'wombatkv-daemon.service'),
  'utf8',
);

let directory: TemporaryDirectory;
before(async () => {
  directory = await makeTemporaryDirectory('systemd');
});
after(() => directory.remove());

/** Takes datagrams as systemd does, and prints what they say. */
const receiver = `
import os, socket, sys
door = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
door.bind(sys.argv[1])
print('listening', flush=True)
while True:
    data, files, _, _ = socket.recv_fds(door, 4096, 8)
    for one in files: os.close(one)
    print(data.decode().replace('\\n', ' '), flush=True)
`;

describe('the unit for systemd', () => {
  it('is verified, and hardened enough for systemd-analyze', async () => {
    const path = `${directory.path}/wombatkv-daemon.service`;
    // The command and the user are there where it is installed only.
    const local = unit
      .replace('/usr/bin/wombatkv-daemon', '/bin/true')
      .replace(/^(User|Group)=.*$/gm, '$1=root');
    writeFileSync(path, local);
    const verified = await run('systemd-analyze', ['verify', '--man=no', path]);
    assert.equal(verified.stderr.trim(), '');
    writeFileSync(path, unit);
    const words = ['security', '--offline=true', '--no-pager', '--threshold=25', path];
    const { stdout } = await run('systemd-analyze', words);
    assert.match(stdout, /Overall exposure level.*(?:SAFE|OK)/);
  });

  it('has a command that tells when it is ready and when it stops', async () => {
    const socket = `${directory.path}/notify`;
    const told: string[] = [];
    const manager = spawn('python3', ['-c', receiver, socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    manager.stdout.setEncoding('utf8').on('data', (text: string) => told.push(...text.split('\n')));
    await once(manager.stdout, 'data');
    const [, command = ''] = /^ExecStart=\S+ (.*)$/m.exec(unit) ?? [];
    const sample = join(projectRoot(), 'deploy', 'systemd', 'daemon.conf');
    const configuration = `${directory.path}/daemon.conf`;
    writeFileSync(
      configuration,
      readFileSync(sample, 'utf8').replaceAll('/var/lib/wombatkv', directory.path),
    );
    const words = command.replace('/etc/wombatkv/daemon.conf', configuration).split(' ');
    const daemon = new DaemonProcess(words, {
      HOME: directory.path,
      WMBT_KV_RUNTIME_DIR: `${directory.path}/run`,
      NOTIFY_SOCKET: socket,
      // Then the program tells; test/cli/daemon-readiness.test.ts has native code tell.
      WMBT_KV_NATIVE: 'off',
    });
    try {
      assert.deepEqual(await daemon.ready(), [`unix:${directory.path}/run/default.sock`]);
      await eventually('it is ready', () =>
        Promise.resolve(told.some((text) => text.includes('READY=1'))),
      );
      assert.ok(
        told.some((text) => text.includes(`MAINPID=${daemon.child.pid}`)),
        told.join('|'),
      );
      assert.equal(await daemon.stop(), 0);
      assert.ok(
        told.some((text) => text.includes('STOPPING=1')),
        told.join('|'),
      );
      assert.ok(!daemon.output.includes('service-manager'), daemon.output);
    } finally {
      await daemon.stop('SIGKILL');
      manager.kill('SIGKILL');
      await once(manager, 'exit');
    }
  });
});
