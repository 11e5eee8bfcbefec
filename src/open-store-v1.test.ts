import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { rustNamespaces } from '../test/golden/rust-bucket.ts';
import type { RustNamespace } from '../test/golden/rust-bucket.ts';
import { chainOf } from '../test/support/chains.ts';
import { flipBitAt } from '../test/support/stored-objects.ts';
import { digestOf, loadDigests, rawTailDigest, requestsOf, V1Rig } from '../test/support/v1-rig.ts';
import type { BlockToSave, KvStore } from './blocks/kv-store.ts';
import { parseNamespace } from './blocks/namespace.ts';
import { blockObjectKey, legacyBlockObjectKey, legacyObjectPrefix } from './format/object-keys.ts';

const rigs: V1Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});

async function openRig(): Promise<V1Rig> {
  const rig = await V1Rig.open();
  rigs.push(rig);
  return rig;
}

const namespaces = rustNamespaces();
const [compressed, plain] = namespaces;
const noCache = { cacheDirectory: false } as const;

function digestsOf({ blocks }: RustNamespace): readonly string[] {
  return blocks.map(({ blake3 }) => blake3);
}

describe('a bucket that the Rust version wrote', () => {
  for (const { namespace, keyPrefix, keys, blocks, tip, tail } of namespaces) {
    it(`is read with the default settings: ${keyPrefix}, namespace ${namespace}`, async () => {
      const rig = await openRig();
      rig.takeRustBucket();
      const store = await rig.host({ namespace, keyPrefix });
      assert.deepEqual(await store.lookup(keys), { matched: keys.length, reason: undefined });
      assert.deepEqual(
        await store.contains(keys),
        keys.map(() => true),
      );
      const loaded = await loadDigests(store, keys);
      assert.deepEqual(loaded.digests, digestsOf({ blocks } as RustNamespace));
      assert.equal(loaded.reason, undefined);
      assert.equal(await rawTailDigest(store, tip), tail.blake3);
      const again = await requestsOf(store, () => loadDigests(store, keys));
      assert.deepEqual([again.get, again.head, again.list], [0, 0, 0], 'it is in memory now');
    });
  }

  it('shows nothing with WMBT_KV_READ_V1=off, and is asked for nothing', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys, tip } = plain;
    const store = await rig.host({ namespace, readV1: 'off' });
    assert.deepEqual(await store.lookup(keys), { matched: 0, reason: 'unknown' });
    assert.deepEqual((await loadDigests(store, keys)).reason, 'unknown');
    assert.equal(await rawTailDigest(store, tip), undefined);
    const { requests } = (await store.stats()).object;
    assert.equal(requests.list, 0);
  });

  it('costs one list in each namespace, and at most one more request for each block', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys } = compressed;
    const store = await rig.host({ namespace, ...noCache });
    const loaded = await requestsOf(store, () => loadDigests(store, keys));
    assert.equal(loaded.list, 1);
    assert.ok(loaded.get <= 2 * keys.length, `${loaded.get} gets`);
    const other = await rig.host({ namespace, ...noCache });
    const lookup = await requestsOf(other, () => other.lookup(keys));
    assert.equal(lookup.list, 1);
    assert.ok(lookup.get + lookup.head <= 2 * keys.length, JSON.stringify(lookup));
    const load = await requestsOf(other, () => loadDigests(other, keys));
    assert.deepEqual([load.list, load.get, load.head], [0, keys.length, 0]);
  });
});

describe('WMBT_KV_READ_V1=auto in a namespace without such objects', () => {
  it('costs one list in the life of a process, and no other request', async () => {
    const rig = await openRig();
    const store = await rig.host(noCache);
    const chains = ['a', 'b', 'c'].map((name) => chainOf(`auto-${name}`, 3, 100));
    for (const [index, chain] of chains.entries()) {
      const made = await requestsOf(store, () => store.lookup(chain.keys));
      assert.deepEqual([made.get, made.head, made.list], [1, 0, index === 0 ? 1 : 0]);
      await store.save(chain.blocks, { durable: true });
    }
    const saved = (await store.stats()).object.requests;
    assert.deepEqual([saved.put, saved.head, saved.list], [9, 0, 1]);
  });

  it('costs a save one list, and none when its blocks were looked up before', async () => {
    const rig = await openRig();
    const save = async (store: KvStore, blocks: readonly BlockToSave[]): Promise<number[]> => {
      const made = await requestsOf(store, () => store.save(blocks, { durable: true }));
      return [made.list, made.put, made.get + made.head];
    };
    const unasked = await rig.host(noCache);
    assert.deepEqual(await save(unasked, chainOf('auto-unasked', 3, 100).blocks), [1, 3, 0]);
    const asked = await rig.host(noCache);
    const { keys, blocks } = chainOf('auto-asked', 3, 100);
    await asked.lookup(keys);
    assert.deepEqual(await save(asked, blocks), [0, 3, 0]);
  });

  it('asks for no list while everything is found', async () => {
    const rig = await openRig();
    const chain = chainOf('auto-found', 70, 100);
    const writer = await rig.host(noCache);
    await writer.save(chain.blocks, { durable: true });
    const reader = await rig.host(noCache);
    const made = await requestsOf(reader, () => reader.lookup(chain.keys));
    assert.deepEqual([made.list, made.get + made.head <= 4], [0, true]);
  });
});

describe('a damaged v1 object', () => {
  // Goal: damage of an envelope is a miss with its reason, never compressed bytes; the next save
  // mends it for every host.
  it('is a miss with reason corrupt, and the next save stores the payload', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys, blocks } = compressed;
    const { objectKey, body } = blocks[3];
    await rig.put(objectKey, body.slice(0, -1));
    const store = await rig.host({ namespace, ...noCache });
    const missed = await loadDigests(store, keys);
    assert.deepEqual([missed.digests.length, missed.reason], [3, 'corrupt']);
    assert.deepEqual(await store.lookup(keys), { matched: 3, reason: 'corrupt' });
    assert.equal((await store.stats()).corrupt, 1);
    const payload = Buffer.alloc(500, 'computed again');
    await store.save([{ key: keys[3], payload }], { durable: true });
    const other = await rig.host({ namespace, ...noCache });
    for (const host of [store, other]) {
      const mended = await loadDigests(host, keys);
      assert.equal(mended.reason, undefined);
      assert.equal(mended.digests[3], digestOf(payload));
    }
    assert.equal((await rig.body(objectKey))?.length, body.length - 1, 'it stays as it is');
  });

  it('is replaced when v1 is written', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys, blocks } = compressed;
    const { objectKey, body } = blocks[4];
    await rig.put(objectKey, flipBitAt(4)(body.slice()));
    const store = await rig.host({ namespace, ...noCache, writeFormat: 'v1' });
    assert.equal((await loadDigests(store, [keys[4]])).reason, 'corrupt');
    const payload = Buffer.from('computed again');
    await store.save([{ key: keys[4], payload }], { durable: true });
    assert.deepEqual(await rig.body(objectKey), payload);
    assert.equal((await loadDigests(store, [keys[4]])).digests[0], digestOf(payload));
  });

  it('does not hide a sound object of our own format', async () => {
    const rig = await openRig();
    const { keys, blocks } = chainOf('both', 1, 400);
    const writer = await rig.host({ ...noCache, readV1: 'off' });
    await writer.save(blocks, { durable: true });
    const damaged = Buffer.from('WBZ1 and nothing that it should be');
    await rig.put(legacyBlockObjectKey('kv/cabi', parseNamespace('default'), keys[0]), damaged);
    const reader = await rig.host({ ...noCache, readV1: 'on' });
    assert.deepEqual((await loadDigests(reader, keys)).digests, [digestOf(blocks[0].payload)]);
  });

  it('that stands for a value in pieces is incompatible, and stays', async () => {
    const rig = await openRig();
    const { keys } = chainOf('pieces', 1);
    const objectKey = legacyBlockObjectKey('kv/cabi', parseNamespace('default'), keys[0]);
    await rig.put(objectKey, Buffer.from(`WMBT_KV_SHM_LARGE_V1\n${'ab'.repeat(32)}\n9\n1\n`));
    const store = await rig.host();
    assert.deepEqual(await loadDigests(store, keys), { digests: [], reason: 'incompatible' });
  });
});

describe('saving what a v1 object holds', () => {
  it('stores nothing, whether it was looked up or not', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys } = plain;
    const asked = await rig.host({ namespace });
    await asked.lookup(keys);
    const blocks = keys.map((key) => ({ key, payload: Buffer.alloc(100, key) }));
    const known = await asked.save(blocks, { durable: true });
    assert.deepEqual([known.saved, known.known], [0, keys.length]);
    const unasked = await rig.host({ namespace });
    await unasked.save(blocks, { durable: true });
    assert.equal((await unasked.stats()).object.requests.put, 0);
    for (const key of keys) {
      assert.equal(await rig.body(blockObjectKey('kv/cabi', namespace, key)), undefined);
    }
  });
});

describe('deleting', () => {
  it('by key removes v1 objects, and leaves raw tails', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys, blocks, tip, tail } = plain;
    const store = await rig.host({ namespace });
    await loadDigests(store, keys);
    const result = await store.delete({ kind: 'blocks', keys: keys.slice(4) });
    assert.equal(result.objects, 2);
    assert.equal(await rig.body(blocks[4].objectKey), undefined);
    assert.equal((await store.lookup(keys)).matched, 4);
    assert.equal(await rawTailDigest(store, tip), tail.blake3);
  });

  it('a subtree removes what this host saved below a v1 block, v1 objects included', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys, tip } = plain;
    const store = await rig.host({ namespace });
    const more = chainOf('below', 2, 100);
    await store.save(more.blocks, { parent: tip, durable: true });
    const result = await store.delete({ kind: 'subtree', root: tip });
    assert.equal(result.objects, 4, 'the tip, its raw tail, and two blocks below it');
    assert.equal((await store.lookup(keys)).matched, 5);
    assert.equal((await store.lookup(more.keys)).matched, 0);
    assert.equal(await rawTailDigest(store, tip), undefined);
  });

  for (const name of ['plain', 'tenant b', 'team/ü']) {
    it(`the namespace ${name} removes all of its v1 objects`, async () => {
      const rig = await openRig();
      const namespace = parseNamespace(name);
      const chain = chainOf(`gone-${name}`, 3, 100);
      const store = await rig.host({ namespace, writeFormat: 'v1' });
      await store.save(chain.blocks, { durable: true });
      await store.saveRawTail(chain.keys[2], Buffer.from('tail'), { durable: true });
      const below = legacyObjectPrefix('kv/cabi', namespace);
      assert.equal((await rig.bucket.list(below)).objects.length, 4);
      const result = await store.delete({ kind: 'namespace' });
      assert.equal(result.objects, 4);
      assert.equal((await rig.bucket.list(below)).objects.length, 0);
      assert.equal((await store.lookup(chain.keys)).matched, 0);
    });
  }

  it('leaves v1 objects alone with WMBT_KV_READ_V1=off', async () => {
    const rig = await openRig();
    rig.takeRustBucket();
    const { namespace, keys } = plain;
    const store = await rig.host({ namespace, readV1: 'off' });
    assert.equal((await store.delete({ kind: 'blocks', keys })).objects, 0);
    assert.equal((await store.delete({ kind: 'namespace' })).objects, 0);
    const reader = await rig.host({ namespace });
    assert.equal((await reader.lookup(keys)).matched, keys.length);
  });
});
