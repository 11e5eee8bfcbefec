import assert from 'node:assert/strict';
import { connect as connectSocket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { isStoreError } from '../../src/base/errors.ts';
import { blake3Hex } from '../../src/base/blake3.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import { connect } from '../../src/client/connect.ts';
import { parseTokenFile } from '../../src/config/token-file.ts';
import type { Need } from '../../src/daemon/access.ts';
import { TlsIdentity } from '../../src/platform/tls-identity.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { encodeHello } from '../../src/protocol/session-messages.ts';
import { CertificateMaker, pemOf } from '../support/certificates.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { DoorName, GuardedDaemon } from '../support/guarded-daemon.ts';
import { patience } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { attempts, deleteAll, secretChain, tailTokens } from './store-attempts.ts';

const doors: readonly DoorName[] = ['unix', 'tcp', 'tls', 'http', 'https'];
const victim = parseNamespace('victim');

/** Names near that of the victim. None is the attacker's, so every call with one is refused. */
const nearNames = [
  ...['victim', 'Victim', 'VICTIM', 'victim ', ' victim', 'victi', 'victim2', 'victim/', '/victim'],
  ...['attacker/../victim', '../victim', 'attacker/victim', 'attacker,victim', 'attacker%2Fvictim'],
  ...['%76ictim', 'victim%00', 'v\u0131ctim', 'victim\u200b', 'victim\u0000', '*', '.', '..'],
  ...['Attacker', 'attacker ', 'attacke', 'attacker2', 'default'],
];

const tokens = [
  'attacker-token name=attacker verbs=read,write,delete namespaces=attacker',
  'victim-token name=victim verbs=read,write,delete namespaces=victim',
  'reader-token name=reader verbs=read namespaces=victim',
  'writer-token name=writer verbs=write namespaces=victim',
  'deleter-token name=deleter verbs=delete namespaces=victim',
  'admin-token name=admin verbs=admin',
  'root-token name=root',
].join('\n');

let rig: GuardedDaemon;
let caFile = '';
const cleanUps: (() => Promise<unknown>)[] = [];

before(async () => {
  const directory = await makeTemporaryDirectory('tenants');
  cleanUps.push(() => directory.remove());
  const maker = new CertificateMaker(directory.path);
  const authority = await maker.authority('ca');
  caFile = authority.certFile;
  const names = 'IP:127.0.0.1';
  const identity = new TlsIdentity(await pemOf(await maker.signed('d', authority, { names })));
  rig = await openGuardedDaemon({ tokens, identity });
  cleanUps.push(() => rig.close());
  const { store } = rig;
  await store.save(secretChain.blocks, { namespace: victim });
  const [tip] = secretChain.keys;
  const payload = new Uint8Array(500).fill(7);
  await store.saveTail({ tip, tokens: tailTokens, payload }, { namespace: victim });
  await store.saveRawTail(tip, payload, { namespace: victim });
  await store.flush();
});

after(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

function open(door: DoorName, token: string | undefined): Promise<KvStore> {
  return connect(urlOf(rig, door), { token, tlsCaFile: caFile, ...patience });
}

/** Everything that is stored under the victim's name, as one digest. */
async function stateOfVictim(): Promise<string> {
  const { store } = rig;
  const options = { namespace: victim };
  const borrow = await store.load(secretChain.keys, options);
  const [tip] = secretChain.keys;
  const tail = await store.loadTail({ tip, tokens: tailTokens }, options);
  const raw = await store.loadRawTail(tip, options);
  const parts = [...borrow.blocks.map(({ payload }) => payload), tail?.payload, raw?.payload];
  const digests = parts.map((part) => (part === undefined ? 'none' : blake3Hex(part)));
  for (const one of [borrow, tail, raw]) one?.release();
  return digests.join(' ');
}

/** Makes the calls and demands that each is refused, with INVALID and nothing of the store in it. */
async function assertRefused(
  store: KvStore,
  namespace: Namespace | undefined,
  calls: typeof attempts,
  about: string,
): Promise<number> {
  for (const { name, run } of calls) {
    await assert.rejects(
      run(store, namespace),
      (error: unknown) => isStoreError(error, 'INVALID') && /token/.test(error.message),
      `${about}: ${name}`,
    );
  }
  return calls.length;
}

const allCalls = [...attempts, deleteAll];

function allows(verb: Exclude<Need, 'presence'>, need: Need): boolean {
  return need === verb || (need === 'presence' && (verb === 'read' || verb === 'write'));
}

describe('tenants of one daemon', () => {
  it('cannot be crossed by any door, call or name', async (context) => {
    const before = await stateOfVictim();
    let count = 0;
    for (const door of doors) {
      const attacker = await open(door, 'attacker-token');
      for (const name of nearNames) {
        const about = `${door}, namespace ${JSON.stringify(name)}`;
        count += await assertRefused(attacker, parseNamespace(name), allCalls, about);
      }
      // Without a name the client's own is meant, and that is not the attacker's either.
      count += await assertRefused(attacker, undefined, allCalls, `${door}, no namespace`);
      await attacker.close();
    }
    assert.equal(await stateOfVictim(), before);
    context.diagnostic(`${count} attempts to cross tenants were refused`);
  });

  it('have no more than the verbs of their token', async (context) => {
    const before = await stateOfVictim();
    let count = 0;
    for (const door of doors) {
      for (const verb of ['read', 'write', 'delete', 'admin'] as const) {
        const token = verb === 'read' ? 'reader-token' : `${verb.replace(/e$/, '')}er-token`;
        const store = await open(door, verb === 'admin' ? 'admin-token' : token);
        const beyond = allCalls.filter(({ need }) => !allows(verb, need));
        count += await assertRefused(store, victim, beyond, `${door} with ${verb}`);
        await store.close();
      }
    }
    assert.equal(await stateOfVictim(), before);
    context.diagnostic(`${count} attempts beyond a token's verbs were refused`);
  });

  it('can do, by every door, what their token says', async () => {
    for (const door of doors) {
      const store = await open(door, 'victim-token');
      const own = attempts.filter(({ need }) => need !== 'admin');
      for (const { name, run } of own) await assert.doesNotReject(run(store, victim), name);
      assert.equal((await store.lookup(secretChain.keys, { namespace: victim })).matched, 3, door);
      await store.close();
      const root = await open(door, 'root-token');
      for (const { name, run } of attempts) await assert.doesNotReject(run(root, victim), name);
      await root.close();
    }
  });

  it('are not let in with no token or another one', async (context) => {
    let count = 0;
    const wrong = [undefined, '', 'victim-toke', 'victim-token2', 'Victim-token', 'name=victim'];
    for (const door of doors) {
      for (const token of wrong) {
        await assert.rejects(open(door, token), { code: 'INVALID', message: /token/ }, door);
        count += 1;
      }
    }
    context.diagnostic(`${count} attempts without a token of the daemon were refused`);
  });

  it('are cut off when their token goes, at their next call', async () => {
    for (const door of doors) {
      const store = await open(door, 'victim-token');
      await store.lookup(secretChain.keys, { namespace: victim });
      const { access } = rig;
      access.replace([{ token: 'x', name: 'x', verbs: new Set(), namespaces: 'all' }]);
      await assert.rejects(store.lookup(secretChain.keys, { namespace: victim }), {
        code: 'INVALID',
        message: /token/,
      });
      await store.close();
      access.replace(parseTokenFile(tokens));
    }
  });
});

/** Sends bytes and resolves to all that comes back until the server closes. */
function exchange(url: string, bytes: Uint8Array | string): Promise<Buffer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = connectSocket({ host: hostname, port: Number(port) }, () => socket.write(bytes));
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.on('error', reject);
    socket.on('close', () => resolve(Buffer.concat(parts)));
  });
}

const [key] = secretChain.keys;
const block = `blocks/${key}`;

/** Paths by which a server might be led to the victim's block while it believes the attacker asks. */
const paths = [
  `/wmbt/v1/ns/victim/${block}`,
  `/wmbt/v1/ns/%76ictim/${block}`,
  `/wmbt/v1/ns/%76%69%63%74%69%6d/${block}`,
  `/wmbt/v1/ns/attacker/../victim/${block}`,
  `/wmbt/v1/ns/attacker/%2e%2e/victim/${block}`,
  `/wmbt/v1/ns/attacker%2f..%2fvictim/${block}`,
  `/wmbt/v1/ns/attacker%2F%2E%2E%2Fvictim/${block}`,
  `/wmbt/v1/ns/attacker%5c..%5cvictim/${block}`,
  `/wmbt/v1/ns/attacker\\..\\victim/${block}`,
  `/wmbt/v1/ns/attacker;/../victim/${block}`,
  `/wmbt/v1/ns/attacker;victim/${block}`,
  `/wmbt/v1/ns/attacker,victim/${block}`,
  `/wmbt/v1/ns/attacker%00victim/${block}`,
  `/wmbt/v1/ns/victim%00/${block}`,
  `/wmbt/v1/ns/%2576ictim/${block}`,
  `/wmbt/v1/ns/%c0%aevictim/${block}`,
  `/wmbt/v1/ns/%ef%bc%8e%ef%bc%8e%2fvictim/${block}`,
  `/wmbt/v1/ns/VICTIM/${block}`,
  `/wmbt/v1/ns/victim%20/${block}`,
  `/wmbt/v1/ns/%20victim/${block}`,
  `/wmbt/v1/ns//${block}`,
  `/wmbt/v1/ns//victim/${block}`,
  `/wmbt/v1//ns/victim/${block}`,
  `//wmbt/v1/ns/victim/${block}`,
  `/wmbt/v1/./ns/victim/${block}`,
  `/WMBT/V1/NS/victim/${block}`,
  `/wmbt/v1/ns/victim/${block}/`,
  `/wmbt/v1/ns/victim/${block}?ns=attacker`,
  `/wmbt/v1/ns/attacker/../../ns/victim/${block}`,
  `/wmbt/v1/ns/attacker/blocks/../../victim/${block}`,
  `/wmbt/v1/ns/attacker/blocks/..%2f..%2fvictim%2fblocks%2f${key}`,
  `/healthz/../wmbt/v1/ns/victim/${block}`,
  `/healthz?/wmbt/v1/ns/victim/${block}`,
  `/wmbt/v1/ns/victim/lookup?keys=${key}`,
  `/wmbt/v1/ns/attacker/lookup/../../victim/lookup?keys=${key}`,
  '/wmbt/v1/stats',
  '/metrics',
  '/metrics?ns=attacker',
  '/wmbt/v1/stats?namespace=victim',
];

const authorizations = [
  'Authorization: Bearer attacker-token',
  'Authorization: bearer attacker-token',
  'Authorization: Bearer attacker-token, Bearer victim-token',
  'Authorization: Bearer attacker-token victim-token',
  'Authorization: Bearer attacker-token\r\nAuthorization: Bearer attacker-token',
  'Authorization: Bearer attacker-token\r\nX-Namespace: victim\r\nX-Original-URL: /metrics',
  'Authorization: Basic dmljdGltOnZpY3RpbS10b2tlbg==',
  'Authorization: Bearer',
  'X-Authorization: Bearer victim-token',
];

describe('the resources of HTTP', () => {
  it('are not reached by another spelling of a path or of a token', async (context) => {
    const { payload } = secretChain.blocks[0];
    const base = urlOf(rig, 'http');
    const before = await stateOfVictim();
    let count = 0;
    const methods = ['GET', 'HEAD', 'PUT', 'DELETE', 'POST'];
    const requests = paths.flatMap((path) =>
      authorizations.flatMap((given) => methods.map((method) => ({ path, given, method }))),
    );
    for (const { path, given, method } of requests) {
      const head = `${method} ${path} HTTP/1.1\r\nHost: h\r\n${given}\r\nContent-Length: 0\r\n`;
      const answer = await exchange(base, `${head}Connection: close\r\n\r\n`);
      const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(answer.toString('latin1')) ?? [];
      const about = `${method} ${path} with ${given}: ${status}`;
      const isHealth = path.startsWith('/healthz?');
      assert.ok(isHealth || Number(status) >= 400, about);
      assert.equal(answer.indexOf(payload.subarray(0, 32)), -1, about);
      assert.ok(!answer.includes('wombatkv_'), about);
      count += 1;
    }
    assert.equal(await stateOfVictim(), before);
    context.diagnostic(`${count} requests by other spellings were refused`);
  });

  it('give the block to whose it is, so that the paths above could have', async () => {
    const head = `GET ${paths[0]} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer victim-token\r\n`;
    const answer = await exchange(urlOf(rig, 'http'), `${head}Connection: close\r\n\r\n`);
    assert.ok(answer.indexOf(secretChain.blocks[0].payload.subarray(0, 32)) > 0);
  });
});

describe('the frames of a connection', () => {
  it('with an empty namespace, or none that is well-formed, are refused', async (context) => {
    const identity = { clientId: '00'.repeat(16), token: 'attacker-token', agent: 'raw' };
    const hello = encodeHello({ versionOldest: 1, versionNewest: 1, features: 0, ...identity });
    const heads = [[0, 0], [2, 0, 0xc0, 0xae], [0xff, 0xff, 0x61], [1], []];
    const types = ['lookup', 'contains', 'load', 'save', 'save-tail', 'delete', 'flush'] as const;
    let count = 0;
    for (const head of heads) {
      for (const type of types) {
        const body = Uint8Array.from([...head, ...new Array<number>(48).fill(1)]);
        const frames = [
          ...encodeFrame('hello', 0, hello),
          ...encodeFrame(type, 1, body),
          // What is none ends the connection, so that this test need not.
          new Uint8Array(24),
        ];
        const answer = await exchange(urlOf(rig, 'tcp'), Buffer.concat(frames));
        assert.match(
          answer.toString('latin1'),
          /message of a call|namespace/,
          `${type} ${head.join(' ')}`,
        );
        count += 1;
      }
    }
    context.diagnostic(`${count} frames without a namespace of the token were refused`);
  });
});
