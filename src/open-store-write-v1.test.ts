import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { afterEach, describe, it } from 'node:test';
import { blake3Hex } from './base/blake3.ts';
import { isStoreError } from './base/errors.ts';
import { parseNamespace } from './blocks/namespace.ts';
import { decodeLegacyBody } from './format/legacy.ts';
import {
  blockObjectKey,
  legacyBlockObjectKey,
  legacyRawTailObjectKey,
  rawTailObjectKey,
} from './format/object-keys.ts';
import { loadZstd } from './format/zstd.ts';
import { rustNamespaces } from '../test/golden/rust-bucket.ts';
import { chainOf, chainOfPayloads, sliceChain } from '../test/support/chains.ts';
import type { Chain } from '../test/support/chains.ts';
import { smoothPayload } from '../test/support/payloads.ts';
import { objectKeys } from '../test/support/stored-objects.ts';
import { digestOf, loadDigests, rawTailDigest, V1Rig, v1Payload } from '../test/support/v1-rig.ts';

const rigs: V1Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});

async function openRig(): Promise<V1Rig> {
  const rig = await V1Rig.open();
  rigs.push(rig);
  return rig;
}

const team = parseNamespace('default');
const prefix = 'kv/cabi';
const noCache = { cacheDirectory: false } as const;
const v1 = { writeFormat: 'v1' } as const;

/** The zstd library itself, without what this project does around it. */
const { Decoder } = createRequire(import.meta.url)('@toondepauw/node-zstd') as {
  readonly Decoder: new () => { decodeSync(frame: Buffer): Uint8Array };
};
const decompress = (frame: Buffer): Uint8Array => new Decoder().decodeSync(frame);

function digestsOf(chain: Chain): readonly string[] {
  return chain.blocks.map(({ payload }) => digestOf(payload));
}

/** The payloads that the Rust version was given, from the objects that it wrote. */
function rustChain(index: number): { readonly chain: Chain; readonly tail: Uint8Array } {
  const { keys, blocks, tip, tail } = rustNamespaces()[index];
  const payloadOf = (body: Uint8Array): Uint8Array =>
    Uint8Array.from(decodeLegacyBody(body, loadZstd()));
  const given = blocks.map(({ body }, at) => ({ key: keys[at], payload: payloadOf(body) }));
  const chain = { seed: tip, keys, blocks: given, byteLength: 0 };
  return { chain, tail: payloadOf(tail.body) };
}

describe('WMBT_KV_WRITE_FORMAT=v1', () => {
  // Goal: what we write is what the Rust version wrote of the same payloads without compression, keys
  // and bytes. Method: the payloads of its own objects, saved again into an empty bucket.
  it('writes byte for byte the objects that the Rust version stored raw', async () => {
    const rig = await openRig();
    const { namespace, keyPrefix, tip, blocks, tail: wrote } = rustNamespaces()[1];
    assert.ok(![...blocks, wrote].some(({ isEnveloped }) => isEnveloped), 'stored raw');
    const { chain, tail } = rustChain(1);
    const store = await rig.host({ ...v1, namespace, keyPrefix, compression: 'off' });
    await store.save(chain.blocks, { durable: true });
    await store.saveRawTail(tip, tail, { durable: true });
    const expected = [...blocks, wrote].map(({ objectKey }) => objectKey).sort();
    assert.deepEqual((await objectKeys(rig.bucket)).sort(), expected);
    for (const { objectKey, body } of [...blocks, wrote]) {
      assert.deepEqual(await rig.body(objectKey), Buffer.from(body), objectKey);
    }
  });

  it('compresses at level 3 where that is shorter, and another decoder reads it', async () => {
    const rig = await openRig();
    const { namespace, blocks, tip, tail: wrote } = rustNamespaces()[0];
    const { chain, tail } = rustChain(0);
    const store = await rig.host({ ...v1, namespace });
    await store.save(chain.blocks, { durable: true });
    await store.saveRawTail(tip, tail, { durable: true });
    let compressed = 0;
    for (const { objectKey, byteLength, blake3, body: rustBody } of [...blocks, wrote]) {
      const body = (await rig.body(objectKey)) ?? assert.fail(objectKey);
      const payload = v1Payload(body, decompress);
      assert.deepEqual([payload.length, blake3Hex(payload)], [byteLength, blake3]);
      assert.ok(body.length <= byteLength, 'no longer than the payload');
      // Frames of ours state their content size, which takes up to eight bytes.
      assert.ok(body.length <= rustBody.length + 8, `${body.length}, theirs ${rustBody.length}`);
      if (body.toString('latin1', 0, 4) !== 'WBZ1') continue;
      assert.deepEqual([body[4], body[5]], [1, 3], 'zstd, level 3');
      compressed += 1;
    }
    assert.ok(compressed > 0, 'some of them compress');
  });

  it('puts a payload that begins like an envelope into one', async () => {
    const rig = await openRig();
    const payload = Buffer.from('WBZ1 is how this payload begins');
    const chain = chainOfPayloads('like-an-envelope', [payload]);
    const store = await rig.host({ ...v1, ...noCache, compression: 'off' });
    await store.save(chain.blocks, { durable: true });
    const body = await rig.body(legacyBlockObjectKey(prefix, team, chain.keys[0]));
    const head = Buffer.from([0x57, 0x42, 0x5a, 0x31, 0, 0, payload.length, 0, 0, 0]);
    assert.deepEqual(body, Buffer.concat([head, payload]));
    assert.deepEqual((await loadDigests(store, chain.keys)).digests, [digestOf(payload)]);
  });

  it('keeps what is accepted over a restart, and its uploads go on in that format', async () => {
    const rig = await openRig();
    const chain = chainOf('restart', 4, 2000);
    const first = await rig.host(v1);
    await first.save(chain.blocks);
    await first.flush();
    const keys = await objectKeys(rig.bucket);
    assert.deepEqual(keys, chain.keys.map((key) => legacyBlockObjectKey(prefix, team, key)).sort());
    const fresh = await rig.host(v1);
    assert.deepEqual((await loadDigests(fresh, chain.keys)).digests, digestsOf(chain));
  });

  it('stores tails bound to tokens, and blocks with decoded tokens, in our own format', async () => {
    const rig = await openRig();
    const chain = chainOf('bound', 2, 300);
    const [first, second] = chain.blocks;
    const store = await rig.host({ ...v1, ...noCache });
    await store.save([first, { ...second, hasDecodedTokens: true }], { durable: true });
    const tokens = [1, 2, 3];
    await store.saveTail({ tip: chain.keys[1], tokens, payload: Buffer.from('tail') });
    const keys = await objectKeys(rig.bucket);
    assert.ok(keys.some((key) => key === legacyBlockObjectKey(prefix, team, chain.keys[0])));
    assert.ok(keys.some((key) => key === blockObjectKey(prefix, team, chain.keys[1])));
    assert.ok(keys.some((key) => key.includes('/wombatkv/v2/tail/')));
    assert.equal(keys.length, 3);
    const reader = await rig.host(noCache);
    const exact = await loadDigests(reader, chain.keys, { exact: true });
    assert.deepEqual([exact.digests.length, exact.reason], [1, 'decoded']);
    const tail = await reader.loadTail({ tip: chain.keys[1], tokens });
    assert.equal(Buffer.from(tail?.payload ?? []).toString(), 'tail');
    tail?.release();
  });

  it('stores in our own format what the Rust version would take for a list of pieces', async () => {
    const rig = await openRig();
    const payload = Buffer.from('WMBT_KV_SHM_LARGE_V1\n is how it begins');
    const chain = chainOfPayloads('pieces', [payload]);
    const store = await rig.host({ ...v1, ...noCache });
    await store.save(chain.blocks, { durable: true });
    assert.deepEqual(await objectKeys(rig.bucket), [blockObjectKey(prefix, team, chain.keys[0])]);
    assert.deepEqual((await loadDigests(store, chain.keys)).digests, [digestOf(payload)]);
  });

  it('is refused together with WMBT_KV_READ_V1=off', async () => {
    const rig = await openRig();
    await assert.rejects(rig.host({ ...v1, readV1: 'off' }), (error) => {
      assert.ok(isStoreError(error, 'INVALID'));
      assert.match(error.message, /WMBT_KV_WRITE_FORMAT.* is v1 and .*WMBT_KV_READ_V1.* is off/);
      return true;
    });
  });
});

describe('a v1 writer and a v2 writer on one bucket', () => {
  it('find and load each other’s blocks, in one chain of both', async () => {
    const rig = await openRig();
    const chain = chainOf('mixed', 12, 1500);
    const old = await rig.host(v1);
    const now = await rig.host({ readV1: 'on' });
    // Each goes on where the other stopped, as in a conversation that moves between hosts.
    for (let start = 0; start < 12; start += 3) {
      const part = sliceChain(chain, start, start + 3);
      const writer = start % 2 === 0 ? old : now;
      const reader = start % 2 === 0 ? now : old;
      await writer.save(part.blocks, { parent: part.seed, durable: true });
      const upTo = chain.keys.slice(0, start + 3);
      assert.deepEqual(await reader.lookup(upTo), { matched: start + 3, reason: undefined });
      assert.deepEqual(
        (await loadDigests(reader, upTo)).digests,
        digestsOf(chain).slice(0, start + 3),
      );
    }
    const formats = (await objectKeys(rig.bucket)).map((key) => key.includes('/wombatkv/v1/'));
    assert.equal(formats.filter(Boolean).length, 6);
    const fresh = await rig.host({ ...noCache });
    assert.deepEqual((await loadDigests(fresh, chain.keys)).digests, digestsOf(chain));
  });

  it('store a block once, whoever saves it first', async () => {
    const rig = await openRig();
    const chain = chainOf('once', 4, 500);
    const old = await rig.host(v1);
    const now = await rig.host({ readV1: 'on' });
    await old.save(chain.blocks.slice(0, 2), { durable: true });
    await now.save(chain.blocks, { durable: true });
    assert.equal((await old.lookup(chain.keys)).matched, 4);
    const known = await old.save(chain.blocks, { durable: true });
    assert.deepEqual([known.saved, known.known], [0, 4]);
    assert.equal((await objectKeys(rig.bucket)).length, 4);
  });

  it('see the newest raw tail of either, and what was written since', async () => {
    const rig = await openRig();
    const { keys } = chainOf('tails', 1);
    const [tip] = keys;
    const old = await rig.host({ ...v1, ...noCache });
    const now = await rig.host({ readV1: 'on', ...noCache });
    const write = async (store: typeof old, text: string): Promise<void> => {
      await store.saveRawTail(tip, Buffer.from(text), { durable: true });
      const fresh = await rig.host(noCache);
      assert.equal(await rawTailDigest(fresh, tip), digestOf(Buffer.from(text)));
    };
    await write(old, 'first, as v1');
    await write(now, 'second, as v2');
    await write(old, 'third, as v1 again');
    assert.notEqual(await rig.body(legacyRawTailObjectKey(prefix, team, tip)), undefined);
    assert.notEqual(await rig.body(rawTailObjectKey(prefix, team, tip)), undefined);
  });

  it('on the real bucket: both continue a chain of the Rust version, under both prefixes', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    for (const { namespace, keyPrefix, keys, blocks, tip } of rustNamespaces()) {
      const old = await rig.host({ ...v1, namespace, keyPrefix });
      const now = await rig.host({ namespace, keyPrefix });
      const more = chainOfPayloads(`more-${namespace}`, [smoothPayload('a', 5000)]);
      const last = chainOfPayloads(`last-${namespace}`, [smoothPayload('b', 5000)]);
      await now.save(more.blocks, { parent: tip, durable: true });
      await old.save(last.blocks, { parent: more.keys[0], durable: true });
      const whole = [...keys, ...more.keys, ...last.keys];
      const expected = [
        ...blocks.map(({ blake3 }) => blake3),
        ...digestsOf(more),
        ...digestsOf(last),
      ];
      for (const store of [old, now, await rig.host({ namespace, keyPrefix, ...noCache })]) {
        assert.equal((await store.lookup(whole)).matched, 8);
        assert.deepEqual((await loadDigests(store, whole)).digests, expected);
      }
      assert.notEqual(
        await rig.body(blockObjectKey(keyPrefix, namespace, more.keys[0])),
        undefined,
      );
      const v1Key = legacyBlockObjectKey(keyPrefix, namespace, last.keys[0]);
      assert.notEqual(await rig.body(v1Key), undefined);
    }
  });
});
