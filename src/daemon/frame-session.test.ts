import assert from 'node:assert/strict';
import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, it } from 'node:test';
import { concatBytes } from '../base/bytes.ts';
import { silentLogger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { ServedStore } from '../blocks/served-store.ts';
import { connect } from '../client/connect.ts';
import { resolveStoreConfig } from '../config/store-config.ts';
import { parseTokenFile } from '../config/token-file.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import { encodeDataHeader, encodeFrame } from '../protocol/frame.ts';
import { FrameReader } from '../protocol/frame-reader.ts';
import { encodeKeysCall, encodeLoadCall, encodePayloadNotice } from '../protocol/read-messages.ts';
import { decodeFailure, encodeHello, features } from '../protocol/session-messages.ts';
import { encodeSaveCall } from '../protocol/write-messages.ts';
import { assembleStore } from '../store/assemble-store.ts';
import { chainOf } from '../../test/support/chains.ts';
import { patience } from '../../test/support/patience.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { eventually } from '../../test/support/waiting.ts';
import { Access } from './access.ts';
import { ClientAccounts } from './client-accounts.ts';
import { DaemonCounters } from './daemon-counters.ts';
import { Daemon } from './daemon.ts';
import { FrameTransport } from './frame-transport.ts';
import { tcpBinder } from './tcp-binder.ts';

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

interface Rig {
  readonly store: ServedStore;
  readonly daemon: Daemon;
  readonly accounts: ClientAccounts;
  readonly counters: DaemonCounters;
  readonly port: number;
  readonly url: string;
}

interface RigOptions {
  readonly token?: string;
  readonly drainMs?: number;
}

/** A daemon over TCP around a store whose bucket is in memory. */
async function open({ token, drainMs = 1000 }: RigOptions = {}): Promise<Rig> {
  const directory = await makeTemporaryDirectory('session');
  cleanUps.push(() => directory.remove());
  const platform = nodePlatform();
  const config = { objectStore: 'memory:', cacheDirectory: `${directory.path}/cache` };
  const store = await assembleStore({
    ...{ platform, logger: silentLogger, objects: new MemoryObjectStore(platform.clock) },
    ...{ transcoder: rawTranscoder, settings: resolveStoreConfig(config, platform.host) },
  });
  const accounts = new ClientAccounts(platform.memory);
  const counters = new DaemonCounters();
  const service = {
    ...{ store, clock: platform.clock, memory: platform.memory, sockets: nodeSockets },
    logger: silentLogger,
    ...{ accounts, counters, agent: 'test' },
  };
  const binder = tcpBinder({ kind: 'tcp', host: '127.0.0.1', port: 0 });
  const daemon = await Daemon.start(
    service,
    [new FrameTransport(binder, accessOf(token))],
    drainMs,
  );
  cleanUps.push(() => daemon.stop());
  const { url } = daemon.addresses[0];
  return { store, daemon, accounts, counters, url, port: Number(url.split(':').at(-1)) };
}

function accessOf(token: string | undefined): Access {
  return new Access(token === undefined ? undefined : parseTokenFile(token));
}

/** A peer that speaks in bytes. */
class RawPeer {
  readonly socket: Socket;
  readonly frames: string[] = [];
  readonly errors: string[] = [];

  constructor(port: number) {
    this.socket = connectSocket({ port, host: '127.0.0.1' });
    this.socket.on('error', () => undefined);
    const reader = new FrameReader({
      bodyBytesMax: () => 1_000_000,
      bodyMemory: ({ length }) => new Uint8Array(length),
      onFrame: ({ type, id }, body) => {
        this.frames.push(`${type} ${id}`);
        if (type === 'error') this.errors.push(`${id} ${decodeFailure(body).code}`);
      },
      dataTarget: () => undefined,
      onData: (id) => this.frames.push(`data ${id}`),
    });
    this.socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length;) {
        const into = reader.nextBuffer();
        const part = chunk.subarray(at, at + into.length);
        into.set(part);
        at += part.length;
        reader.received(part.length);
      }
    });
    cleanUps.push(() => void this.socket.destroy());
  }

  write(...parts: readonly (readonly Uint8Array[])[]): this {
    this.socket.write(concatBytes(parts.flat()));
    return this;
  }

  async seen(frame: string): Promise<void> {
    await eventually(`frame ${frame}`, () => Promise.resolve(this.frames.includes(frame)));
  }

  async ended(): Promise<void> {
    if (!this.socket.closed)
      await once(this.socket, 'close', { signal: AbortSignal.timeout(20_000) });
  }
}

const hello = (token = '', clientId = '00'.repeat(16), known: number = 0): readonly Uint8Array[] =>
  encodeFrame(
    'hello',
    0,
    encodeHello({
      ...{ versionOldest: 1, versionNewest: 1, features: known },
      ...{ clientId, token, agent: 'raw' },
    }),
  );
const head = { namespace: parseNamespace('default'), deadlineMs: 5000 };
const chain = chainOf('session', 4, 100_000);
const lookup = (id: number): readonly Uint8Array[] =>
  encodeFrame('lookup', id, encodeKeysCall({ ...head, keys: chain.keys }));
const announced = chain.blocks.map(({ key, payload }) => ({
  ...{ key, length: payload.length, tokens: 128, position: undefined, hasDecodedTokens: false },
}));
const save = (id: number, deadlineMs = 5000): readonly Uint8Array[] => {
  const flags = {
    durable: undefined,
    fingerprint: undefined,
    isUnasked: false,
    isWhole: false,
    mayFill: false,
    mayCompress: false,
  };
  const call = { ...head, deadlineMs, ...flags, parent: undefined, blocks: announced };
  return encodeFrame('save', id, encodeSaveCall(call));
};
const notice = (id: number, index: number, length: number): readonly Uint8Array[] =>
  encodeFrame(
    'payload',
    id,
    encodePayloadNotice({
      ...{ index, length, crc: 0, tokens: 0 },
      ...{ hasDecodedTokens: false, tier: 'memory' },
    }),
  );

/** The daemon still serves others. */
async function assertServes({ url }: Rig): Promise<void> {
  const client = await connect(url, patience);
  assert.equal((await client.lookup(chain.keys)).matched, 0);
  await client.close();
}

describe('a peer that does not speak the protocol', () => {
  const damaged = concatBytes(lookup(1));
  damaged[damaged.length - 1] ^= 1;
  const oversized = encodeFrame('lookup', 1, new Uint8Array(limits.greetingBytesMax + 1));
  const cases: Readonly<Record<string, readonly [bytes: Uint8Array, code: string]>> = {
    'sends HTTP': [
      new TextEncoder().encode('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      'INVALID',
    ],
    'sends a frame of the Rust version': [
      new TextEncoder().encode(`WMBT${'\0'.repeat(30)}`),
      'INVALID',
    ],
    'does not begin with hello': [concatBytes(lookup(1)), 'INVALID'],
    'sends a damaged frame': [concatBytes([...hello(), damaged]), 'CORRUPT'],
    'announces too much before it is let in': [oversized[0], 'TOO_LARGE'],
    'sends too large a piece': [
      concatBytes([...hello(), encodeDataHeader(1, limits.pieceBytesMax + 1)]),
      'TOO_LARGE',
    ],
    'uses an id twice': [concatBytes([...hello(), ...save(1), ...save(1)]), 'INVALID'],
  };
  for (const [what, [bytes, code]] of Object.entries(cases)) {
    it(`and ${what} is told why and loses its connection`, async () => {
      const rig = await open();
      const peer = new RawPeer(rig.port);
      peer.socket.write(bytes);
      await peer.ended();
      assert.ok(peer.errors.includes(`0 ${code}`), peer.errors.join());
      assert.equal(rig.counters.connectionsBroken, 1);
      await assertServes(rig);
    });
  }

  it('gets INVALID for a call that there is not, and goes on', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello(), encodeFrame('welcome', 3), lookup(4));
    await peer.seen('looked-up 4');
    assert.deepEqual(peer.errors, ['3 INVALID']);
  });
});

describe('a peer that comes byte by byte', () => {
  it('is served like any other', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port);
    peer.socket.setNoDelay(true);
    for (const byte of concatBytes([...hello(), ...lookup(1)])) {
      peer.socket.write(Uint8Array.of(byte));
      await new Promise((next) => setImmediate(next));
    }
    await peer.seen('looked-up 1');
  });

  it('and never says who it is loses its connection', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port);
    peer.socket.write(concatBytes(hello()).subarray(0, 30));
    await peer.ended();
    assert.equal(rig.counters.connectionsBroken, 1);
  });
});

describe('a client of a daemon', () => {
  it('that leaves in the middle of a payload leaves nothing behind', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello(), save(1));
    await peer.seen('wanted 1');
    assert.equal(rig.accounts.intake.taken, 400_000);
    peer.write(notice(1, 3, 100_000), [encodeDataHeader(1, 100_000), new Uint8Array(5000)]);
    await sleep(20);
    peer.socket.destroy();
    await eventually('the memory is free', () => Promise.resolve(rig.accounts.intake.taken === 0));
    await assertServes(rig);
  });

  it('that is not on this host has no ring', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello('', '11'.repeat(16), features.ringing));
    peer.write(encodeFrame('open-ring', 1, new Uint8Array(0)));
    await peer.seen('error 1');
    assert.deepEqual(peer.errors, ['1 INVALID']);
    peer.write(encodeFrame('ring-news', 0, new Uint8Array(0)), lookup(2));
    await peer.seen('looked-up 2');
    await assertServes(rig);
  });

  it('that sends nothing of its save gets ABORTED at the deadline, and goes on', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello(), save(1, 200));
    await peer.seen('error 1');
    assert.deepEqual(peer.errors, ['1 ABORTED']);
    assert.equal(rig.accounts.intake.taken, 0);
    peer.write(notice(1, 3, 10), [encodeDataHeader(1, 10), new Uint8Array(10)], lookup(2));
    await peer.seen('looked-up 2');
  });

  it('that sends more than was granted, or another payload, loses its connection', async () => {
    for (const wrong of [notice(1, 2, 100_000), notice(1, 3, 100_001)]) {
      const rig = await open();
      const peer = new RawPeer(rig.port).write(hello(), save(1));
      await peer.seen('wanted 1');
      peer.write(wrong);
      await peer.ended();
      assert.deepEqual(peer.errors, ['0 INVALID']);
    }
  });

  it('whose payload was damaged on its way gets CORRUPT, and nothing is stored', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello(), save(1));
    await peer.seen('wanted 1');
    peer.write(notice(1, 3, 100_000), [encodeDataHeader(1, 100_000), chain.blocks[3].payload]);
    await peer.seen('error 1');
    assert.deepEqual(peer.errors, ['1 CORRUPT']);
    await assertServes(rig);
  });

  it('that does not read its load holds a bounded part of it, and lets go when it leaves', async () => {
    const rig = await open();
    const large = chainOf('session-large', 64, 1_000_000);
    await rig.store.save(large.blocks);
    const peer = new RawPeer(rig.port).write(hello());
    await peer.seen('welcome 0');
    peer.socket.pause();
    const load = {
      ...head,
      exact: false,
      fingerprint: undefined,
      mayCompress: false,
      keys: large.keys,
    };
    peer.write(encodeFrame('load', 1, encodeLoadCall(load)));
    await eventually('the load has begun', async () => (await rig.store.stats()).disk.hits >= 16);
    await sleep(300);
    const { disk, memory } = await rig.store.stats();
    const held = disk.hits + memory.hits;
    const most = limits.loadPartBlocksMin + limits.loadPartBytes / 1_000_000;
    assert.ok(held <= most + 1, `${held} blocks of 64 are held`);
    peer.socket.destroy();
    await assertServes(rig);
  });

  it('has its cancelled call ended with ABORTED', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello(), save(1));
    await peer.seen('wanted 1');
    peer.write(encodeFrame('cancel', 1));
    await peer.seen('error 1');
    assert.deepEqual(peer.errors, ['1 ABORTED']);
    assert.equal(rig.accounts.intake.taken, 0);
  });

  it('may have so many connections and calls, and gets BUSY beyond', async () => {
    const rig = await open();
    const peers = Array.from({ length: limits.connectionsPerClientMax }, () =>
      new RawPeer(rig.port).write(hello()),
    );
    for (const peer of peers) await peer.seen('welcome 0');
    const late = new RawPeer(rig.port).write(hello());
    await late.ended();
    assert.deepEqual(late.errors, ['0 BUSY']);
    const other = new RawPeer(rig.port).write(hello('', '01'.repeat(16)));
    await other.seen('welcome 0');
    for (let id = 1; id <= limits.callsPerClientMax + 1; id += 1) peers[0].write(save(id));
    const last = limits.callsPerClientMax + 1;
    await peers[0].seen(`error ${last}`);
    assert.ok(peers[0].errors.includes(`${last} BUSY`));
    await assertServes(rig);
  });

  it('gives the token that the daemon wants, or is not let in', async () => {
    const rig = await open({ token: 's3cret' });
    await assert.rejects(connect(rig.url), { code: 'INVALID', message: /token/ });
    await assert.rejects(connect(rig.url, { token: 's3creT' }), { code: 'INVALID' });
    const client = await connect(rig.url, { token: 's3cret', ...patience });
    assert.equal((await client.lookup(chain.keys)).matched, 0);
    await client.close();
  });
});

describe('a daemon that stops', () => {
  it('lets a call that runs end, refuses new ones, and takes no connection', async () => {
    const rig = await open({ drainMs: 20_000 });
    const peer = new RawPeer(rig.port).write(hello(), save(1));
    await peer.seen('wanted 1');
    const stopping = rig.daemon.stop();
    peer.write(lookup(2));
    await peer.seen('error 2');
    assert.deepEqual(peer.errors, ['2 CLOSED']);
    await assert.rejects(connect(rig.url), { code: 'UNAVAILABLE' });
    peer.write(encodeFrame('cancel', 1));
    await stopping;
    await peer.ended();
  });

  it('breaks off calls that do not end in time', async () => {
    const rig = await open();
    const peer = new RawPeer(rig.port).write(hello(), save(1, 60_000));
    await peer.seen('wanted 1');
    await rig.daemon.stop();
    await peer.ended();
    assert.equal(rig.accounts.intake.taken, 0);
  });
});
