import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { resetSocket } from './reset-socket.ts';

describe('resetSocket', () => {
  const server = createServer({ allowHalfOpen: true });
  after(() => server.close());

  async function connected(): Promise<{ near: Socket; far: Socket }> {
    if (!server.listening) await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const arrived = once(server, 'connection');
    const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await once(near, 'connect');
    const [far] = (await arrived) as [Socket];
    return { near, far };
  }

  it('is felt by the peer as a reset', async () => {
    const { near, far } = await connected();
    const failure = once(far.resume(), 'error');
    resetSocket(near);
    const [error] = (await failure) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
  });

  it('closes a socket that was told to end in the same turn', async () => {
    const { near, far } = await connected();
    far.on('error', () => undefined).resume();
    const closed = once(near, 'close', { signal: AbortSignal.timeout(5000) });
    near.write('last words');
    near.end();
    // The words are handed over, and the end is under way.
    process.nextTick(() => resetSocket(near));
    await closed;
    far.destroy();
  });
});
