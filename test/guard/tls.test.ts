import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectSecurely } from 'node:tls';
import { promisify } from 'node:util';
import { connect } from '../../src/client/connect.ts';
import { limits } from '../../src/blocks/limits.ts';
import { TlsIdentity } from '../../src/platform/tls-identity.ts';
import { tlsSockets } from '../../src/platform/tls-sockets.ts';
import { CertificateMaker, pemOf } from '../support/certificates.ts';
import type { Certificate } from '../support/certificates.ts';
import { chainOf } from '../support/chains.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { DoorName, GuardedDaemon } from '../support/guarded-daemon.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';

const run = promisify(execFile);
const secureDoors: readonly DoorName[] = ['tls', 'https'];

let made: Readonly<Record<'ca' | 'otherCa' | 'good' | 'otherName' | 'expired', Certificate>>;
let identity: TlsIdentity;
let rig: GuardedDaemon;
const cleanUps: (() => Promise<unknown>)[] = [];

before(async () => {
  const directory = await makeTemporaryDirectory('tls');
  cleanUps.push(() => directory.remove());
  const maker = new CertificateMaker(directory.path);
  const ca = await maker.authority('ca');
  const names = 'IP:127.0.0.1,DNS:localhost';
  made = {
    ca,
    otherCa: await maker.authority('other-ca'),
    good: await maker.signed('good', ca, { names }),
    otherName: await maker.signed('other-name', ca, { names: 'DNS:other.example' }),
    expired: await maker.signed('expired', ca, { names, hasExpired: true }),
  };
  identity = new TlsIdentity(await pemOf(made.good));
  rig = await openGuardedDaemon({ identity });
  cleanUps.push(() => rig.close());
});

after(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

const trusting = (): { readonly tlsCaFile: string } => ({ tlsCaFile: made.ca.certFile });

describe('a daemon with a certificate', () => {
  it('serves the store over TLS, payloads longer than a record and empty ones too', async () => {
    const chain = chainOf('tls', 3, 5_000_000);
    const [tip] = chain.keys;
    for (const door of secureDoors) {
      const client = await connect(urlOf(rig, door), trusting());
      await client.save(chain.blocks);
      const borrow = await client.load(chain.keys);
      assert.equal(borrow.blocks.length, 3);
      borrow.blocks.forEach(({ payload }, at) => {
        assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload), door);
      });
      borrow.release();
      await client.saveRawTail(tip, new Uint8Array(0));
      const tail = await client.loadRawTail(tip);
      assert.equal(tail?.payload.length, 0);
      tail?.release();
      await client.close();
    }
    assert.equal(rig.counters.connectionsBroken, 0);
  });

  it('is done with a body that ends with a record before the next request comes', async () => {
    const { port } = new URL(urlOf(rig, 'https'));
    const ca = readFileSync(made.ca.certFile);
    const socket = connectSecurely({ host: '127.0.0.1', port: Number(port), ca });
    await once(socket, 'secureConnect');
    const answers: string[] = [];
    socket.setEncoding('utf8').on('data', (text: string) => answers.push(text));
    // Whole records, and each as long as what is read without a copy.
    const body = Buffer.alloc(64 * 16_384, 1);
    const ask = async (line: string, content: Buffer): Promise<string> => {
      answers.length = 0;
      socket.write(
        `${line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${content.length}\r\n\r\n`,
      );
      socket.write(content);
      await eventually('it is answered', () => Promise.resolve(answers.length > 0));
      return answers.join('');
    };
    for (const key of chainOf('whole records', 3, 1).keys) {
      const answer = await ask(`PUT /wmbt/v1/ns/default/blocks/${key}`, body);
      assert.match(answer, /^HTTP\/1\.1 201 /);
    }
    const metrics = await ask('GET /metrics', Buffer.alloc(0));
    assert.match(metrics, /^wombatkv_http_body_bytes 0$/m);
    socket.destroy();
  });

  it('is asked by name too, and by curl', async () => {
    const url = urlOf(rig, 'https').replace('127.0.0.1', 'localhost');
    const client = await connect(url, trusting());
    await client.close();
    const words = ['--silent', '--show-error', '--cacert', made.ca.certFile, `${url}/healthz`];
    const { stdout } = await run('curl', words);
    assert.deepEqual(JSON.parse(stdout), { status: 'ok' });
  });

  it('is refused by who does not trust it, with what is wrong and where', async () => {
    const notTrusted = /127\.0\.0\.1:\d+.*by nobody who is trusted here/;
    const cases: readonly (readonly [keyof typeof made, string | undefined, RegExp])[] = [
      ['good', made.otherCa.certFile, notTrusted],
      ['good', undefined, notTrusted],
      ['otherName', made.ca.certFile, /its certificate is for another host.*127\.0\.0\.1/],
      ['expired', made.ca.certFile, /its certificate has expired/],
    ];
    for (const [name, tlsCaFile, message] of cases) {
      identity.replace(await pemOf(made[name]));
      for (const door of secureDoors) {
        await assert.rejects(
          connect(urlOf(rig, door), { tlsCaFile }),
          { code: 'UNAVAILABLE', message },
          `${name} by ${door}`,
        );
      }
    }
    identity.replace(await pemOf(made.good));
    for (const door of secureDoors) {
      const client = await connect(urlOf(rig, door), trusting());
      await client.close();
    }
  });

  it('shows a replaced certificate to the next connection; those that stand go on', async () => {
    for (const door of secureDoors) {
      const client = await connect(urlOf(rig, door), trusting());
      identity.replace(await pemOf(made.expired));
      await client.contains([]);
      await assert.rejects(connect(urlOf(rig, door), trusting()), /expired/);
      identity.replace(await pemOf(made.good));
      await client.close();
    }
    const mixed = { ...(await pemOf(made.good)), key: (await pemOf(made.expired)).key };
    assert.throws(() => identity.replace(mixed), /key values mismatch/);
    const client = await connect(urlOf(rig, 'tls'), trusting());
    await client.close();
  });

  it('tells a client that does not speak TLS so, in its own words', async () => {
    for (const [door, scheme] of [
      ['tls', 'tcp'],
      ['https', 'http'],
    ] as const) {
      const url = urlOf(rig, door).replace(door, scheme);
      const message = new RegExp(`this port speaks TLS.*${door}://`);
      await assert.rejects(connect(url), { code: 'INVALID', message }, door);
    }
    const answer = await fetch(urlOf(rig, 'https').replace('https', 'http'));
    assert.equal(answer.status, 400);
    assert.match(await answer.text(), /this port speaks TLS/);
  });

  it('drops a peer that says nothing, or never comes to terms', { timeout: 60_000 }, async () => {
    const { port } = new URL(urlOf(rig, 'tls'));
    const peers = [undefined, Buffer.from([0x16, 3, 1])].map(
      (first) =>
        new Promise<void>((resolve) => {
          const socket = connectSocket({ host: '127.0.0.1', port: Number(port) });
          if (first !== undefined) socket.write(first);
          socket.on('error', () => undefined).on('close', () => resolve());
          socket.resume();
        }),
    );
    await Promise.all(peers);
    const client = await connect(urlOf(rig, 'tls'), trusting());
    await client.close();
  });
});

describe('a client that speaks TLS', () => {
  it('is told that the port does not', async () => {
    for (const [door, scheme] of [
      ['tcp', 'tls'],
      ['http', 'https'],
    ] as const) {
      const url = urlOf(rig, door).replace(door, scheme);
      await assert.rejects(connect(url, trusting()), {
        code: 'UNAVAILABLE',
        message: /it does not speak TLS/,
      });
    }
  });

  it('names a file of certificates that is none', async () => {
    const url = urlOf(rig, 'tls');
    const absent = { tlsCaFile: '/nowhere/ca.pem' };
    await assert.rejects(connect(url, absent), { code: 'INVALID', message: /nowhere\/ca\.pem/ });
    const key = { tlsCaFile: made.good.keyFile };
    await assert.rejects(connect(url, key), { code: 'INVALID', message: /holds none in PEM/ });
  });

  it('gives up in time where nobody answers the handshake', async () => {
    const { createServer } = await import('node:net');
    const silent = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(address !== null && typeof address !== 'string');
    const startMs = performance.now();
    const https = `https://127.0.0.1:${address.port}`;
    await assert.rejects(connect(https, trusting()), { code: 'UNAVAILABLE' });
    assert.ok(performance.now() - startMs < limits.connectMs + 10_000);
    silent.close();
  });

  it('is told of somebody who takes connections before both have come to terms', async () => {
    const { createServer } = await import('node:net');
    const silent = createServer((socket) => socket.on('error', () => undefined));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const address = silent.address();
    assert.ok(address !== null && typeof address !== 'string');
    const where = { kind: 'tcp', host: '127.0.0.1', port: address.port } as const;
    const given = new AbortController();
    const onReached = (): void => given.abort();
    const options = { timeoutMs: limits.connectMs, signal: given.signal, onReached };
    const attempt = tlsSockets({}).connect(where, options, () => assert.fail('no terms'));
    await assert.rejects(attempt, { code: 'ABORTED' });
    silent.close();
  });
});
