import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rename, rm, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { chainOf } from '../support/chains.ts';
import { patience } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { StoreProcess } from './store-process.ts';

const mib = 1024 * 1024;
const root = await makeTemporaryDirectory('shared');
after(() => root.remove());

/** A directory bucket that can be taken away for a while: a file stands in its place then. */
class Bucket {
  readonly #path: string;

  constructor(name: string) {
    this.#path = `${root.path}/${name}`;
  }

  get url(): string {
    return `file://${this.#path}`;
  }

  async takeAway(): Promise<void> {
    if (existsSync(this.#path)) await rename(this.#path, `${this.#path}.away`);
    await writeFile(this.#path, 'no directory');
  }

  async bringBack(): Promise<void> {
    await rm(this.#path);
    if (existsSync(`${this.#path}.away`)) await rename(`${this.#path}.away`, this.#path);
  }

  /** The last part of every object's key. */
  async objects(): Promise<string[]> {
    if (!existsSync(this.#path)) return [];
    const names = await readdir(this.#path, { recursive: true });
    return names.map((name) => name.slice(-64)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  }
}

function configOf(bucket: Bucket, cache: string): StoreConfig {
  return {
    objectStore: bucket.url,
    objectStoreBytesMax: false,
    cacheDirectory: `${root.path}/${cache}`,
    memoryBytes: 8 * mib,
    diskBytes: 32 * mib,
    compression: 'off',
    ...patience,
  };
}

async function assertLoads(store: KvStore, name: string, count: number): Promise<void> {
  const chain = chainOf(name, count);
  const borrow = await store.load(chain.keys);
  assert.equal(borrow.blocks.length, count, `${name}: ${borrow.reason}`);
  for (const [index, block] of borrow.blocks.entries()) {
    assert.deepEqual(new Uint8Array(block.payload), chain.blocks[index].payload);
  }
  borrow.release();
}

/** Checks that a host with nothing of its own gets the chain from the bucket. */
async function assertInBucket(bucket: Bucket, name: string, count: number): Promise<void> {
  const store = await openStore({ ...configOf(bucket, ''), cacheDirectory: false });
  await assertLoads(store, name, count);
  await store.close();
}

/** The sub-directories that hold segments. */
async function placesWithSegments(cache: string): Promise<string[]> {
  const places: string[] = [];
  for (const place of await readdir(`${root.path}/${cache}/v1`)) {
    const names = await readdir(`${root.path}/${cache}/v1/${place}`);
    if (names.some((name) => name.startsWith('segment-'))) places.push(place);
  }
  return places.sort();
}

describe('two living processes on one cache directory', { concurrency: 2 }, () => {
  it('see what the other made durable, without restart', async (t) => {
    const bucket = new Bucket('both-bucket');
    const config = configOf(bucket, 'both');
    const other = await StoreProcess.start(t, config);
    const own = await openStore(config);
    await other.save('theirs', 5, { durable: true });
    await assertLoads(own, 'theirs', 5);
    await own.save(chainOf('ours', 5).blocks, { durable: true });
    assert.equal(await other.lookup('ours', 5), 5);
    await other.assertLoads('ours', 5);
    // A chain that one begins and the other goes on with.
    const chain = chainOf('taken over', 6);
    await own.save(chain.blocks.slice(0, 3), { durable: true });
    assert.equal(await other.lookup('taken over', 6), 3);
    assert.equal(await other.save('taken over', 6, { durable: true }), 3);
    await eventually('it is seen whole', async () => {
      return (await own.lookup(chain.keys)).matched === 6;
    });
    await assertLoads(own, 'taken over', 6);
    assert.deepEqual(await placesWithSegments('both'), ['0', '1']);
    await other.close();
    await own.close();
  });

  it('serve on when the other is killed, and have nothing of what it left pending', async (t) => {
    const bucket = new Bucket('alone-bucket');
    const config = configOf(bucket, 'alone');
    const other = await StoreProcess.start(t, config);
    const own = await openStore(config);
    await own.save(chainOf('ours', 4).blocks, { durable: true });
    await bucket.takeAway();
    await other.save('theirs', 4);
    await other.kill();
    await assertLoads(own, 'ours', 4);
    await bucket.bringBack();
    await own.save(chainOf('more', 4).blocks, { durable: true });
    await own.close();
    const next = await openStore(config);
    await eventually('it is adopted', async () => {
      return (await next.lookup(chainOf('theirs', 4).keys)).matched === 4;
    });
    await assertLoads(next, 'theirs', 4);
    await next.flush();
    await assertInBucket(bucket, 'theirs', 4);
    await next.close();
  });
});

describe('a process that opens after others were killed', { concurrency: 2 }, () => {
  it('has one’s place, adopts what the others left pending, and uploads all of it', async (t) => {
    const bucket = new Bucket('adopted-bucket');
    const config = configOf(bucket, 'adopted');
    const names = ['first', 'second', 'third'];
    const others = [];
    for (const name of names) {
      const other = await StoreProcess.start(t, config);
      await other.save(`${name} durable`, 2, { durable: true });
      others.push(other);
    }
    await bucket.takeAway();
    for (const [index, other] of others.entries()) {
      assert.equal(await other.save(names[index], 20), 20);
      assert.equal(await other.pending(), 20);
    }
    await Promise.all(others.map((other) => other.kill()));
    assert.deepEqual(await placesWithSegments('adopted'), ['0', '1', '2']);
    const next = await openStore(config);
    for (const name of names) {
      await eventually(`${name} is there`, async () => {
        return (await next.lookup(chainOf(name, 20).keys)).matched === 20;
      });
      await assertLoads(next, name, 20);
    }
    await assert.rejects(next.flush(), (error) => isStoreError(error, 'UNAVAILABLE'));
    await bucket.bringBack();
    await next.flush();
    for (const name of names) await assertInBucket(bucket, name, 20);
    await eventually('the places of the others are empty', async () => {
      return (await placesWithSegments('adopted')).length === 1;
    });
    await next.close();
  });

  it('may be killed while it adopts, and the next one has everything', async (t) => {
    const bucket = new Bucket('again-bucket');
    const config = configOf(bucket, 'again');
    const others = [await StoreProcess.start(t, config), await StoreProcess.start(t, config)];
    await bucket.takeAway();
    await others[0].save('first', 30);
    await others[1].save('second', 30);
    await Promise.all(others.map((other) => other.kill()));
    for (let round = 0; round < 3; round += 1) {
      const heir = await StoreProcess.start(t, config);
      // Adoption is under way since its store was opened.
      if (round > 0) await heir.pending();
      await heir.kill();
    }
    await bucket.bringBack();
    const last = await openStore(config);
    for (const name of ['first', 'second']) {
      await eventually(`${name} is there`, async () => {
        return (await last.lookup(chainOf(name, 30).keys)).matched === 30;
      });
      await assertLoads(last, name, 30);
    }
    await last.flush();
    for (const name of ['first', 'second']) await assertInBucket(bucket, name, 30);
    await last.close();
  });
});

describe('one cache directory and two object stores', () => {
  // Goal: nothing of one store ever gets to another, and nothing of it is lost meanwhile. Method: a
  // process with store A is killed with everything pending; others with store B work in the same
  // cache directory, as its sub-directories come; then A is opened again.
  it('never mix, and each has its own when it is opened again', async (t) => {
    const [a, b] = [new Bucket('bucket-a'), new Bucket('bucket-b')];
    const [configA, configB] = [configOf(a, 'mixed'), configOf(b, 'mixed')];
    await a.takeAway();
    const processA = await StoreProcess.start(t, configA);
    await processA.save('of a', 12);
    await processA.kill();
    for (let round = 0; round < 2; round += 1) {
      const storeB = await openStore(configB);
      assert.equal((await storeB.stats()).pending, 0);
      assert.equal((await storeB.lookup(chainOf('of a', 12).keys)).matched, 0);
      await storeB.save(chainOf(`of b ${round}`, 5).blocks);
      await storeB.flush();
      await storeB.close();
    }
    const ofB = [0, 1].flatMap((round) => chainOf(`of b ${round}`, 5).keys);
    assert.deepEqual((await b.objects()).sort(), [...ofB].sort());
    await a.bringBack();
    const storeA = await openStore(configA);
    await assertLoads(storeA, 'of a', 12);
    assert.equal((await storeA.lookup(ofB.slice(0, 5))).matched, 0);
    await storeA.flush();
    await storeA.close();
    assert.deepEqual((await a.objects()).sort(), [...chainOf('of a', 12).keys].sort());
    assert.deepEqual((await b.objects()).sort(), [...ofB].sort());
  });

  it('are two also when only the key prefix differs', async (t) => {
    const bucket = new Bucket('bucket-prefixes');
    const config = configOf(bucket, 'prefixes');
    await bucket.takeAway();
    const left = await StoreProcess.start(t, { ...config, keyPrefix: 'left' });
    await left.save('of left', 6);
    await left.kill();
    await bucket.bringBack();
    const right = await openStore({ ...config, keyPrefix: 'right' });
    assert.equal((await right.stats()).pending, 0);
    assert.equal((await right.lookup(chainOf('of left', 6).keys)).matched, 0);
    await right.close();
    assert.deepEqual(await bucket.objects(), []);
    const again = await openStore({ ...config, keyPrefix: 'left' });
    await assertLoads(again, 'of left', 6);
    await again.flush();
    await again.close();
    assert.equal((await bucket.objects()).length, 6);
  });
});
