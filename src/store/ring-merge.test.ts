import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { chainOf } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { RingClient } from '../../test/support/ring-client.ts';
import { RingScenes, assertThere, blocksOf } from '../../test/support/ring-scenes.ts';
import { eventually } from '../../test/support/waiting.ts';
import type { SaveRing } from '../blocks/served-store.ts';
import { CommitRing } from '../cache/commit-ring.ts';

const mib = 1024 * 1024;

describe('saves that clients leave in rings', { skip: withoutNative() }, () => {
  const scenes = new RingScenes();
  beforeEach(() => scenes.begin());
  afterEach(() => scenes.end());
  after(() => scenes.close());

  it('are there for whoever looks, loads or asks next, with their bytes', async () => {
    const { store, client } = await scenes.openScene();
    const chain = chainOf('left', 3, 5000);
    assert.equal(client.leave(blocksOf(chain)), 'accepted with news');
    assert.equal((await store.lookup(chain.keys)).matched, 3);
    const second = chainOf('second', 2, 100);
    client.leave(blocksOf(second));
    await assertThere(store, second);
    const third = chainOf('third', 1, 0);
    client.leave(blocksOf(third));
    assert.deepEqual(await store.contains([...third.keys, ...chain.keys]), [
      true,
      true,
      true,
      true,
    ]);
    await assertThere(store, chain);
  });

  it('are taken in when the store is told, without a call', async () => {
    const { store, client } = await scenes.openScene();
    assert.equal(client.leave(blocksOf(chainOf('a', 1))), 'accepted with news');
    assert.equal(client.leave(blocksOf(chainOf('b', 1))), 'accepted', 'it is told once');
    store.takeRings();
    const isTaken = (): boolean => client.word('tail') === client.word('head');
    await eventually('it is taken', () =>
      Promise.resolve(isTaken() && client.word('isTold') === 0),
    );
    assert.equal(client.leave(blocksOf(chainOf('c', 1))), 'accepted with news');
  });

  it('go around in the ring, as many as come, until it is full', async () => {
    const { store, client } = await scenes.openScene();
    const chains: Chain[] = [];
    let full = 0;
    for (let index = 0; index < 500; index += 1) {
      const chain = chainOf(`around ${index}`, 1 + (index % 3), 20_000 + 777 * (index % 11));
      chains.push(chain);
      let left = client.leave(blocksOf(chain));
      if (left === 'full') {
        full += 1;
        await store.lookup(chain.keys);
        left = client.leave(blocksOf(chain));
      }
      assert(left.startsWith('accepted'), left);
    }
    assert(full >= 2, `it was full ${full} times`);
    for (const chain of chains) await assertThere(store, chain);
  });

  it('count as known when they are stored, or were left before', async () => {
    const { store, client } = await scenes.openScene();
    const chain = chainOf('known', 2);
    await store.save(chain.blocks);
    const before = await store.stats();
    client.leave(blocksOf(chain));
    const fresh = chainOf('fresh', 1);
    client.leave(blocksOf(fresh));
    client.leave(blocksOf(fresh));
    const { saved, known } = await store.stats();
    assert.equal(saved - before.saved, 1);
    assert.equal(known - before.known, 3);
  });

  it('become durable by a flush, which sees those that were left before it', async () => {
    const { store, client } = await scenes.openScene();
    const chain = chainOf('durable', 2);
    client.leave(blocksOf(chain));
    await store.flush();
    await store.close();
    await scenes.world.wipe('host');
    const { store: next } = await scenes.openStore();
    await assertThere(next, chain);
  });

  it('are found by the next store when theirs dies, told or not', async () => {
    const { store, client, path } = await scenes.openScene();
    const chains = ['one', 'two', 'three'].map((name) => chainOf(name, 2, 3000));
    for (const chain of chains) client.leave(blocksOf(chain));
    const begun = chainOf('begun', 1);
    client.leave(blocksOf(begun), { isBegunOnly: true });
    await scenes.world.crash(store);
    const { store: next } = await scenes.openStore();
    for (const chain of chains) await assertThere(next, chain);
    assert.deepEqual(await next.contains(begun.keys), [false]);
    assert.equal(client.leave(blocksOf(chainOf('late', 1))), 'closed');
    assert.equal(existsSync(path), false, 'its memory is gone');
    await next.flush();
  });

  it('are not taken twice when the store died between taking them and saying so', async () => {
    const { store, client } = await scenes.openScene();
    // Nothing of it is uploaded before it is counted.
    await scenes.world.faults.setMode('refuse-puts');
    const chain = chainOf('twice', 2);
    const tail = client.word('tail');
    client.leave(blocksOf(chain));
    await store.lookup(chain.keys);
    client.set('tail', tail);
    await scenes.world.crash(store);
    const { store: next } = await scenes.openStore();
    await assertThere(next, chain);
    assert.equal((await next.stats()).pending, 2);
  });

  it('are in the store when their client goes, and when the store closes', async () => {
    const { store, ring, client, path } = await scenes.openScene();
    const chain = chainOf('gone', 2);
    client.leave(blocksOf(chain));
    await ring.close();
    assert.equal(existsSync(path), false);
    assert.equal(client.leave(blocksOf(chainOf('late', 1))), 'closed');
    const second = await store.openRing();
    assert(second !== undefined);
    const other = new RingClient(path.replace(/\d+$/, String(second.number)));
    const last = chainOf('last', 2);
    other.leave(blocksOf(last));
    await store.close();
    assert.equal(other.leave(blocksOf(chainOf('later', 1))), 'closed');
    const { store: next } = await scenes.openStore();
    await assertThere(next, chain);
    await assertThere(next, last);
  });

  it('are asked for instead when too much waits for upload, until it does not', async () => {
    const { store, client } = await scenes.openScene({ backlogBytes: 10 * mib });
    await scenes.world.faults.setMode('unavailable');
    const chains: Chain[] = [];
    for (let index = 0; ; index += 1) {
      assert(index < 100);
      const chain = chainOf(`backlog ${index}`, 1, 200_000);
      const left = client.leave(blocksOf(chain));
      if (left === 'paused') break;
      chains.push(chain);
      await store.lookup(chain.keys);
    }
    assert(chains.length >= 10 && chains.length <= 14, `${chains.length} were accepted`);
    await scenes.world.faults.setMode('none');
    await store.flush();
    await store.save(chainOf('asked', 1).blocks);
    assert.equal(client.leave(blocksOf(chainOf('again', 1))), 'accepted');
    for (const chain of chains) await assertThere(store, chain);
  });

  it('stay there while the system has no memory to take them, and no other call fails', async () => {
    const { store, ring, client } = await scenes.openScene();
    const chain = chainOf('memory', 3, 5000);
    client.leave(blocksOf(chain));
    const { first } = CommitRing.prototype;
    try {
      CommitRing.prototype.first = () => {
        throw new RangeError('Array buffer allocation failed');
      };
      assert.equal((await store.lookup(chain.keys)).matched, 0);
    } finally {
      CommitRing.prototype.first = first;
    }
    await ring.close();
    await assertThere(store, chain);
  });

  it('cost memory that is bounded: as many rings as an eighth of it holds, none for a short backlog', async () => {
    const { store } = await scenes.openScene();
    const rings: SaveRing[] = [];
    for (let ring = await store.openRing(); ring !== undefined; ring = await store.openRing())
      rings.push(ring);
    assert.equal(rings.length, 1, 'two with the first');
    await rings[0].close();
    assert((await store.openRing()) !== undefined);
    await store.close();
    const { store: narrow } = await scenes.openStore({ backlogBytes: 4 * mib });
    assert.equal(await narrow.openRing(), undefined);
  });

  it('end the ring when they are no saves; what came before is kept, and the store goes on', async () => {
    const { store, client } = await scenes.openScene();
    const chain = chainOf('before', 2);
    client.leave(blocksOf(chain));
    const head = client.word('head');
    client.leave(blocksOf(chainOf('after', 1)));
    client.bytes[4096 + head * 64 + 200] ^= 1;
    await assertThere(store, chain);
    assert.equal(client.word('isClosed'), 1);
    assert.deepEqual(await store.contains(chainOf('after', 1).keys), [false]);
    assert.equal((await store.stats()).damagedRecords, 1);
    await store.save(chainOf('goes on', 1).blocks);
  });

  it('end the ring when its positions are none', async () => {
    const { store, client } = await scenes.openScene();
    client.set('head', 2 ** 31);
    await store.lookup(chainOf('any', 1).keys);
    assert.equal(client.word('isClosed'), 1);
  });
});
