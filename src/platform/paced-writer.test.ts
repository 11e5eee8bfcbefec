import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { afterEach, describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import { nodeSockets } from './node-sockets.ts';
import type { SocketConnection } from './sockets.ts';

const mib = 1024 * 1024;

/** Reads until the other side ends, in a process of its own; says how many bytes came, and their sum. */
const reader = `
const socket = require('node:net').connect({ port: Number(process.argv[1]), host: '127.0.0.1' });
let count = 0, sum = 0;
socket.on('data', (bytes) => { count += bytes.length; sum = (sum + bytes[0] + bytes.at(-1)) >>> 0; });
socket.on('end', () => { console.log(count); socket.destroy(); });
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

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a connection that writes a lot', () => {
  it('hands over little before others have their turn, however fast the other side reads', async () => {
    const { server, said } = await open();
    const parts = Array.from({ length: 64 }, () => new Uint8Array(2 * mib).fill(7));
    server.write(parts);
    let most = 0;
    for (let queued = server.queuedBytes; queued > 0;) {
      await nextTurn();
      const now = server.queuedBytes;
      most = Math.max(most, queued - now);
      queued = now;
    }
    server.end();
    assert.equal(await said, String(128 * mib));
    // What is in hand in one turn, and what of the turn before the system took in this one.
    assert.ok(most <= 4 * mib, `${most} bytes went in one turn`);
  });

  it('sends what was written before its end, and nothing after its destruction', async () => {
    const { server, said } = await open();
    const flushed: string[] = [];
    server.write([new Uint8Array(10)]);
    void server.flushed().then(() => flushed.push('first'));
    server.write([new Uint8Array(5 * mib), new Uint8Array(0), new Uint8Array(1)]);
    void server.flushed().then(() => flushed.push('second'));
    server.end();
    assert.equal(await said, String(5 * mib + 11));
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
