import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { connect } from '../../src/client/connect.ts';
import type { ConnectOptions } from '../../src/client/connect.ts';
import { operationPath } from '../../src/protocol/http1-paths.ts';
import { encodeKeysCall } from '../../src/protocol/read-messages.ts';
import { chainOf, chainOfPayloads, chainOfSizes } from '../support/chains.ts';
import { assertHeld } from '../support/compressed-chains.ts';
import { compressingDoor } from '../support/daemon-world.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { DoorName, GuardedDaemon, GuardedOptions } from '../support/guarded-daemon.ts';
import { patience } from '../support/patience.ts';
import { smoothPayload } from '../support/payloads.ts';
import { RawFrames } from '../support/raw-frames.ts';
import { RefusingMemory } from '../support/refusing-memory.ts';
import { eventually } from '../support/waiting.ts';

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

interface Rig extends GuardedDaemon {
  readonly memory: RefusingMemory;
}

async function open(options: GuardedOptions = {}): Promise<Rig> {
  const memory = new RefusingMemory();
  const daemon = await openGuardedDaemon({ ...options, memory });
  cleanUps.push(() => daemon.close());
  return { ...daemon, memory };
}

async function join(rig: Rig, door: DoorName, options: ConnectOptions = {}): Promise<KvStore> {
  const store = await connect(urlOf(rig, door), {
    wireCompression: 'off',
    ...patience,
    ...options,
  });
  cleanUps.push(() => store.close());
  return store;
}

const isBusy = (error: unknown): boolean =>
  isStoreError(error, 'BUSY') && error.message.includes('the system has no memory for');

const doors = ['unix', 'tcp', 'http'] as const;
const namespace = parseNamespace('default');
const payloadBytes = 300_000;
const isPayload = (byteLength: number): boolean => byteLength === payloadBytes;

/** A number of the daemon's HTTP server. */
async function metricOf(rig: Rig, name: string): Promise<number> {
  const text = await (await fetch(`${urlOf(rig, 'http')}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text)?.[1]);
}

/** Nothing is coming in any more that has room, nor a call that has begun; no connection was broken off. */
async function assertRoomIsBack(rig: Rig): Promise<void> {
  await eventually('room is given back', async () => {
    const bodyBytes = await metricOf(rig, 'wombatkv_http_body_bytes');
    return rig.accounts.intake.taken === 0 && rig.accounts.calls === 0 && bodyBytes === 0;
  });
  assert.equal(rig.counters.connectionsBroken, 0);
}

describe('a daemon whose system has no memory for what comes', () => {
  for (const door of doors) {
    it(`refuses a save with BUSY, and takes the next one (${door})`, async () => {
      const rig = await open();
      const store = await join(rig, door);
      const chain = chainOf(`refused/${door}`, 4, payloadBytes);
      rig.memory.refuses = isPayload;
      await assert.rejects(store.save(chain.blocks), isBusy);
      assert.ok(rig.counters.memoryRefused > 0);
      await assertRoomIsBack(rig);
      assert.ok(!(await store.contains(chain.keys)).includes(true));
      rig.memory.recover();
      assert.equal((await store.save(chain.blocks)).saved, 4);
      await assertHeld(store, chain);
    });

    it(`refuses the rest of a save that it had memory for a part of (${door})`, async () => {
      const rig = await open();
      const store = await join(rig, door);
      // The last blocks come first. Those before them are longer, so that no memory of what is stored does for them again.
      const [bytes, longerBytes] = [3_000_000, 3_200_000];
      const sizes = Array.from({ length: 16 }, (_, index) => (index < 8 ? longerBytes : bytes));
      const chain = chainOfSizes(`part/${door}`, sizes);
      assert.ok(8 * bytes > limits.saveGroupBytes);
      rig.memory.refuses = (byteLength) => byteLength === longerBytes;
      await assert.rejects(store.save(chain.blocks), isBusy);
      await assertRoomIsBack(rig);
      assert.equal((await store.lookup(chain.keys)).matched, 0);
      rig.memory.recover();
      await store.save(chain.blocks);
      await assertHeld(store, chain);
    });

    it(`refuses tails, and what is so short that it comes unasked (${door})`, async () => {
      const rig = await open();
      const store = await join(rig, door);
      const { keys, blocks } = chainOf(`tails/${door}`, 2, payloadBytes);
      const small = chainOf(`small/${door}`, 1, 5000);
      const tail = { tip: keys[0], tokens: [1, 2, 3], payload: blocks[0].payload };
      rig.memory.refuses = (byteLength) => isPayload(byteLength) || byteLength === 5000;
      await assert.rejects(store.saveTail(tail), isBusy);
      await assert.rejects(store.saveRawTail(keys[1], blocks[1].payload), isBusy);
      if (door !== 'http') await assert.rejects(store.save(small.blocks), isBusy);
      await assertRoomIsBack(rig);
      rig.memory.recover();
      await store.saveTail(tail);
      await store.saveRawTail(keys[1], blocks[1].payload);
      assert.equal((await store.loadTail({ tip: keys[0], tokens: [1, 2, 3] }))?.tokens, 3);
      assert.equal((await store.loadRawTail(keys[1]))?.payload.length, payloadBytes);
    });

    it(`gives the blocks before the first one that it has no memory to read (${door})`, async () => {
      // All that is read takes memory of its own.
      const rig = await open({ config: { memoryBytes: 4096 } });
      const store = await join(rig, door);
      const chain = chainOf(`read/${door}`, 6, payloadBytes);
      await store.save(chain.blocks);
      let left = 3;
      rig.memory.refuses = (byteLength) => byteLength >= payloadBytes && (left -= 1) < 0;
      const borrow = await store.load(chain.keys);
      assert.equal(borrow.reason, 'unavailable');
      assert.ok(borrow.blocks.length < 6, `${borrow.blocks.length} blocks`);
      borrow.release();
      rig.memory.recover();
      await assertHeld(store, chain);
    });

    if (door === 'unix') continue;

    for (const [what, isMeant] of [
      ['a payload', (byteLength: number) => byteLength === 400_000],
      ['what it is made of', (byteLength: number) => byteLength < 400_000 && byteLength > 90_000],
    ] as const) {
      it(`refuses a compressed save for want of memory for ${what} (${door})`, async () => {
        const rig = await open({ wire: compressingDoor() });
        const store = await join(rig, door, { wireCompression: 'on' });
        const payloads = [1, 2, 3].map((at) => smoothPayload(`${door}/${at}`, 400_000));
        const chain = chainOfPayloads(`compressed/${door}/${what}`, payloads);
        rig.memory.refuses = isMeant;
        await assert.rejects(store.save(chain.blocks), isBusy);
        await assertRoomIsBack(rig);
        rig.memory.recover();
        await store.save(chain.blocks);
        await assertHeld(store, chain);
        assert.ok(rig.counters.compressed.received.payloads >= 3);
      });
    }
  }
});

describe('a daemon without memory for a message', () => {
  for (const door of ['unix', 'tcp'] as const) {
    it(`refuses that call alone, and the connection goes on (${door})`, async () => {
      const rig = await open();
      const raw = await RawFrames.open(urlOf(rig, door), 'aa'.repeat(16));
      cleanUps.push(() => raw.close());
      const lookup = (count: number): Uint8Array =>
        encodeKeysCall({ namespace, deadlineMs: 5000, keys: chainOf('message', count).keys });
      rig.memory.refuses = (byteLength) => byteLength > 64 * 1024;
      raw.send('lookup', 1, lookup(3000));
      raw.send('lookup', 2, lookup(2));
      assert.match(await raw.outcome(1), /^BUSY the system has no memory for/);
      assert.equal(await raw.outcome(2), 'looked-up');
      await assertRoomIsBack(rig);
      rig.memory.recover();
      raw.send('lookup', 3, lookup(3000));
      assert.equal(await raw.outcome(3), 'looked-up');
      assert.equal(rig.counters.callsRefused, 1);
    });
  }

  for (const door of doors) {
    it(`takes no connection, and the next one when it has memory (${door})`, async () => {
      const rig = await open();
      rig.memory.refuses = () => true;
      await assert.rejects(join(rig, door), (error) => isStoreError(error));
      rig.memory.recover();
      const chain = chainOf(`connection/${door}`, 2, 1000);
      const store = await join(rig, door);
      await store.save(chain.blocks);
      await assertHeld(store, chain);
    });
  }
});

interface Request {
  readonly method: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: Uint8Array;
  readonly isChunked?: boolean;
}

const nothing = new Uint8Array(0);

/** A request by hand: its head, and then its body. */
class RawRequest {
  readonly #socket: Socket;
  #text = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (part: Buffer) => {
      this.#text += part.toString('latin1');
    });
    cleanUps.push(() => void socket.destroy());
  }

  static async open(rig: Rig): Promise<RawRequest> {
    const socket = connectSocket(Number(new URL(urlOf(rig, 'http')).port), '127.0.0.1');
    await once(socket, 'connect');
    return new RawRequest(socket);
  }

  send({ method, path, type = 'text/plain', body = nothing, isChunked = false }: Request): void {
    const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`;
    this.#socket.write(
      `${method} ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\n${framing}\r\n\r\n`,
    );
    if (isChunked) this.#socket.write(`${body.length.toString(16)}\r\n`);
    this.#socket.write(body);
    if (isChunked) this.#socket.write('\r\n0\r\n\r\n');
  }

  /** The answer, once its body has come. */
  async answer(): Promise<string> {
    await eventually('an answer', () => Promise.resolve(/\r\n\r\n.*\n/s.test(this.#text)));
    return this.#text;
  }
}

describe('an HTTP server without memory for a body', () => {
  const json = 'application/json';
  const octets = 'application/octet-stream';
  const { keys, blocks } = chainOf('by hand', 1, payloadBytes);
  const blockPath = `/wmbt/v1/ns/default/blocks/${keys[0]}`;
  const lookupPath = operationPath(namespace, 'lookup');
  const question = new TextEncoder().encode(
    JSON.stringify({ keys: new Array(2000).fill(keys[0]) }),
  );
  const put = { method: 'PUT', path: blockPath, type: octets, body: blocks[0].payload };
  const ask = { method: 'POST', path: lookupPath, type: json, body: question };
  const requests: readonly (readonly [what: string, Request, status: number])[] = [
    ['a payload', put, 201],
    ['a payload in chunks', { ...put, isChunked: true }, 201],
    ['JSON', ask, 200],
    ['JSON in chunks', { ...ask, isChunked: true }, 200],
  ];
  for (const [what, request, status] of requests) {
    it(`says 429 for ${what}, and why, and serves the next one`, async () => {
      const rig = await open();
      const refused = await RawRequest.open(rig);
      refused.send({ method: 'GET', path: '/healthz' });
      await refused.answer();
      rig.memory.refuses = (byteLength) => byteLength > 64 * 1024;
      refused.send(request);
      await eventually('a second answer', async () => /HTTP.*HTTP/s.test(await refused.answer()));
      const answer = (await refused.answer()).split('HTTP/1.1 ')[2];
      assert.match(
        answer,
        /^429 [\s\S]*retry-after: 1[\s\S]*"BUSY"[\s\S]*the system has no memory/,
      );
      await assertRoomIsBack(rig);
      rig.memory.recover();
      const next = await RawRequest.open(rig);
      next.send(request);
      assert.ok((await next.answer()).startsWith(`HTTP/1.1 ${status} `));
    });
  }
});
