import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { crc32c } from '../../src/base/crc32c.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { connect } from '../../src/client/connect.ts';
import type { ConnectOptions } from '../../src/client/connect.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import { encodePayloadNotice } from '../../src/protocol/read-messages.ts';
import type { CompressedForm } from '../../src/protocol/read-messages.ts';
import { features } from '../../src/protocol/session-messages.ts';
import { encodeSaveCall } from '../../src/protocol/write-messages.ts';
import { chainOfPayloads } from '../support/chains.ts';
import { assertHeld, mixedChain, shrinking } from '../support/compressed-chains.ts';
import { compressingDoor } from '../support/daemon-world.ts';
import { FlippingRelay } from '../support/flipping-relay.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { GuardedDaemon } from '../support/guarded-daemon.ts';
import { randomPayload, smoothPayload } from '../support/payloads.ts';
import { seededRandom } from '../support/random.ts';
import { RawFrames } from '../support/raw-frames.ts';

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function open(isCompressing = true): Promise<GuardedDaemon> {
  const rig = await openGuardedDaemon({ wire: isCompressing ? compressingDoor() : undefined });
  cleanUps.push(() => rig.close());
  return rig;
}

async function join(url: string, options: ConnectOptions): Promise<KvStore> {
  const store = await connect(url, options);
  cleanUps.push(() => store.close());
  return store;
}

describe('compression on the wire', () => {
  it('carries what shrinks in fewer bytes, both ways, and gives the same bytes', async () => {
    const rig = await open();
    const store = await join(urlOf(rig, 'tcp'), { wireCompression: 'on' });
    const chain = mixedChain('wire/both');
    const { sent, received } = rig.counters.compressed;
    assert.equal((await store.save(chain.blocks)).saved, 6);
    await assertHeld(rig.store, chain);
    await assertHeld(store, chain);
    for (const traffic of [sent, received]) {
      const { payloads, rawBytes, wireBytes } = traffic;
      assert.deepEqual({ payloads, rawBytes }, shrinking);
      assert.ok(wireBytes < 0.75 * rawBytes, `${wireBytes} bytes for ${rawBytes}`);
    }
    const tail = { tip: chain.keys[5], tokens: [1, 2], payload: smoothPayload('tail', 400_001) };
    await store.saveTail(tail);
    const found = await store.loadTail({ tip: tail.tip, tokens: [1, 2, 3] });
    assert.ok(found !== undefined && Buffer.from(found.payload).equals(tail.payload));
    assert.deepEqual([sent.payloads, received.payloads], [4, 4]);
  });

  const plain: readonly (readonly [string, boolean, 'unix' | 'tcp', ConnectOptions])[] = [
    ['is not there for a client without it', true, 'tcp', { wireCompression: 'off' }],
    ['is not there at a daemon without it', false, 'tcp', { wireCompression: 'on' }],
    ['is not there on one host', true, 'unix', { wireCompression: 'on' }],
    ['waits for a link that was measured', true, 'tcp', {}],
  ];
  for (const [what, isCompressing, door, options] of plain) {
    it(`${what}, and all goes on`, async () => {
      const rig = await open(isCompressing);
      const store = await join(urlOf(rig, door), options);
      const chain = mixedChain('wire/plain');
      await store.save(chain.blocks);
      await assertHeld(store, chain);
      const { sent, received } = rig.counters.compressed;
      assert.deepEqual([sent.payloads, received.payloads], [0, 0]);
    });
  }

  /**
   * Goal: no altered byte becomes a byte of a payload. Method: one byte in a connection is altered, at places all over
   * what travels, in both directions; the call has its right result all the same, for it is made again.
   */
  it('makes a call again whose bytes were altered', async () => {
    const rig = await open();
    const relay = new FlippingRelay(Number(new URL(urlOf(rig, 'tcp')).port));
    cleanUps.push(() => relay.close());
    const url = await relay.listen();
    const random = seededRandom('wire/altered');
    for (let round = 0; round < 24; round += 1) {
      const chain = chainOfPayloads(`wire/altered/${round}`, [
        smoothPayload(`altered/${round}`, 100_000),
        smoothPayload(`altered/${round}/1`, 60_001),
      ]);
      // A connection of its own: the place counts from its first byte.
      const store = await connect(url, { wireCompression: 'on' });
      const way = round % 2 === 0 ? 'requests' : 'answers';
      if (way === 'answers') await rig.store.save(chain.blocks);
      relay.at = 400 + random.below(80_000);
      relay.flipped = way;
      if (way === 'requests') await store.save(chain.blocks);
      else await assertHeld(store, chain);
      await assertHeld(rig.store, chain);
      await store.close();
    }
    assert.ok(relay.flips > 18, `${relay.flips} bytes were altered`);
  });
});

const clientId = 'ab'.repeat(16);
const payload = smoothPayload('hostile', 100_000);
const [key] = chainOfPayloads('hostile', [payload]).keys;

/** Announces a payload by hand and sends what is said to be its compressed form. Gives what comes of the call, or, of id 0, the connection. */
async function sendForm(
  url: string,
  form: CompressedForm,
  stored: Uint8Array,
  { id = 0, mayCompress = true } = {},
): Promise<string> {
  const raw = await RawFrames.open(url, clientId, '', features.compressing);
  cleanUps.push(() => raw.close());
  const flags = { durable: undefined, fingerprint: undefined, isUnasked: false, isWhole: true };
  const own = { mayFill: false, mayCompress, parent: undefined };
  const facts = { tokens: 0, position: undefined, hasDecodedTokens: false };
  const blocks = [{ key, length: payload.length, ...facts }];
  const head = { namespace: parseNamespace('default'), deadlineMs: 20_000 };
  assert.equal((await raw.frame(0)).type, 'welcome');
  raw.send('save', 1, encodeSaveCall({ ...head, ...flags, ...own, blocks }));
  assert.equal((await raw.frame(1)).type, 'wanted');
  const notice = { index: 0, length: payload.length, crc: crc32c(payload), tokens: 0 };
  const body = encodePayloadNotice({
    ...{ ...notice, hasDecodedTokens: false, tier: 'memory', compressed: form },
  });
  raw.send('payload', 1, body);
  raw.send('data', 1, stored);
  return raw.outcome(id);
}

describe('a hostile client that compresses', () => {
  const frameOf = (length: number): Uint8Array =>
    loadZstd().compress(smoothPayload('bomb', length), 1);
  const cases: readonly (readonly [string, RegExp, Uint8Array, Partial<CompressedForm>])[] = [
    ['a frame of more than the payload', /^CORRUPT/, frameOf(100_001), {}],
    ['a frame of less than the payload', /^CORRUPT/, frameOf(99_999), {}],
    ['a bomb', /^CORRUPT/, loadZstd().compress(new Uint8Array(50_000_000), 1), {}],
    ['bytes that are no frame', /^CORRUPT/, randomPayload('no frame', 5000), {}],
    ['the frame of another payload', /^CORRUPT/, frameOf(100_000), {}],
    ['low bytes and no frame', /^CORRUPT/, randomPayload('lows', 400), { filter: 'split2' }],
  ];
  for (const [what, expected, stored, form] of cases) {
    it(`is told of ${what}, and nothing is stored`, async () => {
      const rig = await open();
      const whole = { filter: 'none' as const, length: stored.length, ...form };
      assert.match(await sendForm(urlOf(rig, 'tcp'), whole, stored, { id: 1 }), expected);
      assert.deepEqual(await rig.store.contains([key]), [false]);
    });
  }

  for (const length of [0, payload.length, 0xffffffff]) {
    it(`is cut off for a compressed form of ${length} bytes`, async () => {
      const rig = await open();
      const outcome = sendForm(urlOf(rig, 'tcp'), { filter: 'none', length }, new Uint8Array(9));
      assert.match(await outcome, /^INVALID message payload: \d+ bytes for a payload of 100000/);
    });
  }

  it('is cut off for a form that its call does not permit', async () => {
    const rig = await open();
    const form = { filter: 'none' as const, length: 9 };
    const outcome = sendForm(urlOf(rig, 'tcp'), form, new Uint8Array(9), {
      mayCompress: false,
    });
    assert.match(await outcome, /^INVALID a payload comes compressed, which was not agreed/);
  });
});
