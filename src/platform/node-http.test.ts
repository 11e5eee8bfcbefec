import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { inTime, rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { S3Server } from '../../test/support/s3-server/s3-server.ts';
import { testCertificate } from '../../test/support/s3-server/test-certificate.ts';
import type { HttpBodyPlan, HttpOrigin, HttpOriginOptions, HttpRequest } from './http.ts';
import { nodeHttp } from './node-http.ts';

const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const thing of opened.splice(0).toReversed()) await thing.close();
});

/** A server that does with each connection what the test says, knowing what was sent so far. */
async function serverThat(serve: (socket: Socket, request: string) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n\r\n')) serve(socket, text);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push({
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function open(origin: string, more: Partial<HttpOriginOptions> = {}): HttpOrigin {
  const client = nodeHttp.open({ origin, connectionsMax: 4, ...more });
  opened.push(client);
  return client;
}

/** A request that collects a short answer. */
function request(more: Partial<HttpRequest> = {}): HttpRequest {
  return {
    method: 'GET',
    path: '/',
    headers: {},
    receive: () => ({ kind: 'collect', byteLengthMax: 1000 }),
    deadlineMs: 20_000,
    idleMs: 20_000,
    ...more,
  };
}

function into(bytes: Uint8Array, isRestDropped = false): Partial<HttpRequest> {
  const plan: HttpBodyPlan = { kind: 'into', bytes, isRestDropped };
  return { receive: () => plan };
}

const hello = 'HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX-Word: one\r\nx-word: two\r\n\r\nhello';

describe('nodeHttp', () => {
  it('sends path and headers as they are, and gives status, headers and body', async () => {
    let seen = '';
    const origin = await serverThat((socket, text) => {
      seen = text;
      socket.write(hello);
    });
    const client = open(origin);
    const path = '/a/../b/./c//d%2Fe?x=%20';
    const response = await client.send(request({ path, headers: { 'x-mine': 'yes' } }));
    assert.match(seen, /^GET \/a\/\.\.\/b\/\.\/c\/\/d%2Fe\?x=%20 HTTP\/1\.1\r\n/);
    assert.match(seen, /x-mine: yes\r\n/);
    assert.equal(response.status, 200);
    assert.equal(response.headers['x-word'], 'one, two');
    assert.equal(Buffer.from(response.body).toString(), 'hello');
  });

  it('sends parts of any size one after another, with their length', async () => {
    const parts = [Buffer.from('head'), Buffer.alloc(3_000_000, 7), Buffer.from('end')];
    let received = '';
    const origin = await serverThat((socket, text) => {
      received = text;
      if (text.endsWith('end')) socket.write(hello);
    });
    await open(origin).send(request({ method: 'PUT', body: parts }));
    const [head = '', body = ''] = received.split(/\r\n\r\n(.*)/s);
    assert.match(head, /content-length: 3000007/);
    assert.equal(body.length, 3_000_007);
    assert.ok(body.startsWith('head\x07') && body.endsWith('\x07end'));
  });

  it('keeps connections for the next requests', async () => {
    const ports = new Set<number | undefined>();
    const origin = await serverThat((socket) => {
      ports.add(socket.remotePort);
      socket.write(hello);
    });
    const client = open(origin);
    for (let count = 0; count < 8; count += 1) await client.send(request());
    // A connection is free again a moment after its answer, so two take turns.
    assert.ok(ports.size <= 2, `${ports.size} connections`);
  });

  it('fills the memory that receive gives, and nothing beside it', async () => {
    const origin = await serverThat((socket) => socket.write(hello));
    const memory = Buffer.alloc(9, '.');
    await open(origin).send(request(into(memory.subarray(2, 7))));
    assert.equal(memory.toString(), '..hello..');
  });

  it('refuses a body that is longer or shorter than the memory', async () => {
    const origin = await serverThat((socket) => socket.write(hello));
    await assert.rejects(open(origin).send(request(into(new Uint8Array(4)))), /more than 4 bytes/);
    await assert.rejects(open(origin).send(request(into(new Uint8Array(6)))), /5 of 6 bytes/);
  });

  it('takes the beginning of a body when the rest is not wanted', async () => {
    const origin = await serverThat((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello world'),
    );
    const memory = new Uint8Array(5);
    await inTime(5000, 'send', open(origin).send(request(into(memory, true))));
    assert.equal(Buffer.from(memory).toString(), 'hello');
  });

  it('refuses to collect more than was allowed', async () => {
    const origin = await serverThat((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n${'x'.repeat(2000)}`),
    );
    await assert.rejects(open(origin).send(request()), /more than 1000 bytes/);
  });

  it('rejects with what receive threw, and is not harmed', async () => {
    const origin = await serverThat((socket) => socket.write(hello));
    const client = open(origin);
    const refusal = new Error('no room');
    const receive = (): never => {
      throw refusal;
    };
    await assert.rejects(client.send(request({ receive })), (error) => error === refusal);
    assert.equal((await client.send(request())).status, 200);
  });

  it('is UNAVAILABLE with the reason when nobody listens, or the exchange breaks off', async () => {
    const gone = await serverThat((socket) => socket.destroy());
    await rejectsWith('UNAVAILABLE', open(gone).send(request()));
    const broken = await serverThat((socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-le'));
    await rejectsWith('UNAVAILABLE', open(broken).send(request()));
    const other = await serverThat((socket) => socket.end('220 mail.example.org ESMTP\r\n'));
    await rejectsWith('UNAVAILABLE', open(other).send(request()));
    const nobody = open('http://127.0.0.1:1');
    await assert.rejects(nobody.send(request()), /GET at http:\/\/127\.0\.0\.1:1 .*ECONNREFUSED/);
  });

  it('ends at the deadline, and after a pause that is too long', async () => {
    const silent = await serverThat(() => undefined);
    const late = open(silent).send(request({ deadlineMs: 100 }));
    await inTime(5000, 'deadline', assert.rejects(late, /took more than 100 ms/));
    const stalled = await serverThat((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello'),
    );
    const idle = open(stalled).send(request({ idleMs: 500 }));
    await inTime(8000, 'pause', assert.rejects(idle, /Body Timeout/));
  });

  it('ends with ABORTED at once when the signal fires, wherever the exchange is', async () => {
    const silent = await serverThat(() => undefined);
    const client = open(silent, { connectionsMax: 1 });
    const controller = new AbortController();
    const { signal } = controller;
    const running = [client.send(request({ signal })), client.send(request({ signal }))];
    setTimeout(() => controller.abort(new Error('enough')), 50);
    for (const call of running) await inTime(2000, 'abort', rejectsWith('ABORTED', call));
    await rejectsWith('ABORTED', client.send(request({ signal })));
  });

  it('close breaks off what is under way', async () => {
    const silent = await serverThat(() => undefined);
    const client = nodeHttp.open({ origin: silent, connectionsMax: 1 });
    const running = client.send(request());
    const ended = rejectsWith('UNAVAILABLE', running);
    setTimeout(() => void client.close(), 50);
    await inTime(5000, 'close', ended);
  });
});

describe('nodeHttp with TLS', () => {
  it('trusts a certificate that it is given, and no other', async () => {
    const server = await S3Server.start({ tls: testCertificate });
    opened.push(server);
    await assert.rejects(open(server.endpoint).send(request()), /self-signed certificate/);
    const trusting = open(server.endpoint, { certificates: testCertificate.cert });
    // The server speaks: it misses a signature.
    assert.equal((await trusting.send(request())).status, 403);
  });
});

describe('nodeHttp with a proxy', () => {
  it('tunnels through it and tells it the password of its URL', async () => {
    const server = await S3Server.start();
    opened.push(server);
    let asked = '';
    const proxy = await serverThat((socket, text) => {
      asked = text;
      const isTunnel = text.includes('\r\n\r\nGET / ');
      socket.write(
        isTunnel
          ? 'HTTP/1.1 418 Through\r\ncontent-length: 0\r\n\r\n'
          : 'HTTP/1.1 200 Connection established\r\n\r\n',
      );
    });
    const withPassword = proxy.replace('//', '//me:secret@');
    const client = open(server.endpoint, { proxy: withPassword });
    assert.equal((await client.send(request())).status, 418);
    assert.match(asked, new RegExp(`^CONNECT 127\\.0\\.0\\.1:${server.port} HTTP`));
    assert.match(asked, /proxy-authorization: Basic bWU6c2VjcmV0/i);
  });
});
