import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { keyOf } from '../../test/support/cached-payloads.ts';
import { searchChain } from './chain-search.ts';
import type { ChainSource } from './chain-search.ts';

const keys: readonly BlockKey[] = Array.from({ length: 1200 }, (_, index) => keyOf(index));
const headEvery = limits.followingKeysMax + 1;

/** The blocks of one chain in a bucket: for each that is there, how many following keys it lists. */
class Bucket {
  readonly lists = new Map<number, number>();

  /** Saves the blocks from `start` up to `end` in one call, as the uploads do. */
  save(start: number, end: number): this {
    const fresh = [];
    for (let index = start; index < end; index += 1) if (!this.lists.has(index)) fresh.push(index);
    const isHead = (at: number): boolean => at % headEvery === 0;
    const order = [...fresh.keys()].reverse();
    for (const at of order) if (!isHead(at)) this.#put(fresh[at], end);
    for (const at of order) if (isHead(at)) this.#put(fresh[at], end);
    return this;
  }

  /** Removes what lies behind the first `count` blocks; lists that name it stay as they are. */
  cutTo(count: number): this {
    for (const index of [...this.lists.keys()]) if (index >= count) this.lists.delete(index);
    return this;
  }

  /** Lists what is there at this moment, as far as the save's own keys go. */
  #put(index: number, end: number): void {
    let listed = 0;
    while (listed < limits.followingKeysMax && index + listed + 1 < end) {
      if (!this.lists.has(index + listed + 1)) break;
      listed += 1;
    }
    this.lists.set(index, listed);
  }
}

/** A host that asks the bucket, remembers the answers, and counts. */
class Source implements ChainSource {
  requests = 0;
  /** Requests sent while no other was under way: what a caller waits for one after another. */
  rounds = 0;
  inFlightMost = 0;
  readonly certain = new Set<number>();
  readonly listed = new Set<number>();
  readonly absent = new Set<number>();
  /** Blocks of the chain that is searched. */
  length = keys.length;
  readonly #bucket: Bucket;
  #inFlight = 0;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  isCertain(index: number): boolean {
    return this.certain.has(index);
  }

  knownEnd(from: number): number {
    let end = from;
    while (end < this.length && this.isKnown(end)) end += 1;
    return end;
  }

  isKnown(index: number): boolean {
    return this.certain.has(index) || this.listed.has(index);
  }

  isAbsent(index: number): boolean {
    return this.absent.has(index);
  }

  async readFollowing(index: number): Promise<readonly BlockKey[] | undefined> {
    const listed = await this.#ask(index);
    return listed === undefined ? undefined : keys.slice(index + 1, index + 1 + listed);
  }

  async confirm(index: number): Promise<boolean> {
    return (await this.#ask(index)) !== undefined;
  }

  hope(index: number): void {
    if (!this.absent.has(index)) this.listed.add(index);
  }

  async #ask(index: number): Promise<number | undefined> {
    this.requests += 1;
    if (this.#inFlight === 0) this.rounds += 1;
    this.#inFlight += 1;
    this.inFlightMost = Math.max(this.inFlightMost, this.#inFlight);
    await new Promise((resolve) => setImmediate(resolve));
    this.#inFlight -= 1;
    const listed = this.#bucket.lists.get(index);
    this.listed.delete(index);
    this.certain.delete(index);
    this.absent.delete(index);
    if (listed === undefined) this.absent.add(index);
    else this.certain.add(index);
    return listed;
  }
}

/** Asks for the first `length` blocks. */
async function search(source: Source, length: number): Promise<number> {
  const told: number[] = [];
  source.length = length;
  const matched = await searchChain(keys.slice(0, length), source, (count) => told.push(count));
  for (const count of told) assert.ok(count >= 0 && count <= length, `told of ${count}`);
  return matched;
}

/** What a fresh host finds, and at what price. */
async function freshSearch(
  bucket: Bucket,
  length: number,
): Promise<{ matched: number; requests: number; rounds: number }> {
  const source = new Source(bucket);
  const matched = await search(source, length);
  const { requests, rounds, inFlightMost } = source;
  assert.ok(inFlightMost <= limits.fetchesInFlightMax, `${inFlightMost} requests at once`);
  return { matched, requests, rounds };
}

describe('the search of a chain that was saved in one go', () => {
  for (const count of [1, 2, 63, 64, 65, 80, 128, 129, 300, 1000]) {
    it(`finds ${count} blocks in at most ${count}/64 + 3 requests`, async () => {
      const bucket = new Bucket().save(0, count);
      for (const asked of [count, count + 1, count + 100]) {
        const { matched, requests } = await freshSearch(bucket, asked);
        assert.equal(matched, count);
        assert.ok(requests <= count / 64 + 3, `${requests} requests for ${asked} keys`);
      }
      const { matched, requests } = await freshSearch(bucket, Math.ceil(count / 2));
      assert.equal(matched, Math.ceil(count / 2));
      assert.ok(requests <= count / 64 + 3);
    });
  }

  it('makes sure of the last block while it looks behind it', async () => {
    const { matched, requests, rounds } = await freshSearch(new Bucket().save(0, 20), 40);
    assert.deepEqual([matched, requests, rounds], [20, 3, 2]);
  });

  it('asks once for a chain that is not there', async () => {
    const { matched, requests } = await freshSearch(new Bucket(), 1000);
    assert.deepEqual([matched, requests], [0, 1]);
  });

  it('asks nothing for no keys, for known blocks, or for what was absent a moment ago', async () => {
    const source = new Source(new Bucket().save(0, 80));
    assert.equal(await search(source, 0), 0);
    assert.equal(source.requests, 0);
    for (let index = 0; index < 80; index += 1) source.certain.add(index);
    assert.equal(await search(source, 80), 80);
    source.absent.add(80);
    assert.equal(await search(source, 100), 80);
    assert.equal(source.requests, 0);
  });

  it('asks nothing the second time', async () => {
    const source = new Source(new Bucket().save(0, 300));
    assert.equal(await search(source, 400), 300);
    source.requests = 0;
    assert.equal(await search(source, 400), 300);
    assert.equal(await search(source, 200), 200);
    // Of a part only the last block's presence may still be a list's word.
    assert.ok(source.requests <= 1, `${source.requests} requests`);
  });

  it('begins behind what is known here already', async () => {
    const source = new Source(new Bucket().save(0, 300));
    for (let index = 0; index < 150; index += 1) source.certain.add(index);
    assert.equal(await search(source, 300), 300);
    assert.ok(source.requests <= 5, `${source.requests} requests`);
  });

  it('takes no key of another chain for one of this', async () => {
    const source = new Source(new Bucket().save(0, 40).cutTo(10));
    const forked = [...keys.slice(0, 10), ...keys.slice(500, 530)];
    assert.equal(await searchChain(forked, source, () => undefined), 10);
    assert.deepEqual([source.listed.has(10), source.absent.has(10)], [false, true]);
  });
});

describe('the search of a conversation that was saved turn by turn', () => {
  function conversation(turns: number, blocksOfTurn: number): Bucket {
    const bucket = new Bucket();
    for (let turn = 0; turn < turns; turn += 1) {
      bucket.save(turn * blocksOfTurn, (turn + 1) * blocksOfTurn);
    }
    return bucket;
  }

  for (const [asked, most, roundsMax] of [
    [80, 7, 3],
    [81, 9, 4],
    [90, 14, 6],
    [200, 17, 7],
    [400, 18, 7],
    [1200, 20, 8],
  ] as const) {
    it(`finds 40 turns of 2 blocks in ${most} requests at most when ${asked} are asked for`, async () => {
      const { matched, requests, rounds } = await freshSearch(conversation(40, 2), asked);
      assert.equal(matched, 80);
      assert.ok(requests <= most, `${requests} requests`);
      // Two short lists, the probes ahead, and what narrows it down to a quarter each.
      assert.ok(rounds <= roundsMax, `${rounds} rounds one after another`);
    });
  }

  it('needs a number of requests that grows with the logarithm of the length', async () => {
    for (const turns of [3, 10, 100, 400, 1000]) {
      for (const asked of [turns, turns + 1, 1200]) {
        const { matched, requests, rounds } = await freshSearch(conversation(turns, 1), asked);
        assert.equal(matched, Math.min(turns, asked));
        assert.ok(requests <= 20, `${requests} requests for ${turns} turns`);
        assert.ok(rounds <= 8, `${rounds} rounds for ${turns} turns`);
      }
    }
  });

  it('finds the next turn of a conversation that it knows in few requests', async () => {
    const bucket = conversation(40, 2);
    const source = new Source(bucket);
    await search(source, 80);
    bucket.save(80, 82);
    source.absent.clear();
    source.requests = 0;
    assert.equal(await search(source, 90), 82);
    assert.ok(source.requests <= 3, `${source.requests} requests`);
  });
});

describe('the search of chains that were saved in other ways', () => {
  const cases: readonly (readonly [string, Bucket, number])[] = [
    ['a long prompt and then turns', new Bucket().save(0, 200).save(200, 203).save(203, 206), 206],
    ['turns, each saved with all before it', growing(0, 40, 3), 120],
    ['overlapping saves', new Bucket().save(0, 100).save(50, 180).save(20, 260), 260],
    ['the end before the beginning', new Bucket().save(100, 200).save(0, 100), 200],
    ['a save around another', new Bucket().save(70, 75).save(0, 150), 150],
    ['saves of one block each, backwards', backwards(90), 90],
  ];
  for (const [goal, bucket, count] of cases) {
    it(`is exact for ${goal}`, async () => {
      for (const asked of [count - 1, count, count + 1, count + 200]) {
        const { matched, requests } = await freshSearch(bucket, asked);
        assert.equal(matched, Math.min(asked, count));
        assert.ok(requests <= count / 64 + 18, `${requests} requests`);
      }
    });
  }

  it('is exact when the end was deleted, whatever the lists still name', async () => {
    for (const count of [1, 2, 5, 63, 64, 65, 100, 127, 128, 250, 299]) {
      const bucket = new Bucket().save(0, 300).cutTo(count);
      const { matched, requests, rounds } = await freshSearch(bucket, 400);
      assert.equal(matched, count);
      assert.ok(requests <= 300 / 64 + 3 + 10, `${requests} requests`);
      assert.ok(rounds <= 300 / 64 + 5, `${rounds} rounds one after another`);
    }
  });

  it('ends at a block that is there when others before it are gone, and learns from a miss', async () => {
    const bucket = new Bucket().save(0, 100);
    bucket.lists.delete(30);
    const source = new Source(bucket);
    const hopeful = await search(source, 100);
    assert.ok(hopeful === 30 || bucket.lists.has(hopeful - 1));
    // A load that finds the block missing corrects what is believed of it.
    source.listed.delete(30);
    source.absent.add(30);
    source.requests = 0;
    assert.equal(await search(source, 100), 30);
    assert.ok(source.requests <= 1, `${source.requests} requests`);
  });

  it('always ends, at a block that is there, however full of holes the chain is', async () => {
    const presence = fc.array(fc.boolean(), { maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(presence, fc.integer({ min: 0, max: 250 }), async (holes, asked) => {
        const bucket = new Bucket().save(0, holes.length);
        for (const [index, isThere] of holes.entries()) if (!isThere) bucket.lists.delete(index);
        const { matched, requests } = await freshSearch(bucket, asked);
        assert.ok(matched <= asked);
        assert.ok(matched === 0 || bucket.lists.has(matched - 1), `block ${matched - 1}`);
        assert.ok(requests <= 40, `${requests} requests`);
      }),
    );
  });

  // Goal: as long as presence ends once, the answer is exact, whoever saved what and whatever is
  // known here. Method: saves of random parts, later ones reaching back; the end cut off; a host
  // that knows some of the truth.
  it('is exact for every way of saving that leaves no hole', async () => {
    const save = fc.record({
      back: fc.integer({ min: 0, max: 150 }),
      count: fc.integer({ min: 1, max: 150 }),
    });
    const situation = fc.record({
      saves: fc.array(save, { maxLength: 12 }),
      kept: fc.double({ min: 0, max: 1, noNaN: true }),
      asked: fc.integer({ min: 0, max: 1200 }),
      known: fc.array(fc.nat({ max: 1200 }), { maxLength: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(situation, async ({ saves, kept, asked, known }) => {
        const bucket = new Bucket();
        let end = 0;
        for (const { back, count } of saves) {
          const start = Math.max(0, end - back);
          end = Math.min(keys.length, Math.max(end, start + count));
          bucket.save(start, Math.min(keys.length, start + count));
        }
        const there = Math.floor(end * kept);
        bucket.cutTo(there);
        const source = new Source(bucket);
        for (const index of known) (index < there ? source.certain : source.absent).add(index);
        const matched = await search(source, asked);
        assert.equal(matched, Math.min(asked, there));
        assert.ok(source.requests <= asked / 32 + 30, `${source.requests} requests`);
        assert.ok(source.inFlightMost <= limits.fetchesInFlightMax);
      }),
      { numRuns: 300 },
    );
  });

  it('tells its progress, so that whoever cannot wait has what is known', async () => {
    const source = new Source(new Bucket().save(0, 300));
    const told: number[] = [];
    source.length = 300;
    await searchChain(keys.slice(0, 300), source, (matched) => told.push(matched));
    assert.deepEqual(told, [0, 64, 128, 192, 256, 300]);
  });

  it('passes on what the object store fails with', async () => {
    const source = new Source(new Bucket());
    source.readFollowing = () => Promise.reject(new RangeError('gone'));
    await assert.rejects(search(source, 10), /gone/);
  });
});

/** Each turn saved together with every block before it, as some engines do. */
function growing(start: number, turns: number, blocksOfTurn: number): Bucket {
  const bucket = new Bucket();
  for (let turn = 1; turn <= turns; turn += 1) bucket.save(start, start + turn * blocksOfTurn);
  return bucket;
}

/** One block after another from the last to the first, each given alone. */
function backwards(count: number): Bucket {
  const bucket = new Bucket();
  for (let index = count - 1; index >= 0; index -= 1) bucket.save(index, index + 1);
  return bucket;
}
