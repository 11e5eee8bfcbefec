import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Http } from '../../src/platform/http.ts';
import { helloAnswer, HttpScene, httpRequest, into } from '../support/http-scene.ts';
import { S3Server } from '../support/s3-server/s3-server.ts';
import { testCertificate } from '../support/s3-server/test-certificate.ts';
import { inTime, rejectsWith } from './object-store-harness.ts';

/** The contract of `Http` as a program. */
export function testHttp(name: string, http: Http): void {
  const scene = new HttpScene(http);
  afterEach(() => scene.close());

  describe(`${name}: an origin`, () => {
    it('sends path and headers as they are, and gives status, headers and body', async () => {
      let seen = '';
      const origin = await scene.serverThat((socket, text) => {
        seen = text;
        socket.write(helloAnswer);
      });
      const client = scene.open(origin);
      const path = '/a/../b/./c//d%2Fe?x=%20';
      const response = await client.send(httpRequest({ path, headers: { 'x-mine': 'yes' } }));
      assert.match(seen, /^GET \/a\/\.\.\/b\/\.\/c\/\/d%2Fe\?x=%20 HTTP\/1\.1\r\n/);
      assert.match(seen, /x-mine: yes\r\n/);
      assert.equal(response.status, 200);
      assert.equal(response.headers['x-word'], 'one, two');
      assert.equal(Buffer.from(response.body).toString(), 'hello');
    });

    it('sends parts of any size one after another, with their length', async () => {
      const parts = [Buffer.from('head'), Buffer.alloc(3_000_000, 7), Buffer.from('end')];
      let received = '';
      const origin = await scene.serverThat((socket, text) => {
        received = text;
        if (text.endsWith('end')) socket.write(helloAnswer);
      });
      await scene.open(origin).send(httpRequest({ method: 'PUT', body: parts }));
      const [head = '', body = ''] = received.split(/\r\n\r\n(.*)/s);
      assert.match(head, /content-length: 3000007/);
      assert.equal(body.length, 3_000_007);
      assert.ok(body.startsWith('head\x07') && body.endsWith('\x07end'));
    });

    it('keeps connections for the next requests', async () => {
      const ports = new Set<number | undefined>();
      const origin = await scene.serverThat((socket) => {
        ports.add(socket.remotePort);
        socket.write(helloAnswer);
      });
      const client = scene.open(origin);
      for (let count = 0; count < 8; count += 1) await client.send(httpRequest());
      // A connection is free again a moment after its answer, so two take turns.
      assert.ok(ports.size <= 2, `${ports.size} connections`);
    });

    it('fills the memory that receive gives, and nothing beside it', async () => {
      const origin = await scene.serverThat((socket) => socket.write(helloAnswer));
      const memory = Buffer.alloc(9, '.');
      await scene.open(origin).send(httpRequest(into(memory.subarray(2, 7))));
      assert.equal(memory.toString(), '..hello..');
    });

    it('refuses a body that is longer or shorter than the memory', async () => {
      const origin = await scene.serverThat((socket) => socket.write(helloAnswer));
      await assert.rejects(
        scene.open(origin).send(httpRequest(into(new Uint8Array(4)))),
        /more than 4 bytes/,
      );
      await assert.rejects(
        scene.open(origin).send(httpRequest(into(new Uint8Array(6)))),
        /5 of 6 bytes/,
      );
    });

    it('takes the beginning of a body when the rest is not wanted', async () => {
      const origin = await scene.serverThat((socket) =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nhello world'),
      );
      const memory = new Uint8Array(5);
      await inTime(5000, 'send', scene.open(origin).send(httpRequest(into(memory, true))));
      assert.equal(Buffer.from(memory).toString(), 'hello');
    });

    it('refuses to collect more than was allowed', async () => {
      const origin = await scene.serverThat((socket) =>
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n${'x'.repeat(2000)}`),
      );
      await assert.rejects(scene.open(origin).send(httpRequest()), /more than 1000 bytes/);
    });

    it('rejects with what receive threw, and is not harmed', async () => {
      const origin = await scene.serverThat((socket) => socket.write(helloAnswer));
      const client = scene.open(origin);
      const refusal = new Error('no room');
      const receive = (): never => {
        throw refusal;
      };
      await assert.rejects(client.send(httpRequest({ receive })), (error) => error === refusal);
      assert.equal((await client.send(httpRequest())).status, 200);
    });

    it('is UNAVAILABLE with the reason when nobody listens, or the exchange breaks off', async () => {
      const gone = await scene.serverThat((socket) => socket.destroy());
      await rejectsWith('UNAVAILABLE', scene.open(gone).send(httpRequest()));
      const broken = await scene.serverThat((socket) =>
        socket.end('HTTP/1.1 200 OK\r\ncontent-le'),
      );
      await rejectsWith('UNAVAILABLE', scene.open(broken).send(httpRequest()));
      const other = await scene.serverThat((socket) =>
        socket.end('220 mail.example.org ESMTP\r\n'),
      );
      await rejectsWith('UNAVAILABLE', scene.open(other).send(httpRequest()));
      const nobody = scene.open('http://127.0.0.1:1');
      await assert.rejects(
        nobody.send(httpRequest()),
        /GET at http:\/\/127\.0\.0\.1:1:? .*ECONNREFUSED/,
      );
    });

    it('ends at the deadline, and after a pause that is too long', async () => {
      const silent = await scene.serverThat(() => undefined);
      const late = scene.open(silent).send(httpRequest({ deadlineMs: 100 }));
      await inTime(5000, 'deadline', assert.rejects(late, /took more than 100 ms/));
      const stalled = await scene.serverThat((socket) =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello'),
      );
      const idle = scene.open(stalled).send(httpRequest({ idleMs: 500 }));
      await inTime(8000, 'pause', assert.rejects(idle, /Body Timeout|silent/));
    });

    it('ends with ABORTED at once when the signal fires, wherever the exchange is', async () => {
      const silent = await scene.serverThat(() => undefined);
      const client = scene.open(silent, { connectionsMax: 1 });
      const controller = new AbortController();
      const { signal } = controller;
      const running = [client.send(httpRequest({ signal })), client.send(httpRequest({ signal }))];
      setTimeout(() => controller.abort(new Error('enough')), 50);
      for (const call of running) await inTime(5000, 'abort', rejectsWith('ABORTED', call));
      await rejectsWith('ABORTED', client.send(httpRequest({ signal })));
    });

    it('close breaks off what is under way', async () => {
      const silent = await scene.serverThat(() => undefined);
      const client = http.open({ origin: silent, connectionsMax: 1 });
      const running = client.send(httpRequest());
      const ended = rejectsWith('UNAVAILABLE', running);
      setTimeout(() => void client.close(), 50);
      await inTime(5000, 'close', ended);
    });
  });

  describe(`${name}: an origin with TLS`, () => {
    it('trusts a certificate that it is given, and no other', async () => {
      const server = await S3Server.start({ tls: testCertificate });
      scene.own(server);
      await assert.rejects(
        scene.open(server.endpoint).send(httpRequest()),
        /self-signed certificate/,
      );
      const trusting = scene.open(server.endpoint, { certificates: testCertificate.cert });
      // The server speaks: it misses a signature.
      assert.equal((await trusting.send(httpRequest())).status, 403);
    });
  });
}
