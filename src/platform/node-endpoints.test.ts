import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { after, afterEach, describe, it } from 'node:test';
import { inTime } from '../../test/conformance/object-store-harness.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { nodeEndpoints } from './node-endpoints.ts';

const timeoutMs = 20_000;
const directory = await makeTemporaryDirectory('endpoints');
const children: ChildProcess[] = [];
let names = 0;

after(() => directory.remove());
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function freshPath(): string {
  names += 1;
  return `${directory.path}/${names}.sock`;
}

/** Another process that listens at the path until it is killed. */
async function owner(path: string): Promise<ChildProcess> {
  const module = new URL('node-endpoints.js', import.meta.url).href;
  const program = `
    const { nodeEndpoints } = await import(${JSON.stringify(module)});
    await nodeEndpoints.listen(${JSON.stringify(path)});
    setInterval(() => undefined, 1000);
    process.stdout.write('ready');`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

describe('nodeEndpoints', () => {
  it('listens until it is closed, and then the socket file is gone', async () => {
    const path = freshPath();
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
    const listener = await nodeEndpoints.listen(path);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true);
    await listener.close();
    assert.equal(existsSync(path), false);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
    const again = await nodeEndpoints.listen(path);
    await again.close();
  });

  it('closes every connection at once, and answers any number of them', async () => {
    const path = freshPath();
    const listener = await nodeEndpoints.listen(path);
    const socket = connect({ path });
    await inTime(5000, 'close of the connection', once(socket.resume(), 'close'));
    const probes = Array.from({ length: 64 }, () => nodeEndpoints.isListening(path, timeoutMs));
    assert.ok((await Promise.all(probes)).every((isListening) => isListening));
    await listener.close();
  });

  it('does not take a path where something is', async () => {
    const path = freshPath();
    const listener = await nodeEndpoints.listen(path);
    await assert.rejects(nodeEndpoints.listen(path), { code: 'EADDRINUSE' });
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true);
    await listener.close();
    await writeFile(path, 'a file');
    await assert.rejects(nodeEndpoints.listen(path), { code: 'EADDRINUSE' });
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
  });

  it('works with paths longer than the system allows', async () => {
    const deep = `${directory.path}/${'long-name-'.repeat(20)}/${'x'.repeat(200)}`;
    const path = `${deep}/owner.sock`;
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
    await assert.rejects(nodeEndpoints.listen(path), { code: 'ENOENT' });
    await mkdir(deep, { recursive: true });
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
    const listener = await nodeEndpoints.listen(path);
    assert.ok(existsSync(path));
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true);
    await assert.rejects(nodeEndpoints.listen(path), { code: 'EADDRINUSE' });
    await listener.close();
    assert.equal(existsSync(path), false);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
    const child = await owner(path);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true);
    await kill(child);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
  });

  // Closing removes the socket by the name that it was bound to. When that is a name through a
  // directory's descriptor, the descriptor must not belong to another directory by then.
  it('closes a long path’s listener without touching sockets elsewhere', async () => {
    const [own, other] = [`${directory.path}/${'o'.repeat(120)}`, `${directory.path}/other`];
    await mkdir(own);
    await mkdir(other);
    const living = await nodeEndpoints.listen(`${other}/owner.sock`);
    const closing = await nodeEndpoints.listen(`${own}/owner.sock`);
    const handles = await Promise.all([1, 2, 3, 4].map(() => open(other)));
    try {
      await closing.close();
      assert.equal(existsSync(`${own}/owner.sock`), false);
      assert.equal(existsSync(`${other}/owner.sock`), true);
    } finally {
      await Promise.all(handles.map((handle) => handle.close()));
      await living.close();
    }
  });

  it('tells the socket file of a dead process from one that lives', async () => {
    const path = freshPath();
    const child = await owner(path);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true);
    await kill(child);
    assert.ok(existsSync(path), 'the file outlives its process');
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
  });

  it('finds a stopped owner alive, however often it is asked', async () => {
    const path = freshPath();
    const child = await owner(path);
    child.kill('SIGSTOP');
    // The system answers for it until its queue of connections is full; a full one is an answer too.
    const probe = async (): Promise<void> => {
      for (let count = 0; count < 1500; count += 1) {
        assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true, `probe ${count}`);
      }
    };
    await inTime(30_000, '1500 probes', probe());
    child.kill('SIGCONT');
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), true);
    await kill(child);
    assert.equal(await nodeEndpoints.isListening(path, timeoutMs), false);
  });

  it('does not keep the process alive', async () => {
    const module = new URL('node-endpoints.js', import.meta.url).href;
    const program = `
      const { nodeEndpoints } = await import(${JSON.stringify(module)});
      await nodeEndpoints.listen(${JSON.stringify(freshPath())});`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
    children.push(child);
    const [code] = await inTime(20_000, 'exit', once(child, 'exit'));
    assert.equal(code, 0);
  });
});
