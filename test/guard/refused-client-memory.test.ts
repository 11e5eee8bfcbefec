import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { HttpClientStore } from '../../src/client/http-client-store.ts';
import { RemotePeer } from '../../src/client/remote-peer.ts';
import { RemoteStore } from '../../src/client/remote-store.ts';
import { directChecksums } from '../../src/platform/checksums.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import type { SocketAddress } from '../../src/platform/sockets.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { FrameReader } from '../../src/protocol/frame-reader.ts';
import type { FrameType } from '../../src/protocol/frame-types.ts';
import { encodeWelcome } from '../../src/protocol/session-messages.ts';
import { encodeLookedUp } from '../../src/protocol/read-messages.ts';
import { WireCodec } from '../../src/wire/wire-codec.ts';
import { WireLink } from '../../src/wire/wire-link.ts';
import { chainOf, chainOfPayloads } from '../support/chains.ts';
import { assertHeld } from '../support/compressed-chains.ts';
import { compressingDoor } from '../support/daemon-world.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { GuardedDaemon, GuardedOptions } from '../support/guarded-daemon.ts';
import { smoothPayload } from '../support/payloads.ts';
import { RefusingMemory } from '../support/refusing-memory.ts';

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function open(options: GuardedOptions = {}): Promise<GuardedDaemon> {
  const rig = await openGuardedDaemon(options);
  cleanUps.push(() => rig.close());
  return rig;
}

const namespace = parseNamespace('default');
const doors = ['unix', 'tcp', 'http'] as const;

/** A client whose memory the test has in its hand. */
function clientOf(
  rig: GuardedDaemon,
  door: (typeof doors)[number],
  isCompressing = false,
): { readonly store: KvStore; readonly memory: RefusingMemory } {
  const memory = new RefusingMemory();
  const url = urlOf(rig, door);
  const port = Number(url.split(':').at(-1));
  const wire = isCompressing ? new WireLink(new WireCodec('auto'), 'on') : undefined;
  if (door === 'http') {
    const platform = { ...nodePlatform(), sockets: nodeSockets, memory };
    const store = new HttpClientStore({ platform, host: '127.0.0.1', port, wire });
    cleanUps.push(() => store.close());
    return { store, memory };
  }
  const path = url.slice('unix:'.length);
  const address: SocketAddress =
    door === 'unix' ? { kind: 'unix', path } : { kind: 'tcp', host: '127.0.0.1', port };
  return { store: remoteOf(address, memory, wire), memory };
}

function remoteOf(address: SocketAddress, memory: RefusingMemory, wire?: WireLink): KvStore {
  const { clock, random } = nodePlatform();
  const isCompressing = wire !== undefined;
  const machine = { sockets: nodeSockets, clock, random, memory };
  const peer = new RemotePeer({ ...machine, address, token: '', agent: 'test', isCompressing });
  const reads = { lookupMs: 5000, loadMs: 10_000, tailMs: 10_000 };
  const deadlines = { ...reads, saveMs: 10_000, deleteMs: 10_000 };
  const parts = { peer, clock, memory, namespace, deadlines, checksums: directChecksums, wire };
  const store = new RemoteStore(parts);
  cleanUps.push(() => store.close());
  return store;
}

const payloadBytes = 300_000;

describe('a client whose system has no memory for what comes', () => {
  for (const door of doors) {
    it(`gives the blocks before the first one without memory (${door})`, async () => {
      const rig = await open();
      const chain = chainOf(`client/${door}`, 8, payloadBytes);
      await rig.store.save(chain.blocks);
      const { store, memory } = clientOf(rig, door);
      // Beside the load that has to do without the rest, others go on.
      let left = 3 * payloadBytes;
      memory.refuses = (byteLength) => {
        const isRefused = byteLength >= payloadBytes && byteLength > left;
        if (byteLength >= payloadBytes && !isRefused) left -= byteLength;
        return isRefused;
      };
      const [borrow, { matched }] = await Promise.all([
        store.load(chain.keys),
        store.lookup(chain.keys),
      ]);
      assert.equal(matched, 8);
      assert.equal(borrow.reason, 'unavailable');
      assert.equal(borrow.blocks.length, 3);
      borrow.blocks.forEach(({ key, payload }, at) => {
        assert.equal(key, chain.keys[at]);
        assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload), `payload ${at}`);
      });
      borrow.release();
      memory.recover();
      await assertHeld(store, chain);
      assert.equal(rig.counters.connectionsBroken, 0);
      assert.equal(rig.accounts.pinnedBytes, 0);
    });

    it(`has a miss where there is memory for nothing (${door})`, async () => {
      const rig = await open();
      const { keys, blocks } = chainOf(`miss/${door}`, 2, payloadBytes);
      await rig.store.save([blocks[0]]);
      await rig.store.saveTail({ tip: keys[0], tokens: [7], payload: blocks[1].payload });
      await rig.store.saveRawTail(keys[1], blocks[1].payload);
      const { store, memory } = clientOf(rig, door);
      memory.refuses = (byteLength) => byteLength === payloadBytes;
      const { blocks: none, reason } = await store.load([keys[0]]);
      assert.deepEqual({ none, reason }, { none: [], reason: 'unavailable' });
      assert.equal(await store.loadTail({ tip: keys[0], tokens: [7, 8] }), undefined);
      assert.equal(await store.loadRawTail(keys[1]), undefined);
      memory.recover();
      assert.equal((await store.loadTail({ tip: keys[0], tokens: [7, 8] }))?.tokens, 1);
      assert.equal((await store.loadRawTail(keys[1]))?.payload.length, payloadBytes);
    });

    if (door === 'unix') continue;

    it(`has a miss behind what came compressed and it had memory for (${door})`, async () => {
      const rig = await open({ wire: compressingDoor() });
      const payloads = [0, 1, 2, 3, 4].map((at) => smoothPayload(`${door}/${at}`, 400_000));
      const chain = chainOfPayloads(`compressed/client/${door}`, payloads);
      await rig.store.save(chain.blocks);
      const { store, memory } = clientOf(rig, door, true);
      memory.refuseBehind(2, (byteLength) => byteLength > 90_000 && byteLength < 400_000);
      const borrow = await store.load(chain.keys);
      assert.equal(borrow.reason, 'unavailable');
      // Over HTTP the last one comes first, and memory of what has come is used again.
      assert.ok(door === 'http' ? borrow.blocks.length < 3 : borrow.blocks.length === 2);
      borrow.blocks.forEach(({ payload }, at) => {
        assert.ok(Buffer.from(payload).equals(payloads[at]), `payload ${at}`);
      });
      borrow.release();
      memory.recover();
      await assertHeld(store, chain);
    });
  }

  it('fails the call for which a long message comes, and no other', async () => {
    const { port, close } = await listenWith(({ type, id }, send) => {
      if (type === 'hello') send('welcome', 0, welcome);
      // The reason is long; the other call is answered behind it.
      if (type === 'contains') send('error', id, longFailure);
      if (type === 'lookup') {
        send('looked-up', id, encodeLookedUp({ matched: 1, reason: undefined }));
      }
    });
    cleanUps.push(close);
    const memory = new RefusingMemory();
    const store = remoteOf({ kind: 'tcp', host: '127.0.0.1', port }, memory);
    const { keys } = chainOf('long', 1);
    memory.refuses = (byteLength) => byteLength === longFailure.length;
    const failing = store.contains(keys);
    const going = store.lookup(keys);
    await assert.rejects(
      failing,
      (error) => isStoreError(error, 'BUSY') && error.message.includes('no memory for a message'),
    );
    assert.equal((await going).matched, 1);
    memory.recover();
    await assert.rejects(store.contains(keys), { code: 'UNAVAILABLE' });
  });
});

const welcome = encodeWelcome({
  ...{ version: 1, features: 0, bodyBytesMax: limits.messageBytesMax },
  ...{ dataBytesMax: limits.pieceBytesMax, eagerBytesMax: limits.eagerBytesMax },
  ...{ callsMax: 8, connectionsMax: 8, agent: 'long' },
});

/** UNAVAILABLE, with a text that is longer than what a reader has for short messages. */
const longFailure = Buffer.concat([Buffer.from([0, 0xff, 0xff]), Buffer.alloc(0xffff, 'x')]);

type Send = (type: FrameType, id: number, body?: Uint8Array) => void;

/** A daemon that answers each frame as the test says. */
async function listenWith(
  answer: (frame: { readonly type: FrameType; readonly id: number }, send: Send) => void,
): Promise<{ readonly port: number; readonly close: () => Promise<void> }> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    const send: Send = (type, id, body) => {
      for (const part of encodeFrame(type, id, body)) socket.write(part);
    };
    const reader = new FrameReader({
      bodyBytesMax: () => limits.messageBytesMax,
      bodyMemory: ({ length }) => new Uint8Array(length),
      onFrame: (header) => answer(header, send),
      dataTarget: () => undefined,
      onData: () => undefined,
    });
    socket.on('data', (chunk: Buffer) => {
      for (let at = 0; at < chunk.length;) {
        const part = chunk.subarray(at, at + reader.nextBuffer().length);
        reader.nextBuffer().set(part);
        at += part.length;
        reader.received(part.length);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => void (await new Promise((closed) => server.close(closed))),
  };
}
