import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { afterEach, describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { nodeSockets } from './node-sockets.ts';
import type { SocketAddress, SocketConnection, SocketListener, SocketReceiver } from './sockets.ts';

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** Collects all bytes, given in pieces of odd sizes. */
class Collector implements SocketReceiver {
  readonly hash = createHash('sha256');
  readonly closing = deferred<Error | undefined>();
  byteLength = 0;
  onBytes: (count: number, bytes: Uint8Array) => void = () => undefined;
  readonly #memory = new Uint8Array(70_001);
  #turn = 0;

  nextBuffer(): Uint8Array {
    this.#turn += 1;
    return this.#memory.subarray(0, this.#turn % 3 === 0 ? 1 : this.#memory.length);
  }

  received(count: number): void {
    const bytes = this.#memory.slice(0, count);
    this.hash.update(bytes);
    this.byteLength += count;
    this.onBytes(count, bytes);
  }

  closed(cause: Error | undefined): void {
    this.closing.resolve(cause);
  }
}

async function directory(): Promise<TemporaryDirectory> {
  const made = await makeTemporaryDirectory('sockets');
  cleanUps.push(() => made.remove());
  return made;
}

interface Ends {
  readonly listener: SocketListener;
  readonly client: SocketConnection;
  readonly server: SocketConnection;
  readonly atServer: Collector;
  readonly atClient: Collector;
}

async function open(address: SocketAddress): Promise<Ends> {
  const atServer = new Collector();
  const atClient = new Collector();
  const accepted = deferred<SocketConnection>();
  const listener = await nodeSockets.listen(address, (connection) => {
    accepted.resolve(connection);
    return atServer;
  });
  cleanUps.push(() => listener.close());
  const client = await nodeSockets.connect(listener.address, { timeoutMs: 5000 }, () => atClient);
  const server = await accepted.promise;
  cleanUps.push(() => client.destroy());
  cleanUps.push(() => server.destroy());
  return { listener, client, server, atServer, atClient };
}

for (const kind of ['unix', 'tcp'] as const) {
  describe(`a ${kind} socket`, () => {
    const address = async (): Promise<SocketAddress> =>
      kind === 'tcp'
        ? { kind, host: '127.0.0.1', port: 0 }
        : { kind, path: `${(await directory()).path}/a.sock` };

    it('ends where its receiver has no place for what comes, and nothing else does', async () => {
      const { client, atServer, atClient } = await open(await address());
      atServer.onBytes = () => {
        atServer.nextBuffer = () => {
          throw new RangeError('no place');
        };
      };
      client.write([randomBytes(1000)]);
      assert.match((await atServer.closing.promise)?.message ?? '', /no place/);
      await atClient.closing.promise;
      assert.equal(atServer.byteLength, 1000);
    });

    it('carries bytes both ways, unchanged and in order, straight into given memory', async () => {
      const { client, server, atServer, atClient } = await open(await address());
      const bytes = randomBytes(5_000_003);
      const digest = createHash('sha256').update(bytes).digest('hex');
      client.write([bytes.subarray(0, 7), bytes.subarray(7, 1_000_000), bytes.subarray(1_000_000)]);
      server.write([bytes]);
      await Promise.all([client.flushed(), server.flushed()]);
      client.end();
      assert.equal(await atServer.closing.promise, undefined);
      assert.equal(await atClient.closing.promise, undefined);
      for (const end of [atServer, atClient]) {
        assert.equal(end.byteLength, bytes.length);
        assert.equal(end.hash.digest('hex'), digest);
      }
    });

    it('tells both ends when one is destroyed, and fails who waits for it', async () => {
      const { client, server, atServer } = await open(await address());
      server.setReading(false);
      client.write([new Uint8Array(64 * 1024 * 1024)]);
      assert.ok(client.queuedBytes > 0);
      const waiting = client.flushed();
      waiting.catch(() => undefined);
      client.destroy(new Error('enough'));
      await assert.rejects(waiting, /enough/);
      server.setReading(true);
      await atServer.closing.promise;
      client.write([new Uint8Array(1)]);
      await assert.rejects(client.flushed(), /enough/);
    });

    it('ends with what the receiver throws', async () => {
      const { client, atServer, atClient } = await open(await address());
      atServer.onBytes = () => {
        throw new Error('no such bytes');
      };
      client.write([new Uint8Array(10)]);
      assert.match(String(await atServer.closing.promise), /no such bytes/);
      await atClient.closing.promise;
    });

    it('refuses a second listener at its address', async () => {
      const { listener } = await open(await address());
      await assert.rejects(
        nodeSockets.listen(listener.address, () => new Collector()),
        { code: 'EADDRINUSE' },
      );
    });

    it('takes no connection after the listener was closed; those that stand go on', async () => {
      const { listener, client, atServer } = await open(await address());
      await listener.close();
      await assert.rejects(
        nodeSockets.connect(listener.address, { timeoutMs: 5000 }, () => new Collector()),
      );
      client.write([new Uint8Array(100)]);
      client.end();
      await atServer.closing.promise;
      assert.equal(atServer.byteLength, 100);
    });
  });
}

describe('the file of a Unix socket', () => {
  it('is for its owner alone', async () => {
    const path = `${(await directory()).path}/private.sock`;
    await open({ kind: 'unix', path });
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });
});

describe('connect()', () => {
  it('rejects with the error of the system when nobody listens', async () => {
    const path = `${(await directory()).path}/absent.sock`;
    await assert.rejects(
      nodeSockets.connect({ kind: 'unix', path }, { timeoutMs: 5000 }, () => new Collector()),
      { code: 'ENOENT' },
    );
  });
});
