import assert from 'node:assert/strict';
import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { deferred } from '../../src/base/deferred.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { encodeKeysCall, encodeLoadCall } from '../../src/protocol/read-messages.ts';
import { encodeSaveCall } from '../../src/protocol/write-messages.ts';
import { chainOf } from '../support/chains.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { GuardedDaemon, GuardedOptions } from '../support/guarded-daemon.ts';
import { RawFrames } from '../support/raw-frames.ts';
import { eventually } from '../support/waiting.ts';

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function open(options: GuardedOptions): Promise<GuardedDaemon> {
  const rig = await openGuardedDaemon(options);
  cleanUps.push(() => rig.close());
  return rig;
}

const greedy = 'aa'.repeat(16);
const modest = 'bb'.repeat(16);
const namespace = parseNamespace('default');
const chain = chainOf('limits', 2, 1000);
const large = chainOf('limits/large', 24, 1_000_000);
const doors = ['unix', 'tcp'] as const;

async function join(url: string, clientId: string, token?: string): Promise<RawFrames> {
  const raw = await RawFrames.open(url, clientId, token);
  cleanUps.push(() => raw.close());
  return raw;
}

function lookup(keys: readonly BlockKey[]): Uint8Array {
  return encodeKeysCall({ namespace, deadlineMs: 5000, keys });
}

/** A save that announces so many bytes, and never sends them. */
function promise(bytes: number): Uint8Array {
  const [key] = chainOf(`limits/${Math.random()}`, 1).keys;
  const blocks = [{ key, length: bytes, tokens: 0, position: undefined, hasDecodedTokens: false }];
  const flags = {
    durable: undefined,
    fingerprint: undefined,
    isUnasked: false,
    isWhole: true,
    mayFill: false,
    mayCompress: false,
  };
  return encodeSaveCall({ namespace, deadlineMs: 20_000, parent: undefined, blocks, ...flags });
}

const wholeLoad = encodeLoadCall({
  ...{
    namespace,
    deadlineMs: 5000,
    exact: false,
    fingerprint: undefined,
    mayCompress: false,
    keys: large.keys,
  },
});

/** The other client goes on: its lookup is answered. */
async function assertServed(raw: RawFrames): Promise<void> {
  raw.send('lookup', 77, lookup(chain.keys));
  assert.equal(await raw.outcome(77), 'looked-up');
}

describe('a greedy client over frames', () => {
  for (const door of doors) {
    it(`gets BUSY for a connection too many, while another is let in (${door})`, async () => {
      const rig = await open({ clientLimits: { connections: 2 } });
      const url = urlOf(rig, door);
      for (let count = 0; count < 2; count += 1) {
        assert.equal(await (await join(url, greedy)).outcome(0), 'welcome');
      }
      const outcome = await (await join(url, greedy)).outcome(0);
      assert.match(outcome, /^BUSY this client has 2 connections/);
      const other = await join(url, modest);
      assert.equal(await other.outcome(0), 'welcome');
      await assertServed(other);
    });

    it(`gets BUSY for a call too many, while another's is served (${door})`, async () => {
      const rig = await open({ clientLimits: { calls: 2 } });
      const raw = await join(urlOf(rig, door), greedy);
      raw.send('save', 1, promise(10));
      raw.send('save', 2, promise(10));
      raw.send('lookup', 3, lookup(chain.keys));
      assert.match(await raw.outcome(3), /^BUSY 2 calls of this client/);
      await assertServed(await join(urlOf(rig, door), modest));
    });

    it(`gets BUSY for bytes it does not send, while another saves (${door})`, async () => {
      const rig = await open({ clientLimits: { intakeBytes: 1000, waitMs: 150 } });
      const raw = await join(urlOf(rig, door), greedy);
      raw.send('save', 1, promise(900));
      assert.equal((await raw.frame(1)).type, 'wanted');
      raw.send('save', 2, promise(900));
      assert.match(await raw.outcome(2), /^BUSY 900 bytes of this client are coming in.*900 more/);
      const other = await join(urlOf(rig, door), modest);
      other.send('save', 1, promise(900));
      assert.equal((await other.frame(1)).type, 'wanted');
      raw.close();
      other.close();
      await eventually('all of it is given back', () =>
        Promise.resolve(rig.accounts.intake.taken === 0),
      );
    });

    it(`gets BUSY for loads whose answers it does not read (${door})`, async () => {
      const limits = { pinnedBytes: 2_000_000, loads: 1, waitMs: 300 };
      const rig = await open({ clientLimits: limits });
      await rig.store.save(large.blocks);
      await rig.store.save(chain.blocks);
      const url = urlOf(rig, door);
      const deaf = await join(url, greedy);
      assert.equal(await deaf.outcome(0), 'welcome');
      deaf.socket.pause();
      deaf.send('load', 1, wholeLoad);
      await eventually('its payloads are pinned', () =>
        Promise.resolve(rig.accounts.pinnedBytes > 0),
      );
      const second = await join(url, greedy);
      second.send('load', 1, wholeLoad);
      assert.match(
        await second.outcome(1),
        /^BUSY (?:1 loads of this client|\d+ bytes are pinned)/,
      );
      const other = await join(url, modest);
      await assertServed(other);
      other.send('load', 1, wholeLoad);
      assert.equal(await other.outcome(1), 'loaded');
      deaf.close();
      await eventually('its pins are gone', () => Promise.resolve(rig.accounts.pinnedBytes === 0));
    });
  }

  it('gets BUSY over all clients of its token, while another token is let in', async () => {
    const limits = { connectionsPerToken: 3, intakeBytesPerToken: 1000, waitMs: 150 };
    const rig = await open({ tokens: 'one name=one\ntwo name=two', clientLimits: limits });
    const url = urlOf(rig, 'tcp');
    const first = await join(url, '01'.repeat(16), 'one');
    const second = await join(url, '02'.repeat(16), 'one');
    assert.equal(await (await join(url, '03'.repeat(16), 'one')).outcome(0), 'welcome');
    const outcome = await (await join(url, '04'.repeat(16), 'one')).outcome(0);
    assert.match(outcome, /^BUSY this token has 3 connections/);
    first.send('save', 1, promise(900));
    assert.equal((await first.frame(1)).type, 'wanted');
    second.send('save', 1, promise(900));
    assert.match(await second.outcome(1), /^BUSY 900 bytes of this token/);
    // The same client id under another token is another client.
    const other = await join(url, '01'.repeat(16), 'two');
    other.send('save', 1, promise(900));
    assert.equal((await other.frame(1)).type, 'wanted');
  });
});

/** A request by hand, whose answer may be left unread. */
async function ask(
  rig: GuardedDaemon,
  head: string,
  options: { readonly from?: string; readonly isRead?: boolean } = {},
): Promise<{ readonly socket: Socket; readonly answer: Promise<string> }> {
  const { port } = new URL(urlOf(rig, 'http'));
  const socket = connectSocket({
    ...{ host: '127.0.0.1', port: Number(port), localAddress: options.from },
  });
  socket.on('error', () => undefined);
  cleanUps.push(() => void socket.destroy());
  const answer = new Promise<string>((resolve) => {
    let text = '';
    if (options.isRead === false) return;
    socket.on('data', (part: Buffer) => {
      text += part.toString('latin1');
      if (text.includes('\r\n\r\n')) resolve(text);
    });
    socket.on('close', () => resolve(text));
  });
  socket.write(head);
  await sleep(30);
  return { socket, answer };
}

function request(method: string, path: string, token: string, length?: number): string {
  const size = length === undefined ? '' : `Content-Length: ${length}\r\n`;
  return `${method} ${path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${token}\r\n${size}\r\n`;
}

const tokens = 'one name=one\ntwo name=two';
const blockPath = (key: BlockKey): string => `/wmbt/v1/ns/default/blocks/${key}`;

describe('a greedy client over HTTP', () => {
  it('gets 503 for a connection too many, while another host is let in', async () => {
    const rig = await open({ httpLimits: { connectionsPerAddressMax: 2 } });
    const ping = 'GET /wmbt/v1/ping HTTP/1.1\r\nHost: h\r\n\r\n';
    assert.match(await (await ask(rig, ping)).answer, /^HTTP\/1\.1 200 /);
    assert.match(await (await ask(rig, ping)).answer, /^HTTP\/1\.1 200 /);
    const refused = await (await ask(rig, ping)).answer;
    assert.match(refused, /^HTTP\/1\.1 503 [\s\S]*2 connections of this address/);
    const other = await ask(rig, ping, { from: '127.0.0.2' });
    assert.match(await other.answer, /^HTTP\/1\.1 200 /);
  });

  it('gets 429 for a request too many, while another is served and probes are too', async () => {
    const rig = await open({ tokens, httpLimits: { requestsPerClientMax: 2 } });
    const put = request('PUT', blockPath(chain.keys[0]), 'one', 10);
    await ask(rig, put);
    await ask(rig, put);
    const path = `/wmbt/v1/ns/default/lookup?keys=${chain.keys[0]}`;
    const refused = await (await ask(rig, request('GET', path, 'one'))).answer;
    assert.match(refused, /^HTTP\/1\.1 429 [\s\S]*2 requests of this client are under way/);
    assert.match(await (await ask(rig, request('GET', path, 'two'))).answer, /^HTTP\/1\.1 200 /);
    const health = await ask(rig, request('GET', '/readyz', 'one'));
    assert.match(await health.answer, /^HTTP\/1\.1 200 /);
  });

  it('gets 429 for bodies it does not send, while another saves', async () => {
    const limits = { bodiesBytesPerClientMax: 1500, admissionMs: 150 };
    const rig = await open({ tokens, httpLimits: limits });
    await ask(rig, request('PUT', blockPath(chain.keys[0]), 'one', 1000));
    const second = await ask(rig, request('PUT', blockPath(chain.keys[1]), 'one', 1000));
    assert.match(
      await second.answer,
      /^HTTP\/1\.1 429 [\s\S]*bodies of 1000 bytes of this client are under way/,
    );
    const other = await ask(rig, request('PUT', blockPath(chain.keys[1]), 'two', 1000));
    other.socket.write(chain.blocks[1].payload);
    assert.match(await other.answer, /^HTTP\/1\.1 201 /);
  });

  it('gets 429 for answers it does not read, while another is served', async () => {
    const limits = { pinnedBytesPerClientMax: 1, admissionMs: 150 };
    const rig = await open({ tokens, httpLimits: limits });
    const [huge] = chainOf('limits/huge', 1, 24_000_000).blocks;
    await rig.store.save([huge]);
    await rig.store.save(chain.blocks);
    await ask(rig, request('GET', blockPath(huge.key), 'one'), { isRead: false });
    await sleep(100);
    const second = await ask(rig, request('GET', blockPath(chain.keys[0]), 'one'));
    assert.match(await second.answer, /^HTTP\/1\.1 429 [\s\S]*bytes are pinned for answers/);
    const other = await ask(rig, request('GET', blockPath(chain.keys[0]), 'two'));
    assert.match(await other.answer, /^HTTP\/1\.1 200 /);
  });

  it('gets 429 for loads side by side, while another is served', async () => {
    const limits = { loadsPerClientMax: 1, admissionMs: 100 };
    const rig = await open({ tokens, httpLimits: limits });
    await rig.store.save(chain.blocks);
    const { store } = rig;
    // One load takes as long as the test, as one whose bucket is slow may.
    const end = deferred<void>();
    cleanUps.push(() => end.resolve());
    const load = store.load.bind(store);
    store.load = async (keys, options) => {
      if (keys[0] === chain.keys[1]) await end.promise;
      return load(keys, options);
    };
    await ask(rig, request('GET', blockPath(chain.keys[1]), 'one'));
    const second = await ask(rig, request('GET', blockPath(chain.keys[0]), 'one'));
    assert.match(await second.answer, /^HTTP\/1\.1 429 [\s\S]*1 loads of this client/);
    const other = await ask(rig, request('GET', blockPath(chain.keys[0]), 'two'));
    assert.match(await other.answer, /^HTTP\/1\.1 200 /);
  });
});
