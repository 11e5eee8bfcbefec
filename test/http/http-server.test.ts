import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

import { request } from 'undici';
import { crc32c } from '../../src/base/crc32c.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { openStore } from '../../src/open-store.ts';
import { chainOf } from '../support/chains.ts';
import { httpPlatform } from '../support/http-world.ts';
import { patience } from '../support/patience.ts';
import { randomPayload } from '../support/payloads.ts';
import { parsePrometheus } from '../support/prometheus.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const run = promisify(execFile);
const limits = { lingerMs: 200, connectionsMax: 12 };
/** So short that a test may wait until they have passed. */
const shortLimits = { headMs: 400, bodyMs: 400, idleMs: 700, lingerMs: 200 };

let directory: TemporaryDirectory;
let store: KvStore;
let server: HttpServer;
let port: number;
let base: string;

before(async () => {
  directory = await makeTemporaryDirectory('http-server');
  store = await openStore({
    objectStore: 'memory:',
    cacheDirectory: `${directory.path}/cache`,
    ...patience,
  });
  server = new HttpServer({
    store: store as ServedStore,
    platform: httpPlatform,
    limits,
    authorize: ({ namespace, authorization }) => {
      if (namespace !== 'secret' || authorization === 'Bearer key') return undefined;
      const status = authorization === undefined ? 401 : 403;
      return { status, reason: 'the namespace secret needs a token' };
    },
  });
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
  base = `http://127.0.0.1:${port}`;
});

after(async () => {
  await server.close();
  await store.close();
  await directory.remove();
});

/** Sends raw bytes and resolves to all that comes back until the server closes. */
function raw(
  pieces: readonly (string | Uint8Array)[],
  { pauseMs = 0, to = port } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(to, '127.0.0.1');
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.on('error', (error) => (text === '' ? reject(error) : resolve(text)));
    socket.on('close', () => resolve(text));
    void (async () => {
      for (const piece of pieces) {
        if (socket.destroyed) return;
        socket.write(piece);
        await sleep(pauseMs);
      }
    })();
  });
}

const head = 'Host: h\r\n';
const { keys } = chainOf('http-server', 3);
const payload = randomPayload('http-server', 300_000);
const blockPath = (at: number): string => `/wmbt/v1/ns/a%2Fb/blocks/${keys[at]}`;

async function reasonOf(answer: { body: { json(): Promise<unknown> } }): Promise<string> {
  const value = (await answer.body.json()) as { error: { code: string; reason: string } };
  assert.ok(value.error.reason.length > 0);
  return value.error.code;
}

describe('plain resources, by undici', () => {
  it('ping answers 200 with an empty body', async () => {
    const { statusCode, headers, body } = await request(`${base}/wmbt/v1/ping`);
    assert.deepEqual([statusCode, headers['content-length'], await body.text()], [200, '0', '']);
  });

  it('a block is put, had, looked at, cut, validated and deleted', async () => {
    const url = base + blockPath(0);
    const put = await request(url, { method: 'PUT', body: payload });
    assert.deepEqual(
      [put.statusCode, ((await put.body.json()) as { saved: number }).saved],
      [201, 1],
    );
    const again = await request(url, { method: 'PUT', body: payload });
    assert.deepEqual(
      [again.statusCode, ((await again.body.json()) as { known: number }).known],
      [200, 1],
    );
    const got = await request(url);
    assert.ok(Buffer.from(await got.body.arrayBuffer()).equals(payload));
    const tag = String(got.headers.etag);
    assert.equal(tag, `"${crc32c(payload).toString(16).padStart(8, '0')}-300000"`);
    const looked = await request(url, { method: 'HEAD' });
    assert.deepEqual([looked.statusCode, looked.headers['content-length']], [200, '300000']);
    for (const [range, start, end] of [
      ['bytes=5-9', 5, 10],
      ['bytes=299990-', 299_990, 300_000],
      ['bytes=-7', 299_993, 300_000],
    ] as const) {
      const part = await request(url, { headers: { range } });
      assert.equal(part.statusCode, 206);
      assert.equal(part.headers['content-range'], `bytes ${start}-${end - 1}/300000`);
      assert.ok(Buffer.from(await part.body.arrayBuffer()).equals(payload.subarray(start, end)));
    }
    const beyond = await request(url, { headers: { range: 'bytes=300000-' } });
    assert.deepEqual([beyond.statusCode, beyond.headers['content-range']], [416, 'bytes */300000']);
    await beyond.body.dump();
    const same = await request(url, { headers: { 'if-none-match': `"x", ${tag}` } });
    assert.deepEqual([same.statusCode, await same.body.text()], [304, '']);
    const taken = await request(url, {
      method: 'PUT',
      body: payload,
      headers: { 'if-none-match': '*' },
    });
    assert.equal(taken.statusCode, 412);
    await taken.body.dump();
    const gone = await request(url, { method: 'DELETE' });
    assert.equal(gone.statusCode, 200);
    await gone.body.dump();
    const missed = await request(url);
    assert.deepEqual([missed.statusCode, missed.headers['wombatkv-miss']], [404, 'unknown']);
    assert.equal(await reasonOf(missed), 'MISS');
  });

  it('lookup answers by GET and by POST', async () => {
    await request(base + blockPath(1), { method: 'PUT', body: 'x' });
    const path = `${base}/wmbt/v1/ns/a%2Fb/lookup`;
    const expected = { matched: 1, reason: 'unknown' };
    const list = `${keys[1]},${keys[2]}`;
    assert.deepEqual(await (await request(`${path}?keys=${list}`)).body.json(), expected);
    const body = JSON.stringify({ keys: [keys[1], keys[2]] });
    const type = { 'content-type': 'application/json' };
    const posted = await request(path, { method: 'POST', body, headers: type });
    assert.deepEqual(await posted.body.json(), expected);
  });

  it('what is wrong gets its status and a reason', async () => {
    const json = { 'content-type': 'application/json' };
    const load = '/wmbt/v1/ns/a/load';
    const cases: readonly [number, string, Parameters<typeof request>[1]][] = [
      [404, '/nothing', {}],
      [405, '/wmbt/v1/ping', { method: 'DELETE' }],
      [415, '/wmbt/v1/rpc', { method: 'POST', body: 'frame' }],
      [415, load, { method: 'POST', body: '{}' }],
      [400, load, { method: 'POST', body: '{"keys":["x"]}', headers: json }],
      [400, load, { method: 'POST', body: 'nonsense', headers: json }],
      [
        400,
        load,
        {
          method: 'POST',
          body: '{"keys":[]}',
          headers: { ...json, 'wombatkv-deadline-ms': 'soon' },
        },
      ],
      [400, '/wmbt/v1/ns/a/blocks/xyz', {}],
      [400, `/wmbt/v1/ns/${'n'.repeat(81)}/lookup`, {}],
      [400, blockPath(0), { method: 'PUT', body: 'x', headers: { 'wombatkv-crc32c': '00000000' } }],
      [401, '/wmbt/v1/ns/secret/lookup', {}],
      [403, '/wmbt/v1/ns/secret/lookup', { headers: { authorization: 'Bearer other' } }],
      [401, '/wmbt/v1/ns/%73ecret/lookup', {}],
    ];
    for (const [status, path, options] of cases) {
      const answer = await request(base + path, options);
      assert.equal(answer.statusCode, status, path);
      await reasonOf(answer);
    }
    const allowed = await request(`${base}/wmbt/v1/ns/secret/lookup`, {
      headers: { authorization: 'Bearer key' },
    });
    assert.equal(allowed.statusCode, 200);
    await allowed.body.dump();
  });

  it('metrics are read by a parser of Prometheus, and count what was done', async () => {
    const answer = await request(`${base}/metrics`);
    assert.match(String(answer.headers['content-type']), /^text\/plain; version=0\.0\.4/);
    const families = parsePrometheus(await answer.body.text());
    const named = new Map(families.map((family) => [family.name, family]));
    for (const [name, type] of [
      ['wombatkv_hits_total', 'COUNTER'],
      ['wombatkv_misses_total', 'COUNTER'],
      ['wombatkv_object_requests_total', 'COUNTER'],
      ['wombatkv_pending', 'GAUGE'],
      ['wombatkv_http_pins', 'GAUGE'],
      ['wombatkv_http_request_seconds', 'HISTOGRAM'],
    ]) {
      assert.equal(named.get(name)?.type, type, name);
      assert.ok((named.get(name)?.metrics.length ?? 0) > 0, name);
    }
    const misses = named.get('wombatkv_misses_total')?.metrics ?? [];
    assert.ok(
      misses.some(({ labels, value }) => labels?.['reason'] === 'unknown' && Number(value) > 0),
    );
  });
});

describe('other clients', () => {
  it('curl puts, in chunks too, and gets the same bytes', async () => {
    const file = `${directory.path}/payload`;
    await writeFile(file, payload);
    for (const [at, more] of [
      [0, []],
      [2, ['-H', 'Transfer-Encoding: chunked', '-H', 'Expect: 100-continue']],
    ] as const) {
      const url = base + blockPath(at);
      const { stdout: status } = await run('curl', [
        '-sf',
        '-o',
        '/dev/null',
        '-w',
        '%{http_code}',
        '-T',
        file,
        ...more,
        url,
      ]);
      assert.equal(status, '201');
      const { stdout } = await run('curl', ['-sf', url], { encoding: 'buffer' });
      assert.ok(stdout.equals(payload));
    }
  });

  it('Python’s http.client keeps one connection for all of it', async () => {
    const script = [
      'import http.client, json, sys',
      `c = http.client.HTTPConnection('127.0.0.1', ${port})`,
      `c.request('PUT', '${blockPath(0)}?durable=1', bytes(range(256)) * 999)`,
      'r = c.getresponse(); r.read(); assert r.status in (200, 201), r.status',
      "c.request('POST', '/wmbt/v1/ns/py/contains', iter([b'{\"keys\":', b'[]}']), {'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked'}, encode_chunked=True)",
      'r = c.getresponse(); assert json.loads(r.read())["stored"] == [], r.status',
      "c.request('GET', '/healthz'); r = c.getresponse(); assert json.loads(r.read()) == {'status': 'ok'}",
      "import urllib.request; print(urllib.request.urlopen('" + base + "/readyz').status)",
    ].join('\n');
    const { stdout } = await run('python3', ['-c', script]);
    assert.equal(stdout, '200\n');
  });
});

describe('connections', () => {
  it('pipelined requests are answered one after another, in order', async () => {
    const text = await raw([
      `GET /healthz HTTP/1.1\r\n${head}\r\nGET /wmbt/v1/ping HTTP/1.1\r\n${head}\r\n` +
        `GET /nothing HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
    ]);
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), [
      'HTTP/1.1 200',
      'HTTP/1.1 200',
      'HTTP/1.1 404',
    ]);
  });

  it('a refused request is the last of its connection: what follows is not run', async () => {
    const smuggled = `GET /healthz HTTP/1.1\r\n${head}\r\n`;
    const text = await raw([
      `POST /wmbt/v1/flush HTTP/1.1\r\n${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ]);
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 400']);
    assert.match(text, /Content-Length beside Transfer-Encoding/);
    assert.match(text, /connection: close/);
  });

  it('an unread body is not taken for a request', async () => {
    const body = `GET /healthz HTTP/1.1\r\n${head}\r\n`.padEnd(70_000, ' ');
    const text = await raw([
      `PUT /nothing HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`,
    ]);
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 404']);
  });

  it('100 Continue comes when the body is wanted, and the refusal instead when it is not', async () => {
    const expect = `${head}Expect: 100-continue\r\nConnection: close\r\nContent-Length: `;
    const wanted = await raw([`PUT ${blockPath(0)} HTTP/1.1\r\n${expect}1\r\n\r\n`, 'x'], {
      pauseMs: 100,
    });
    assert.match(wanted, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 20[01]/);
    const unwanted = await raw([`PUT /nothing HTTP/1.1\r\n${expect}1\r\n\r\n`]);
    assert.match(unwanted, /^HTTP\/1\.1 404/);
    const tooLong = await raw([`PUT ${blockPath(0)} HTTP/1.1\r\n${expect}99999999999\r\n\r\n`]);
    assert.match(tooLong, /^HTTP\/1\.1 413/);
  });

  it('one byte at a time is served like any other', async () => {
    const text = await raw([...`GET /wmbt/v1/ping HTTP/1.1\r\n${head}Connection: close\r\n\r\n`], {
      pauseMs: 1,
    });
    assert.match(text, /^HTTP\/1\.1 200/);
  });

  it('slow heads and slow bodies get 408, idle connections are closed', async () => {
    const hasty = new HttpServer({
      ...{ store: store as ServedStore, platform: httpPlatform, limits: shortLimits },
    });
    try {
      const to = (await hasty.listen({ host: '127.0.0.1', port: 0 })).port;
      assert.match(await raw(['GET / HTTP/1.1\r\nHo'], { to }), /^HTTP\/1\.1 408/);
      const put = `PUT ${blockPath(0)} HTTP/1.1\r\n${head}Content-Length: 100000\r\n\r\nxx`;
      assert.match(await raw([put], { to }), /^HTTP\/1\.1 408/);
      const ping = `GET /wmbt/v1/ping HTTP/1.1\r\n${head}\r\n`;
      assert.match(await raw([ping], { to }), /^HTTP\/1\.1 200[^]*\r\n\r\n$/);
    } finally {
      await hasty.close();
    }
  });

  it('more connections than the limit are told so', async () => {
    const sockets = Array.from({ length: limits.connectionsMax }, () => connect(port, '127.0.0.1'));
    await Promise.all(
      sockets.map((socket) => new Promise((resolve) => socket.once('connect', resolve))),
    );
    await sleep(50);
    const text = await raw([]);
    for (const socket of sockets) socket.destroy();
    assert.match(text, /^HTTP\/1\.1 503/);
  });
});
