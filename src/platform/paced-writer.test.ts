import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { afterEach, describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { nodeSockets } from './node-sockets.ts';
import type { SocketConnection } from './sockets.ts';

const mib = 1024 * 1024;

/** Reads until the other side ends, in a process of its own; says how many bytes came, and their digest. */
const reader = `
const socket = require('node:net').connect({ port: Number(process.argv[1]), host: '127.0.0.1' });
const hash = require('node:crypto').createHash('sha256');
let count = 0;
socket.on('data', (bytes) => { count += bytes.length; hash.update(bytes); });
socket.on('end', () => { console.log(count + ' ' + hash.digest('hex')); socket.destroy(); });
`;

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

interface Ends {
  readonly server: SocketConnection;
  readonly child: ChildProcess;
  /** What the reader says in the end. */
  readonly said: Promise<string>;
}

/** A connection to a process that reads as fast as it can. */
async function open(): Promise<Ends> {
  const accepted = deferred<SocketConnection>();
  const listener = await nodeSockets.listen(
    { kind: 'tcp', host: '127.0.0.1', port: 0 },
    (connection) => {
      accepted.resolve(connection);
      return { nextBuffer: () => new Uint8Array(64), received() {}, closed() {} };
    },
  );
  cleanUps.push(() => void listener.close());
  assert.ok(listener.address.kind === 'tcp');
  const child = spawn(process.execPath, ['-e', reader, String(listener.address.port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanUps.push(() => child.kill('SIGKILL'));
  const said = deferred<string>();
  child.stdout?.once('data', (bytes: Buffer) => said.resolve(bytes.toString().trim()));
  const server = await accepted.promise;
  cleanUps.push(() => server.destroy());
  return { server, child, said: said.promise };
}

function told(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return `${parts.reduce((sum, { length }) => sum + length, 0)} ${hash.digest('hex')}`;
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a connection that writes a lot', () => {
  it('hands over little before others have their turn, however fast the other side reads', async () => {
    const { server, said } = await open();
    const parts = Array.from({ length: 64 }, (_, index) => randomPayload(index, 2 * mib));
    server.write(parts);
    let most = 0;
    for (let queued = 128 * mib; queued > 0; await nextTurn()) {
      const now = server.queuedBytes;
      most = Math.max(most, queued - now);
      queued = now;
    }
    server.end();
    assert.equal(await said, told(parts));
    // What is in hand in one turn, and what of the turn before the system took in this one.
    assert.ok(most <= 4 * mib, `${most} bytes went in one turn`);
  });

  it('sends what was written before its end, and nothing after its destruction', async () => {
    const { server, said } = await open();
    const flushed: string[] = [];
    const first = [randomPayload(1, 10)];
    server.write(first);
    void server.flushed().then(() => flushed.push('first'));
    const second = [randomPayload(2, 5 * mib), new Uint8Array(0), randomPayload(3, 1)];
    server.write(second);
    void server.flushed().then(() => flushed.push('second'));
    server.end();
    assert.equal(await said, told([...first, ...second]));
    assert.deepEqual(flushed, ['first', 'second']);

    const other = await open();
    other.server.write([new Uint8Array(32 * mib)]);
    const waiting = other.server.flushed();
    other.server.destroy(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    await assert.rejects(other.server.flushed(), /enough/);
    assert.equal(other.server.queuedBytes, 0);
  });
});
