import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { chainOf } from '../../test/support/chains.ts';
import { RingClient } from '../../test/support/ring-client.ts';
import { RingScenes, assertThere, blocksOf } from '../../test/support/ring-scenes.ts';
import type { RingScene } from '../../test/support/ring-scenes.ts';
import { eventually } from '../../test/support/waiting.ts';
import { limits } from '../blocks/limits.ts';
import { nodePlatform } from '../platform/node-platform.ts';

const mib = 1024 * 1024;
const length = 300_000;

/** The store's side of docs/decisions/0105, with a client that is written once more for tests. */
describe('memory that is lent in rings ahead of need', { skip: withoutNative() }, () => {
  const scenes = new RingScenes();
  beforeEach(() => scenes.begin());
  afterEach(() => scenes.end());
  after(() => scenes.close());

  /** Has the store lend what the client wants, or so many. */
  async function lend(
    { store, client }: RingScene,
    bytes: number,
    count: number,
    expected = count,
  ): Promise<void> {
    client.want(bytes, count);
    store.takeRings();
    await eventually(`memory is lent for ${expected}`, () =>
      Promise.resolve(client.loans().length === expected && client.word('isTold') === 0),
    );
  }

  it('is accepted where it lies, and lent anew behind that', async () => {
    const scene = await scenes.openScene();
    const { store, client } = scene;
    await lend(scene, length, 4);
    assert.equal(client.loans().length, 4);
    const chain = chainOf('lent', 3, length);
    const [first] = client.loans();
    assert.equal(client.leave(client.fill(blocksOf(chain))), 'accepted with news');
    assert.equal((await store.lookup(chain.keys)).matched, 3);
    await assertThere(store, chain);
    const payload = client.memoryOf(first).subarray(2304);
    assert(Buffer.from(chain.blocks[0].payload).equals(payload), 'it lies elsewhere');
    assert.equal(client.isLent(first), false, 'it is not lent any more');
    store.takeRings();
    await eventually('as much is lent again', () => Promise.resolve(client.loans().length === 4));
    const numbers = client.loans().map(({ number }) => number);
    assert(!numbers.includes(first.number));
  });

  it('is found by the next store when theirs dies, taken by half or not', async () => {
    const scene = await scenes.openScene();
    const { store, client } = scene;
    await lend(scene, length, 6);
    // Nothing of it is uploaded before it is counted.
    await scenes.world.faults.setMode('refuse-puts');
    const taken = chainOf('taken', 2, length);
    const tail = client.word('tail');
    client.leave(client.fill(blocksOf(taken)));
    await store.lookup(taken.keys);
    // As it is between taking them and saying so.
    client.set('tail', tail);
    const left = chainOf('left', 3, length);
    client.leave(client.fill(blocksOf(left)));
    await scenes.world.crash(store);
    const { store: next } = await scenes.openStore();
    await assertThere(next, taken);
    await assertThere(next, left);
    assert.equal((await next.stats()).pending, 5);
    await scenes.world.faults.setMode('none');
    assert.equal(client.leave(blocksOf(chainOf('late', 1))), 'closed');
    await next.flush();
  });

  it('is lost alone when it is damaged before the next store reads it', async () => {
    const scene = await scenes.openScene();
    const { store, client } = scene;
    await lend(scene, length, 3);
    const chain = chainOf('damaged', 3, length);
    const blocks = client.fill(blocksOf(chain));
    client.leave(blocks);
    assert(blocks[2].loan !== undefined);
    client.memoryOf(blocks[2].loan)[2304 + 77] ^= 1;
    await scenes.world.crash(store);
    const { store: next } = await scenes.openStore();
    assert.deepEqual(await next.contains(chain.keys), [true, true, false]);
    assert.equal((await next.stats()).damagedRecords, 1);
  });

  it('is given back for blocks that are stored already', async () => {
    const scene = await scenes.openScene();
    const { store, client } = scene;
    await lend(scene, length, 2);
    const chain = chainOf('known', 2, length);
    await store.save(chain.blocks);
    const loans = client.loans();
    client.leave(client.fill(blocksOf(chain)));
    await store.flush();
    assert.deepEqual(
      loans.map((loan) => client.isLent(loan)),
      [false, false],
    );
    await assertThere(store, chain);
  });

  it('is all given back when the ring is closed, which then has its place nowhere', async () => {
    const scene = await scenes.openScene();
    const { store, ring, client, path } = scene;
    await lend(scene, length, 8);
    const loans = client.loans();
    const chain = chainOf('last', 2, length);
    client.leave(client.fill(blocksOf(chain)));
    const lateChain = chainOf('late', 1, length);
    const late = client.fill(blocksOf(lateChain));
    await ring.close();
    assert.equal(existsSync(path), false);
    assert.equal(client.leave(late), 'closed');
    assert.deepEqual(
      loans.filter((loan) => client.isLent(loan)),
      [],
    );
    await assertThere(store, chain);
    // Whoever closes it once more takes nothing that was moved there since.
    client.set('head', client.word('head') + 64);
    await ring.close();
    assert.deepEqual(await store.contains(lateChain.keys), [false]);
  });

  it('is lent for another length in another ring only', async () => {
    const scene = await scenes.openScene();
    const { store, client, path } = scene;
    await lend(scene, length, 3);
    const chain = chainOf('before', 2, length);
    client.leave(client.fill(blocksOf(chain)));
    client.want(2 * length, 2);
    store.takeRings();
    await eventually('the ring ends', () => Promise.resolve(!existsSync(path)));
    assert.equal(client.word('isClosed'), 1);
    await assertThere(store, chain);
  });

  it('is as much as may be: by payloads, bytes, memory, and what may wait for upload', async () => {
    const scene = await scenes.openScene();
    await lend(scene, 1000, 100_000, limits.ringLoansMax);
    await scene.ring.close();
    const second = await reopen(scene);
    // A quarter of the memory.
    await lend(second, mib, 100, 32);
    const other = await reopen(second);
    other.client.want(mib, 4);
    other.store.takeRings();
    await eventually('it was looked at', () => Promise.resolve(other.client.word('isTold') === 0));
    assert.equal(other.client.loans().length, 0, 'all is lent');
    await second.ring.close();
    await other.store.save(chainOf('reconsiders', 1).blocks);
    assert.equal(other.client.loans().length, 4, 'what was given back');
    await scene.store.close();
    const narrow = await scenes.openScene({ backlogBytes: 11 * mib });
    // Beside the ring.
    await lend(narrow, mib, 8, 3);
  });

  it('is lent for forty blocks of 1.76 MB, in turns between which others have the thread', async () => {
    const { clock } = nodePlatform();
    const seen: number[] = [];
    /** The one, once it is there. */
    const clients: RingClient[] = [];
    const scene = await scenes.openScene({
      memoryBytes: 320 * mib,
      clock: {
        ...{ wallMs: () => clock.wallMs(), nowMs: () => clock.nowMs() },
        sleep: (ms, signal) => clock.sleep(ms, signal),
        schedule: (ms, callback) => clock.schedule(ms, callback),
        yield: async () => {
          await clock.yield();
          seen.push(clients.at(0)?.loans().length ?? 0);
        },
      },
    });
    clients.push(scene.client);
    await lend(scene, 1_760_000, 40);
    const steps = seen.map((loans, index) => loans - (index === 0 ? 0 : seen[index - 1]));
    const mostInTurn = Math.ceil(limits.turnBytesMax / 1_760_000);
    assert(Math.max(...steps) <= mostInTurn, `loans at each turn: ${seen.join(' ')}`);
    assert(seen.some((loans) => loans > 0 && loans < 40));
  });

  async function reopen({ store, path }: RingScene): Promise<RingScene> {
    const ring = await store.openRing();
    assert(ring !== undefined);
    const another = path.replace(/\d+$/, String(ring.number));
    return { store, ring, client: new RingClient(another), path: another };
  }

  it('is given back when nothing was left for long, also by a client that stands still', async () => {
    const { clock } = nodePlatform();
    const scene = await scenes.openScene({
      clock: {
        ...{ wallMs: () => clock.wallMs(), nowMs: () => clock.nowMs() },
        ...{ yield: () => clock.yield(), sleep: (ms, signal) => clock.sleep(ms, signal) },
        schedule: (ms, callback) =>
          clock.schedule(ms === limits.ringLoansIdleMs ? 300 : ms, callback),
      },
    });
    const { store, client, path } = scene;
    await lend(scene, length, 4);
    const loans = client.loans();
    assert.equal(loans.filter((loan) => client.isLent(loan)).length, 4);
    const late = client.fill(blocksOf(chainOf('late', 1, length)));
    await eventually('the ring ends', () => Promise.resolve(!existsSync(path)));
    assert.deepEqual(
      loans.filter((loan) => client.isLent(loan)),
      [],
    );
    assert.equal(client.leave(late), 'closed');
    assert((await store.openRing()) !== undefined, 'there is another for who asks');
  });

  it('ends the ring when an entry refers to other memory', async () => {
    const scene = await scenes.openScene();
    const { store, client } = scene;
    await lend(scene, length, 2);
    const before = chainOf('before', 1, length);
    client.leave(client.fill(blocksOf(before)));
    const [block] = client.fill(blocksOf(chainOf('wrong', 1, length)));
    assert(block.loan !== undefined);
    client.leave([{ ...block, loan: { ...block.loan, offset: block.loan.offset + 1 } }]);
    await assertThere(store, before);
    assert.equal(client.word('isClosed'), 1);
    assert.equal((await store.stats()).damagedRecords, 1);
  });
});
