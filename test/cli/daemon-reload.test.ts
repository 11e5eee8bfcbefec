import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../src/client/connect.ts';
import { CertificateMaker } from '../support/certificates.ts';
import type { Certificate } from '../support/certificates.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { DaemonProcess } from './daemon-process.ts';
import { runCli } from './run-cli.ts';

let path = '';
let certificates: Readonly<Record<'ca' | 'good' | 'expired', Certificate>>;
let daemon: DaemonProcess;
let url = '';
const cleanUps: (() => Promise<unknown>)[] = [];

before(async () => {
  const directory = await makeTemporaryDirectory('daemon-reload');
  cleanUps.push(() => directory.remove());
  ({ path } = directory);
  const maker = new CertificateMaker(path);
  const ca = await maker.authority('ca');
  const names = 'IP:127.0.0.1';
  certificates = {
    ca,
    good: await maker.signed('good', ca, { names }),
    expired: await maker.signed('expired', ca, { names, hasExpired: true }),
  };
  writeFileSync(`${path}/tokens`, 'first-token\n', { mode: 0o600 });
  show('good');
  daemon = new DaemonProcess(['--tcp', '127.0.0.1:0', '--http', '127.0.0.1:0'], {
    HOME: path,
    WMBT_KV_RUNTIME_DIR: `${path}/run`,
    WMBT_KV_OBJECT_STORE: 'memory:',
    WMBT_KV_TOKEN_FILE: `${path}/tokens`,
    WMBT_KV_TLS_CERT_FILE: `${path}/shown.crt`,
    WMBT_KV_TLS_KEY_FILE: `${path}/shown.key`,
  });
  cleanUps.push(() => daemon.stop('SIGKILL'));
  [url] = await daemon.ready();
});

after(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function show(name: 'good' | 'expired'): void {
  copyFileSync(certificates[name].certFile, `${path}/shown.crt`);
  copyFileSync(certificates[name].keyFile, `${path}/shown.key`);
}

/** Why a client is not let in; undefined when it is. */
async function refusal(token: string): Promise<string | undefined> {
  try {
    const client = await connect(url, { token, tlsCaFile: certificates.ca.certFile });
    await client.close();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function countOf(event: string): number {
  return daemon.events.filter((one) => one.event === event).length;
}

describe('a client by its environment', () => {
  it('speaks TLS where the certificates to trust are named, or the address says so', async () => {
    writeFileSync(`${path}/own-token`, 'first-token\n');
    const address = url.slice('tls://'.length);
    const https = (await daemon.ready())[1];
    const trust = { WMBT_KV_TLS_CA_FILE: certificates.ca.certFile };
    const asked = [
      { ...trust, WMBT_KV_TCP_ADDR: address },
      { ...trust, WMBT_KV_TCP_ADDR: url },
      { ...trust, WMBT_KV_HTTP_ADDR: https.slice('https://'.length) },
      { ...trust, WMBT_KV_HTTP_ADDR: https },
    ];
    for (const variables of asked) {
      const environment = { WMBT_KV_TOKEN_FILE: `${path}/own-token`, ...variables };
      const { exitCode, stdout, stderr } = await runCli(['status'], { home: path, environment });
      assert.equal(exitCode, 0, stderr);
      assert.match(stdout, /^Daemon {2}at (?:tls|https):/);
    }
    const plain = { WMBT_KV_TOKEN_FILE: `${path}/own-token`, WMBT_KV_TCP_ADDR: address };
    const { exitCode, stderr } = await runCli(['status'], { home: path, environment: plain });
    assert.equal(exitCode, 2);
    assert.match(stderr, /this port speaks TLS/);
  });
});

describe('a daemon whose files change', () => {
  it('serves TLS, and takes new tokens by itself', async () => {
    assert.match(url, /^tls:/);
    assert.equal(await refusal('first-token'), undefined);
    assert.match((await refusal('second-token')) ?? '', /token is none of this daemon/);
    writeFileSync(`${path}/tokens`, 'second-token\n');
    await eventually(
      'the new token is taken',
      async () => (await refusal('second-token')) === undefined,
    );
    assert.match((await refusal('first-token')) ?? '', /token/);
    assert.match(daemon.output, /"event":"reloaded".*"what":"tokens"/);
  });

  it('keeps what it had when the file is wrong or gone, and says so once', async () => {
    writeFileSync(`${path}/tokens`, 'third-token verbs=everything\n');
    await eventually('it is told', () => Promise.resolve(countOf('not reloaded') === 1));
    assert.match(daemon.output, /"event":"not reloaded".*line 1: verbs takes read, write/);
    assert.equal(await refusal('second-token'), undefined);
    assert.ok(!daemon.output.includes('third-token'));
    writeFileSync(`${path}/tokens`, 'second-token\n');
    await eventually('it is read again', () => Promise.resolve(countOf('reloaded') === 2));
  });

  it('shows a new certificate by itself, and when SIGHUP comes', async () => {
    show('expired');
    await eventually('it is shown', async () =>
      ((await refusal('second-token')) ?? '').includes('expired'),
    );
    show('good');
    daemon.child.kill('SIGHUP');
    await eventually('it is shown', async () => (await refusal('second-token')) === undefined);
  });

  it('tells no token in any line, and stops in order', async () => {
    assert.equal(await daemon.stop(), 0);
    for (const token of ['first-token', 'second-token', 'third-token']) {
      assert.ok(!`${daemon.output}${daemon.notes}`.includes(token), token);
    }
  });
});
