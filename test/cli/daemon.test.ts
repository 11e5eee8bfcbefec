import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { connect } from '../../src/client/connect.ts';
import { openFromEnvironment } from '../../src/open-store.ts';
import { chainOf } from '../support/chains.ts';
import { patience, patientSettings } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { DaemonProcess } from './daemon-process.ts';

const cleanUps: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

/** A home of its own for daemons. */
interface Home {
  readonly path: string;
  readonly environment: Readonly<Record<string, string>>;
  start(args?: readonly string[], more?: Readonly<Record<string, string>>): DaemonProcess;
}

async function makeHome(): Promise<Home> {
  const directory = await makeTemporaryDirectory('daemon-cli');
  cleanUps.push(() => directory.remove());
  const { path } = directory;
  const environment = {
    HOME: path,
    WMBT_KV_RUNTIME_DIR: `${path}/run`,
    WMBT_KV_PUFFER_RAM_BYTES: '64MiB',
  };
  return {
    path,
    environment,
    start: (args = [], more = {}) => {
      const daemon = new DaemonProcess(args, { ...environment, ...more });
      cleanUps.push(() => daemon.stop('SIGKILL'));
      return daemon;
    },
  };
}

const chain = chainOf('daemon-cli', 3, 10_000);

async function assertLoads(url: string, token?: string): Promise<void> {
  const client = await connect(url, { token, ...patience });
  const borrow = await client.load(chain.keys);
  assert.deepEqual(
    borrow.blocks.map(({ payload }) => Buffer.from(payload).toString('hex')),
    chain.blocks.map(({ payload }) => Buffer.from(payload).toString('hex')),
  );
  borrow.release();
  await client.close();
}

describe('wombatkv-daemon', () => {
  it('without flags serves the prefix "default", and stops in order on SIGTERM', async () => {
    const home = await makeHome();
    const daemon = home.start();
    const [url] = await daemon.ready();
    assert.equal(url, `unix:${home.path}/run/default.sock`);
    assert.equal(statSync(`${home.path}/run`).mode & 0o777, 0o700);
    assert.equal(statSync(`${home.path}/run/default.sock`).mode & 0o777, 0o600);
    const client = await connect(url);
    assert.equal((await client.save(chain.blocks)).saved, 3);
    await client.close();
    await assertLoads(url);
    assert.equal(await daemon.stop(), 0);
    assert.deepEqual(
      daemon.events.map(({ event }) => event).filter((event) => event !== 'settings'),
      ['starting', 'ready', 'draining', 'stopped'],
    );
    assert.ok(!readdirSync(`${home.path}/run`).includes('default.sock'));
  });

  it('lists every address, and serves the same store at each', async () => {
    const home = await makeHome();
    const flags = ['--prefix', 'a', '--prefix', 'b', '--tcp', '127.0.0.1:0'];
    const daemon = home.start([...flags, '--unix', `${home.path}/c.sock`]);
    const urls = await daemon.ready();
    assert.equal(urls.length, 4);
    const client = await connect(urls[0]);
    await client.save(chain.blocks);
    await client.close();
    for (const url of urls) await assertLoads(url);
    assert.equal(await daemon.stop('SIGINT'), 0);
  });

  it('takes over from a daemon that was killed, with all that was accepted', async () => {
    const home = await makeHome();
    const first = home.start();
    const [url] = await first.ready();
    const client = await connect(url, patience);
    await client.save(chain.blocks);
    await first.stop('SIGKILL');
    await assert.rejects(client.lookup(chain.keys), { code: 'UNAVAILABLE' });
    const second = home.start();
    await second.ready();
    assert.equal((await client.lookup(chain.keys)).matched, 3, 'the client is connected again');
    await client.close();
    await assertLoads(url);
    assert.equal(await second.stop(), 0);
  });

  it('fails with exit code 3 when the prefix or the port is taken', async () => {
    const home = await makeHome();
    await home.start().ready();
    const second = home.start();
    assert.equal(await second.exit, 3);
    assert.match(second.notes, /default\.sock is taken by another daemon/);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanUps.push(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    for (const flag of ['--tcp', '--http']) {
      const third = home.start([flag, `127.0.0.1:${port}`]);
      assert.equal(await third.exit, 3, flag);
      assert.match(third.notes, new RegExp(`127.0.0.1:${port} is taken`));
    }
  });

  it('fails with exit code 2 for wrong flags and settings, and names them', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/bad.conf`, 'WMBT_KV_NAMESPACE\n');
    writeFileSync(`${home.path}/typo.conf`, '\nWMBT_KV_NAMESPAC=x\n');
    writeFileSync(`${home.path}/twice.conf`, 'WMBT_KV_TCP=a:1\nWMBT_KV_TCP=a:2\n');
    mkdirSync(`${home.path}/open`);
    chmodSync(`${home.path}/open`, 0o755);
    const wrong: readonly (readonly [readonly string[], Record<string, string>, RegExp])[] = [
      [['--surprise'], {}, /surprise/],
      [['--tcp', 'nowhere'], {}, /--tcp.*nowhere/],
      [['--tcp', '0.0.0.0:0'], {}, /token.*--insecure/],
      [['--http', 'nowhere'], {}, /--http.*nowhere/],
      [['--http', '[::]:0'], {}, /token.*--insecure/],
      [[], { WMBT_KV_HTTP: '0.0.0.0:0' }, /token.*--insecure/],
      [['--unix', 'relative'], {}, /--unix must be an absolute path/],
      [['--prefix', 'a/b'], {}, /prefix must be/],
      [['--config', `${home.path}/bad.conf`], {}, /bad\.conf, line 1/],
      [
        ['--config', `${home.path}/typo.conf`],
        {},
        /typo\.conf, line 2: WMBT_KV_NAMESPAC is no set/,
      ],
      [['--config', `${home.path}/twice.conf`], {}, /line 2: WMBT_KV_TCP stands there a second/],
      [['--config', `${home.path}/none.conf`], {}, /none\.conf cannot be read/],
      [['--set', 'WMBT_KV_NAMESPAC=x'], {}, /--set names no setting: WMBT_KV_NAMESPAC/],
      [['--set', 'WMBT_KV_NAMESPACE'], {}, /--set must be NAME=value/],
      [['--set', 'WMBT_KV_PUFFER_DISK_BYTES=much'], {}, /WMBT_KV_PUFFER_DISK_BYTES is .*much/],
      [[], { WMBT_KV_TLS_KEY_FILE: '/k' }, /WMBT_KV_TLS_CERT_FILE is not set/],
      [[], { WMBT_KV_TOKEN_FILE: '/nowhere' }, /token file \/nowhere cannot be read/],
      [[], { WMBT_KV_NAMESPAC: 'x' }, /WMBT_KV_NAMESPAC.*nearest/],
      [[], { WMBT_KV_RUNTIME_DIR: `${home.path}/open` }, /mode 0755/],
    ];
    for (const [args, more, message] of wrong) {
      const daemon = home.start(args, more);
      assert.equal(await daemon.exit, 2, daemon.notes);
      assert.match(daemon.notes, message);
    }
  });

  it('takes settings from a file, over which the environment wins, and flags over both', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/token`, 's3cret\n');
    const lines = [
      '# of a test',
      `WMBT_KV_TOKEN_FILE=${home.path}/token`,
      'WMBT_KV_TCP="127.0.0.1:1"',
      'WMBT_KV_OBJECT_STORE=s3://file-bucket',
    ];
    writeFileSync(`${home.path}/daemon.conf`, `${lines.join('\n')}\n`);
    const flags = ['--config', `${home.path}/daemon.conf`];
    const more = { WMBT_KV_TCP: '127.0.0.1:0', WMBT_KV_OBJECT_STORE: 's3://environment-bucket' };
    const daemon = home.start([...flags, '--set', 'WMBT_KV_OBJECT_STORE=memory:'], more);
    const [url] = await daemon.ready();
    assert.match(daemon.output, /"objectStore":"memory:"/);
    await assert.rejects(connect(url), { code: 'INVALID', message: /token/ });
    const client = await connect(url, { token: 's3cret' });
    await client.close();
    assert.equal(await daemon.stop(), 0);
    assert.ok(!daemon.output.includes('s3cret') && !daemon.notes.includes('s3cret'));
  });

  it('explains itself', async () => {
    const home = await makeHome();
    const daemon = home.start(['-h']);
    assert.equal(await daemon.exit, 0);
    for (const flag of ['--prefix', '--tcp', '--http', '--unix', '--config', '--set']) {
      assert.ok(daemon.output.includes(flag), flag);
    }
  });
});

describe('wombatkv-daemon --http', () => {
  it('serves plain resources at every address, and stops in order with a connection open', async () => {
    const home = await makeHome();
    const flags = ['--http', '127.0.0.1:0', '--http', '127.0.0.1:0'];
    const daemon = home.start(flags, { WMBT_KV_HTTP: '[::1]:0' });
    const urls = await daemon.ready();
    assert.deepEqual(
      urls.map((url) => url.replace(/\d+$/, '')),
      ['http://127.0.0.1:', 'http://127.0.0.1:', 'http://[::1]:'],
    );
    for (const url of urls) assert.equal((await ask(`${url}/wmbt/v1/ping`)).status, 200);
    const [first, second] = urls;
    assert.deepEqual(JSON.parse((await ask(`${first}/healthz`)).text), { status: 'ok' });
    assert.deepEqual(JSON.parse((await ask(`${first}/readyz`)).text), { status: 'ready' });
    const block = `wmbt/v1/ns/default/blocks/${chain.keys[0]}`;
    const { payload } = chain.blocks[0];
    const put = { method: 'PUT', body: Buffer.from(payload) };
    assert.equal((await ask(`${first}/${block}`, put)).status, 201);
    assert.equal((await ask(`${second}/${block}`, put)).status, 200, 'stored already');
    const got = await fetch(`${second}/${block}`);
    assert.deepEqual(Buffer.from(await got.arrayBuffer()), Buffer.from(payload));
    const metrics = await ask(`${first}/metrics`);
    assert.match(
      metrics.text,
      /^wombatkv_http_requests_total\{operation="block",status="201"\} 1$/m,
    );
    assert.equal(await daemon.stop(), 0);
  });

  it('asks for the token, but for ping, health and readiness', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/token`, 's3cret\n');
    const more = { WMBT_KV_TOKEN_FILE: `${home.path}/token` };
    const daemon = home.start(['--http', '0.0.0.0:0'], more);
    const [bound] = await daemon.ready();
    const url = bound.replace('0.0.0.0', '127.0.0.1');
    for (const path of ['wmbt/v1/ping', 'healthz', 'readyz']) {
      assert.equal((await ask(`${url}/${path}`)).status, 200, path);
    }
    const block = `wmbt/v1/ns/default/blocks/${chain.keys[0]}`;
    for (const path of ['metrics', 'wmbt/v1/stats', block]) {
      for (const wrong of [undefined, 'Bearer other', 'Bearer s3cret2', 'Basic s3cret']) {
        const { status, text, challenge } = await ask(`${url}/${path}`, withAuthorization(wrong));
        assert.deepEqual([status, challenge], [401, 'Bearer'], `${path} with ${wrong}`);
        assert.match(text, /token/);
      }
      const { status } = await ask(`${url}/${path}`, withAuthorization('Bearer s3cret'));
      assert.equal(status, path === block ? 404 : 200, path);
    }
    assert.equal(await daemon.stop(), 0);
    assert.ok(!daemon.output.includes('s3cret') && !daemon.notes.includes('s3cret'));
  });

  it('serves connect() and WMBT_KV_HTTP_ADDR the store that others reach by its socket', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/token`, 's3cret\n');
    const more = { WMBT_KV_TOKEN_FILE: `${home.path}/token` };
    const flags = ['--http', '127.0.0.1:0', '--unix', `${home.path}/c.sock`];
    const daemon = home.start(flags, more);
    const urls = await daemon.ready();
    const http = urls.find((url) => url.startsWith('http:')) ?? '';
    for (const token of [undefined, 'other']) {
      await assert.rejects(connect(http, { token }), { code: 'INVALID', message: /token/ });
    }
    await assert.rejects(connect(http, { token: 'a\r\nb: c' }), RangeError);
    const client = await connect(http, { token: 's3cret' });
    assert.equal((await client.save(chain.blocks)).saved, 3);
    await client.close();
    const socket = `unix:${home.path}/c.sock`;
    await assert.rejects(connect(socket), { code: 'INVALID', message: /token/ });
    await assertLoads(socket, 's3cret');
    const address = http.slice('http://'.length);
    assert.equal(
      await matchedByEnvironment({ ...more, ...patientSettings, WMBT_KV_HTTP_ADDR: address }),
      3,
    );
    const both = { ...more, WMBT_KV_HTTP_ADDR: '127.0.0.1:1', WMBT_KV_REMOTE_PREFIX: 'absent' };
    await assert.rejects(matchedByEnvironment({ ...both, ...home.environment }), {
      code: 'UNAVAILABLE',
      message: /absent\.sock/,
    });
    assert.equal(await daemon.stop(), 0);
    await assert.rejects(connect(http, { token: 's3cret' }), { code: 'UNAVAILABLE' });
  });

  it('refuses a file of tokens that is wrong, by line and without its words', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/token`, '# tenants\ntwo words');
    const more = { WMBT_KV_TOKEN_FILE: `${home.path}/token` };
    const daemon = home.start(['--http', '127.0.0.1:0'], more);
    assert.equal(await daemon.exit, 2);
    assert.match(daemon.notes, /token: line 2: word 2 is not understood; accepted: name=/);
    assert.ok(!daemon.notes.includes('words'));
  });
});

/** Looks the chain up in the store that these variables name. */
async function matchedByEnvironment(variables: Readonly<Record<string, string>>): Promise<number> {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  try {
    const store = await openFromEnvironment();
    const { matched } = await store.lookup(chain.keys);
    await store.close();
    return matched;
  } finally {
    for (const name of Object.keys(variables)) delete process.env[name];
    Object.assign(process.env, before);
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly challenge: string | null;
}

async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await fetch(url, init);
  const challenge = answer.headers.get('www-authenticate');
  return { status: answer.status, text: await answer.text(), challenge };
}

function withAuthorization(authorization: string | undefined): RequestInit {
  return authorization === undefined ? {} : { headers: { authorization } };
}
