import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { testHttp } from '../../test/conformance/http-suite.ts';
import { inTime, rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { helloAnswer, HttpScene, httpRequest, into } from '../../test/support/http-scene.ts';
import type { Http, HttpOriginOptions } from '../platform/http.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { directHttp } from './direct-http.ts';

const http = directHttp(nodePlatform());
testHttp('directHttp', http);

const scene = new HttpScene(http);
afterEach(() => scene.close());

describe('an answer', () => {
  it('fills the memory in chunks too, and is refused when these are too many or too few', async () => {
    const head = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n';
    const origin = await scene.serverThat((socket) =>
      socket.write(`${head}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n`),
    );
    const client = scene.open(origin);
    const memory = Buffer.alloc(5);
    await client.send(httpRequest(into(memory)));
    assert.equal(memory.toString(), 'hello');
    await assert.rejects(client.send(httpRequest(into(new Uint8Array(4)))), /more than 4 bytes/);
    await assert.rejects(client.send(httpRequest(into(new Uint8Array(6)))), /5 of 6 bytes/);
    await client.send(httpRequest(into(memory.subarray(0, 4), true)));
  });

  it('comes behind informational heads, and without a body where there can be none', async () => {
    const answering = (length: number): Promise<string> =>
      scene.serverThat((socket) => {
        socket.write('HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n');
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`);
      });
    const toHead = scene.open(await answering(1234));
    const { headers, body } = await toHead.send(httpRequest({ method: 'HEAD' }));
    assert.deepEqual([headers['content-length'], body.length], ['1234', 0]);
    const toGet = scene.open(await answering(0));
    const empty = await toGet.send(httpRequest(into(new Uint8Array(0))));
    assert.deepEqual([empty.status, empty.headers['link']], [200, undefined]);
  });

  it('whose length nobody states is UNAVAILABLE', async () => {
    const origin = await scene.serverThat((socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nhello'));
    await rejectsWith('UNAVAILABLE', scene.open(origin).send(httpRequest()));
  });

  it('with more behind it than it says ends its connection: nobody is given the rest', async () => {
    const sockets = new Set<Socket>();
    const origin = await scene.serverThat((socket) => {
      sockets.add(socket);
      socket.write(helloAnswer + helloAnswer.replace('hello', 'other'));
    });
    const client = scene.open(origin);
    for (let count = 1; count <= 3; count += 1) {
      const { body } = await client.send(httpRequest());
      assert.equal(Buffer.from(body).toString(), 'hello');
      assert.equal(sockets.size, count);
    }
  });

  it('that comes before the request was taken is one, and the connection is not used again', async () => {
    const sockets = new Set<Socket>();
    const origin = await scene.serverThat((socket) => {
      if (sockets.has(socket)) return;
      sockets.add(socket);
      socket.pause();
      socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno');
    });
    const client = scene.open(origin);
    const body = [Buffer.alloc(32_000_000)];
    const early = client.send(httpRequest({ method: 'PUT', body }));
    assert.equal((await inTime(10_000, 'an early answer', early)).status, 403);
    assert.equal((await client.send(httpRequest())).status, 403);
    assert.equal(sockets.size, 2);
  });
});

describe('connections', () => {
  it('are as many as there may be; further requests wait, in order of arrival', async () => {
    const held: Socket[] = [];
    const asked: string[] = [];
    const origin = await scene.serverThat((socket, text) => {
      asked.push(text.split(' ').at(-2) ?? '');
      held.push(socket);
    });
    const client = scene.open(origin, { connectionsMax: 2 });
    const sent = ['/a', '/b', '/c', '/d'].map((path) => client.send(httpRequest({ path })));
    const given = new AbortController();
    const impatient = client.send(httpRequest({ path: '/e', signal: given.signal }));
    given.abort();
    await rejectsWith('ABORTED', impatient);
    for (let answered = 0; answered < 4; answered += 1) {
      while (held.length <= answered) await new Promise((resolve) => setTimeout(resolve, 5));
      assert.ok(held.length <= answered + 2, 'no more than two at once');
      held[answered].write(helloAnswer);
    }
    await inTime(5000, 'all', Promise.all(sent));
  });

  it('that the server closed while nobody used them are not used', async () => {
    const closed: Promise<unknown>[] = [];
    const origin = await scene.serverThat((socket) => {
      socket.end(helloAnswer);
      closed.push(once(socket, 'close'));
    });
    const client = scene.open(origin);
    for (let count = 0; count < 5; count += 1) {
      assert.equal((await client.send(httpRequest())).status, 200);
      await Promise.all(closed);
    }
  });

  it('are not to be had after close', async () => {
    const origin = await scene.serverThat((socket) => socket.write(helloAnswer));
    const client = http.open({ origin, connectionsMax: 1 });
    await client.send(httpRequest());
    await client.close();
    await rejectsWith('UNAVAILABLE', client.send(httpRequest()));
  });
});

it('leaves an origin behind a proxy to the platform', () => {
  const opened: HttpOriginOptions[] = [];
  const origin = http.open({ origin: 'http://127.0.0.1:1', connectionsMax: 1 });
  const platform: Http = {
    open: (options) => {
      opened.push(options);
      return origin;
    },
  };
  const options = { origin: 'https://s3.test', connectionsMax: 3, proxy: 'http://proxy.test' };
  directHttp({ ...nodePlatform(), http: platform }).open(options);
  assert.deepEqual(opened, [options]);
});
