import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { connect } from '../../src/client/connect.ts';
import { chainOf } from '../support/chains.ts';
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

async function assertLoads(url: string): Promise<void> {
  const client = await connect(url);
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
    const client = await connect(url);
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
    const third = home.start(['--tcp', `127.0.0.1:${port}`]);
    assert.equal(await third.exit, 3);
    assert.match(third.notes, new RegExp(`127.0.0.1:${port} is taken`));
  });

  it('fails with exit code 2 for wrong flags and settings, and names them', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/bad.conf`, 'WMBT_KV_NAMESPACE\n');
    mkdirSync(`${home.path}/open`);
    chmodSync(`${home.path}/open`, 0o755);
    const wrong: readonly (readonly [readonly string[], Record<string, string>, RegExp])[] = [
      [['--surprise'], {}, /surprise/],
      [['--tcp', 'nowhere'], {}, /--tcp.*nowhere/],
      [['--tcp', '0.0.0.0:0'], {}, /token.*--insecure/],
      [['--unix', 'relative'], {}, /--unix must be an absolute path/],
      [['--prefix', 'a/b'], {}, /prefix must be/],
      [['--config', `${home.path}/bad.conf`], {}, /bad\.conf, line 1/],
      [[], { WMBT_KV_NAMESPAC: 'x' }, /WMBT_KV_NAMESPAC.*nearest/],
      [[], { WMBT_KV_RUNTIME_DIR: `${home.path}/open` }, /mode 0755/],
    ];
    for (const [args, more, message] of wrong) {
      const daemon = home.start(args, more);
      assert.equal(await daemon.exit, 2, daemon.notes);
      assert.match(daemon.notes, message);
    }
  });

  it('takes settings from a file, over which the environment wins', async () => {
    const home = await makeHome();
    writeFileSync(`${home.path}/token`, 's3cret\n');
    const lines = [
      '# of a test',
      `WMBT_KV_TOKEN_FILE=${home.path}/token`,
      'WMBT_KV_TCP="127.0.0.1:1"',
    ];
    writeFileSync(`${home.path}/daemon.conf`, `${lines.join('\n')}\n`);
    const flags = ['--config', `${home.path}/daemon.conf`];
    const daemon = home.start(flags, { WMBT_KV_TCP: '127.0.0.1:0' });
    const [url] = await daemon.ready();
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
    for (const flag of ['--prefix', '--tcp', '--unix', '--config']) {
      assert.ok(daemon.output.includes(flag), flag);
    }
  });
});
