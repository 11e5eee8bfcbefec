import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { concatBytes } from '../../src/base/bytes.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { connect } from '../../src/client/connect.ts';
import type { ConnectOptions } from '../../src/client/connect.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import {
  bulkType,
  encodeBulkHead,
  encodeChecksum,
  payloadBytesHeader,
} from '../../src/protocol/http1-bulk.ts';
import { chunkOf, lastChunk } from '../../src/protocol/http1-chunks.ts';
import { encodeForm } from '../../src/protocol/http1-form.ts';
import { operationPath } from '../../src/protocol/http1-paths.ts';
import type { CompressedForm } from '../../src/protocol/read-messages.ts';
import { chainOf, chainOfPayloads } from '../support/chains.ts';
import { assertHeld, mixedChain, shrinking } from '../support/compressed-chains.ts';
import { compressingDoor } from '../support/daemon-world.ts';
import { FlippingRelay } from '../support/flipping-relay.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { GuardedDaemon, GuardedOptions } from '../support/guarded-daemon.ts';
import { randomPayload, smoothPayload } from '../support/payloads.ts';
import { seededRandom } from '../support/random.ts';

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function open(options: GuardedOptions = { wire: compressingDoor() }): Promise<GuardedDaemon> {
  const rig = await openGuardedDaemon(options);
  cleanUps.push(() => rig.close());
  return rig;
}

async function join(url: string, options: ConnectOptions): Promise<KvStore> {
  const store = await connect(url, options);
  cleanUps.push(() => store.close());
  return store;
}

/** A number of the server's metrics. */
async function metricOf(rig: GuardedDaemon, name: string): Promise<number> {
  const text = await (await fetch(`${urlOf(rig, 'http')}/metrics`)).text();
  return Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text)?.[1]);
}

describe('compression over HTTP', () => {
  it('carries what shrinks in fewer bytes, both ways, and gives the same bytes', async () => {
    const rig = await open();
    const store = await join(urlOf(rig, 'http'), { wireCompression: 'on' });
    const chain = mixedChain('http/both');
    const { sent, received } = rig.counters.compressed;
    assert.equal((await store.save(chain.blocks)).saved, 6);
    await assertHeld(rig.store, chain);
    await assertHeld(store, chain);
    for (const { payloads, rawBytes, wireBytes } of [sent, received]) {
      assert.deepEqual({ payloads, rawBytes }, shrinking);
      assert.ok(wireBytes < 0.75 * rawBytes, `${wireBytes} bytes for ${rawBytes}`);
    }
    const moved = await metricOf(rig, 'wombatkv_http_received_bytes_total');
    assert.ok(moved < 0.75 * chain.byteLength, `${moved} bytes came for ${chain.byteLength}`);
    const tail = { tip: chain.keys[5], tokens: [1, 2], payload: smoothPayload('tail', 400_001) };
    await store.saveTail(tail);
    const found = await store.loadTail({ tip: tail.tip, tokens: [1, 2, 3] });
    assert.ok(found !== undefined && Buffer.from(found.payload).equals(tail.payload));
    assert.equal(sent.payloads, 4);
    assert.equal(await metricOf(rig, 'wombatkv_http_body_bytes'), 0);
  });

  it('leaves out what is stored, in several groups', async () => {
    const rig = await open();
    const store = await join(urlOf(rig, 'http'), { wireCompression: 'on' });
    const payloads = Array.from({ length: 12 }, (_, at) => smoothPayload(`group/${at}`, 2_000_000));
    const chain = chainOfPayloads('http/groups', payloads);
    assert.ok(chain.byteLength > limits.saveGroupBytes);
    await rig.store.save([chain.blocks[1], chain.blocks[6]]);
    const { saved, known } = await store.save(chain.blocks);
    assert.deepEqual({ saved, known }, { saved: 10, known: 2 });
    assert.equal(rig.counters.compressed.received.payloads, 10);
    await assertHeld(rig.store, chain);
  });

  const plain: readonly (readonly [string, boolean, ConnectOptions])[] = [
    ['is not there for a client without it', true, { wireCompression: 'off' }],
    ['is not there at a daemon without it', false, { wireCompression: 'on' }],
    ['waits for a link that was measured', true, {}],
  ];
  for (const [what, isCompressing, options] of plain) {
    it(`${what}, and all goes on`, async () => {
      const rig = await open(isCompressing ? undefined : {});
      const store = await join(urlOf(rig, 'http'), options);
      const chain = mixedChain('http/plain');
      await store.save(chain.blocks);
      await assertHeld(store, chain);
      const { sent, received } = rig.counters.compressed;
      assert.deepEqual([sent.payloads, received.payloads], [0, 0]);
    });
  }

  /**
   * Goal: no altered byte becomes a byte of a payload. Method: one byte in a connection is altered, at places all over
   * what travels, in both directions; the call has its right result or says that there was damage, and the next one is
   * right.
   */
  it('gives no wrong byte where bytes were altered', async (context) => {
    const rig = await open();
    const relay = new FlippingRelay(Number(new URL(urlOf(rig, 'http')).port));
    cleanUps.push(() => relay.close());
    const url = (await relay.listen()).replace('tcp:', 'http:');
    const random = seededRandom('http/altered');
    const outcomes = { right: 0, told: 0 };
    for (let round = 0; round < 40; round += 1) {
      const payloads = [smoothPayload(`flip/${round}`, 100_000), smoothPayload(round, 60_001)];
      const chain = chainOfPayloads(`http/altered/${round}`, payloads);
      // A connection of its own: the place counts from its first byte.
      const store = await connect(url, { wireCompression: 'on' });
      const way = round % 2 === 0 ? 'requests' : 'answers';
      if (way === 'answers') await rig.store.save(chain.blocks);
      relay.at = 900 + random.below(80_000);
      relay.flipped = way;
      try {
        if (way === 'requests') await store.save(chain.blocks);
        else await assertHeld(store, chain);
        outcomes.right += 1;
      } catch (error) {
        assert.ok(isStoreError(error), String(error));
        outcomes.told += 1;
      }
      relay.flipped = 'none';
      if (way === 'requests') await store.save(chain.blocks);
      await assertHeld(store, chain);
      await assertHeld(rig.store, chain);
      await store.close();
    }
    context.diagnostic(`${relay.flips} bytes altered: ${JSON.stringify(outcomes)}`);
    assert.ok(relay.flips > 30, `${relay.flips} bytes were altered`);
  });

  it('goes on where a load is cut in its body, over and over', async () => {
    const rig = await open();
    const chain = mixedChain('http/cut');
    await rig.store.save(chain.blocks);
    const { port } = new URL(urlOf(rig, 'http'));
    let left = Infinity;
    const relay = createServer((socket) => {
      const other = connectSocket(Number(port), '127.0.0.1');
      for (const one of [socket, other]) one.on('error', () => undefined);
      socket.pipe(other);
      other.on('data', (chunk: Buffer) => {
        socket.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left <= 0) [left] = [Infinity, socket.destroy(), other.destroy()];
      });
      socket.on('close', () => other.destroy());
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    cleanUps.push(() => void relay.close());
    const url = `http://127.0.0.1:${(relay.address() as AddressInfo).port}`;
    const store = await join(url, { wireCompression: 'on' });
    for (let bytes = 100; bytes < 1_500_000; bytes = Math.ceil(bytes * 1.7)) {
      left = bytes;
      await assertHeld(store, chain);
    }
    await store.close();
  });
});

const namespace = parseNamespace('default');
const payload = smoothPayload('hostile', 100_000);
const [key] = chainOfPayloads('hostile', [payload]).keys;

/** A body of version 3 with one payload that is said to come in that form. */
function bodyWith(form: CompressedForm | undefined, stored: Uint8Array): Uint8Array {
  const record = { key, byteLength: payload.length, tokens: 0, position: undefined };
  const flags = { hasDecodedTokens: false, isLeftOut: false, tier: undefined };
  const head = { records: [{ ...record, ...flags }], attributes: {}, isLastFirst: true };
  const parts = [encodeForm(form), stored, encodeChecksum(crc32c(payload))];
  return concatBytes([encodeBulkHead({ ...head, hasForms: true }), ...parts]);
}

/** Sends it by hand, in chunks unless its length is told; gives the answer. */
async function post(
  url: string,
  body: Uint8Array,
  { fields = '', isChunked = true } = {},
): Promise<string> {
  const socket: Socket = connectSocket(Number(new URL(url).port), '127.0.0.1');
  cleanUps.push(() => void socket.destroy());
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  const framing = isChunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`;
  socket.write(
    `POST ${operationPath(namespace, 'save')} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n` +
      `content-type: ${bulkType}\r\n${fields}${framing}\r\n\r\n`,
  );
  socket.write(isChunked ? concatBytes([...chunkOf([body]), lastChunk]) : body);
  await once(socket, 'close');
  return answer;
}

describe('a hostile client that compresses over HTTP', () => {
  const frameOf = (length: number): Uint8Array =>
    loadZstd().compress(smoothPayload('bomb', length), 1);
  const none = 'none' as const;
  const cases: readonly (readonly [string, RegExp, Uint8Array, Partial<CompressedForm>])[] = [
    ['a frame of more than the payload', /"CORRUPT"/, frameOf(100_001), {}],
    ['a frame of less than the payload', /"CORRUPT"/, frameOf(99_999), {}],
    ['a bomb', /"CORRUPT"/, loadZstd().compress(new Uint8Array(50_000_000), 1), {}],
    ['bytes that are no frame', /"CORRUPT"/, randomPayload('no frame', 5000), {}],
    ['the frame of another payload', /"CORRUPT"/, frameOf(100_000), {}],
    ['low bytes and no frame', /"CORRUPT"/, randomPayload('lows', 400), { filter: 'split2' }],
    [
      'more than the payload has',
      /"INVALID".*100000 bytes/,
      new Uint8Array(9),
      { length: 100_000 },
    ],
    ['far more', /"INVALID".*4294967295/, new Uint8Array(9), { length: 0xffffffff }],
    ['less than it says', /"INVALID".*ends before/, new Uint8Array(9), { length: 5000 }],
  ];
  for (const [what, expected, stored, form] of cases) {
    it(`is told of ${what}, nothing is stored, and no room is kept`, async () => {
      const rig = await open();
      const body = bodyWith({ filter: none, length: stored.length, ...form }, stored);
      assert.match(await post(urlOf(rig, 'http'), body), expected);
      assert.deepEqual(await rig.store.contains([key]), [false]);
      assert.equal(await metricOf(rig, 'wombatkv_http_body_bytes'), 0);
    });
  }

  const honest = honestBody();
  const fields = (value: string): string => `${payloadBytesHeader}: ${value}\r\n`;
  it('and says less than comes, too much, or no number of it, is refused', async () => {
    const url = urlOf(await open(), 'http');
    assert.match(await post(url, honest, { fields: fields('100000') }), / 200 /);
    assert.match(await post(url, honest, { fields: fields('99999') }), / 400 .*99999 were said/s);
    assert.match(await post(url, honest, { fields: fields('99999999999999') }), / 413 /);
    assert.match(await post(url, honest, { fields: fields('-1') }), / 400 .*takes bytes/s);
  });

  it('and tells the length of the body, or does so at a daemon without it, is refused', async () => {
    const url = urlOf(await open(), 'http');
    assert.match(await post(url, honest, { isChunked: false }), / 400 .*comes in chunks/s);
    const without = urlOf(await open({}), 'http');
    assert.match(await post(without, honest), / 400 .*not agreed/s);
    assert.match(await post(without, bodyWith(undefined, payload)), / 200 /);
  });

  it('has twice its payloads for room, and waits for it where it says how much comes', async () => {
    const httpLimits = { bodiesBytesPerClientMax: 350_000, admissionMs: 30 };
    const url = urlOf(await open({ wire: compressingDoor(), httpLimits }), 'http');
    const socket = connectSocket(Number(new URL(url).port), '127.0.0.1');
    cleanUps.push(() => void socket.destroy());
    await once(socket, 'connect');
    const head =
      `POST ${operationPath(namespace, 'save')} HTTP/1.1\r\nhost: a\r\n` +
      `content-type: ${bulkType}\r\ntransfer-encoding: chunked\r\n\r\n`;
    // Of another that is under way only the table and the form have come.
    const begun = honest.subarray(0, 24 + 64 + 2 + 8);
    socket.write(concatBytes([Buffer.from(head), ...chunkOf([begun])]));
    const began = Date.now();
    while ((await post(url, honest, { fields: fields('100000') })).includes(' 200 ')) {
      assert.ok(Date.now() - began < 10_000, 'a second one found room');
    }
    assert.match(await post(url, honest, { fields: fields('100000') }), / 429 .*"BUSY"/s);
    assert.match(await post(url, honest), / 429 .*"BUSY"/s);
    const one = chainOf('beside', 1, 100_000).blocks;
    const client = await join(url, { wireCompression: 'off' });
    assert.equal((await client.save(one)).saved, 1);
  });
});

/** What an honest client sends of the payload. */
function honestBody(): Uint8Array {
  const stored = loadZstd().compress(payload, 1);
  return bodyWith({ filter: 'none', length: stored.length }, stored);
}

describe('a hostile daemon', () => {
  it('that answers compressed where that was not asked for gives nothing', async () => {
    const chain = chainOfPayloads('hostile', [payload]);
    const body = honestBody();
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (request: Buffer) => {
        const isLoad = request.includes('/load ');
        const json = '{"stored":[]}';
        socket.write(
          isLoad
            ? concatBytes([
                Buffer.from(
                  `HTTP/1.1 200 OK\r\ncontent-type: ${bulkType}\r\ntransfer-encoding: chunked\r\n\r\n`,
                ),
                ...chunkOf([body]),
                lastChunk,
              ])
            : `HTTP/1.1 200 OK\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
        );
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUps.push(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const trusting = await join(url, { wireCompression: 'on' });
    await assertHeld(trusting, chain);
    const store = await join(url, { wireCompression: 'off' });
    await assert.rejects(store.load(chain.keys), (error) => isStoreError(error, 'INVALID'));
    await Promise.all([trusting.close(), store.close()]);
  });
});
