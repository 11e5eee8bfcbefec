import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { FaultPicker } from '../objectstore/faulty-object-store.ts';
import type { ObjectKey } from '../objectstore/object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { factsOf, keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { chainOf, sliceChain } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { flipBitAt, rewriteObject } from '../../test/support/stored-objects.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { UploadRig } from '../../test/support/upload-rig.ts';
import { eventually } from '../../test/support/waiting.ts';

const root = await makeTemporaryDirectory('uploads');
after(() => root.remove());

function openRig(): Promise<UploadRig> {
  return UploadRig.open(`${root.path}/${nodePlatform().random.hex(8)}`);
}

/** The places in the chain of the puts so far, in their order. */
function placesOf(rig: UploadRig, chain: Chain): number[] {
  return rig.puts.map(({ header }) => chain.keys.indexOf(header.key));
}

function isUnavailable(error: unknown): boolean {
  return isStoreError(error, 'UNAVAILABLE');
}

const failingPuts: FaultPicker = ({ verb }) =>
  verb === 'put' ? { kind: 'fail-before' } : undefined;

describe('the order of uploads', () => {
  it('is from the last block to the first, every 64th after the rest', async () => {
    const rig = await openRig();
    const chain = chainOf('order', 200, 100);
    await rig.save(chain);
    await rig.finish();
    const places = placesOf(rig, chain);
    assert.equal(places.length, 200);
    assert.deepEqual(places.slice(-4), [192, 128, 64, 0]);
    const rest = places.slice(0, -4);
    const expected = [...chain.keys.keys()].reverse().filter((place) => place % 64 !== 0);
    assert.deepEqual(
      [...rest].sort((a, b) => b - a),
      expected,
    );
    // Some are under way at once, so neighbours may overtake each other, but none by far.
    for (const [at, place] of rest.entries()) {
      assert.ok(Math.abs(expected.indexOf(place) - at) < 2 * limits.smallUploadsInFlightMax);
    }
    assert.ok(rig.inFlightMost > 1 && rig.inFlightMost <= limits.smallUploadsInFlightMax);
    await rig.close();
  });

  it('makes the lists of the heads whole: each names all that follow it, up to 63', async () => {
    const rig = await openRig();
    const chain = chainOf('lists', 150, 50);
    await rig.save(chain);
    await rig.finish();
    for (const place of [0, 64, 128]) {
      const put = rig.puts.find(({ header }) => header.key === chain.keys[place]);
      assert.deepEqual(put?.header.following, chain.keys.slice(place + 1, place + 64));
    }
    await rig.close();
  });

  it('counts every 64th of the new blocks, not of the chain', async () => {
    const rig = await openRig();
    const chain = chainOf('partly', 140, 50);
    await rig.save(sliceChain(chain, 0, 30));
    await rig.finish();
    rig.puts.length = 0;
    await rig.save(chain);
    await rig.finish();
    const places = placesOf(rig, chain);
    assert.equal(places.length, 110);
    assert.deepEqual(places.slice(-2), [94, 30]);
    await rig.close();
  });

  it('lets parts of a save that is awaited go side by side, and every 64th of all after the rest', async () => {
    const rig = await openRig();
    const chain = chainOf('parts', 140, 50);
    const order = { after: new Promise(() => undefined) };
    rig.gate = deferred<void>();
    await rig.savePart(chain, { start: 100, end: 140 }, order);
    await rig.underWay(limits.smallUploadsInFlightMax);
    await rig.savePart(chain, { start: 40, end: 100 }, order);
    await rig.savePart(chain, { start: 0, end: 40 }, order);
    rig.gate.resolve();
    await rig.finish();
    const places = placesOf(rig, chain);
    assert.equal(places.length, 140);
    assert.deepEqual(places.slice(-2), [64, 0]);
    // Nothing in its own part is left to wait for, and nothing behind it.
    assert.ok(places.indexOf(128) < places.indexOf(64));
    for (const place of [0, 64, 128]) {
      const put = rig.puts.find(({ header }) => header.key === chain.keys[place]);
      assert.deepEqual(put?.header.following, chain.keys.slice(place + 1, place + 64));
    }
    await rig.close();
  });

  it('begins a part that is awaited while uploads of the part before are stuck, but for its first block', async () => {
    const rig = await openRig();
    const chain = chainOf('stuck part', 20, 50);
    const order = { after: new Promise(() => undefined) };
    const last = chain.keys[19];
    rig.faults = ({ verb, key }) =>
      verb === 'put' && key.endsWith(last) ? { kind: 'fail-before' } : undefined;
    await rig.savePart(chain, { start: 10, end: 20 }, order);
    await rig.rest(1);
    await rig.savePart(chain, { start: 0, end: 10 }, order);
    await eventually('all but two are stored', async () => rig.stored.size === 18);
    await rig.settle();
    assert.ok(!rig.stored.has(chain.keys[0]));
    rig.faults = () => undefined;
    await rig.finish();
    assert.deepEqual(placesOf(rig, chain).slice(-2), [19, 0]);
    await rig.close();
  });

  it('sends no head while one of the rest is not there', async () => {
    const rig = await openRig();
    const chain = chainOf('stubborn', 70, 50);
    let isRefused = true;
    rig.faults = ({ verb, key }) =>
      isRefused && verb === 'put' && key.endsWith(chain.keys[40])
        ? { kind: 'fail-before' }
        : undefined;
    await rig.save(chain);
    await eventually('all others are stored', async () => rig.stored.size === 67);
    for (let round = 0; round < 5; round += 1) {
      rig.clock.advance(limits.uploadRetryMostMs);
      await rig.settle();
    }
    assert.ok(!placesOf(rig, chain).some((place) => place % 64 === 0));
    isRefused = false;
    await rig.finish();
    assert.equal(rig.stored.size, 70);
    assert.deepEqual(placesOf(rig, chain).slice(-3), [40, 64, 0]);
    await rig.close();
  });

  // Goal: at the moment of each put, what its header lists is in the bucket. The recording bucket
  // checks that for every put. Method: overlapping saves at once, failures and lost replies.
  it('never lists a block that is not there, whatever happens', async () => {
    const rig = await openRig();
    const chain = chainOf('overlap', 180, 50);
    let count = 0;
    rig.faults = ({ verb }) => {
      if (verb !== 'put') return undefined;
      count += 1;
      if (count % 7 === 0) return { kind: 'fail-before' };
      return count % 11 === 0 ? { kind: 'fail-after' } : undefined;
    };
    await rig.save(sliceChain(chain, 100, 170));
    await rig.save(sliceChain(chain, 20, 120));
    await rig.save(chain);
    await rig.finish();
    assert.equal(rig.stored.size, 180);
    const listed = rig.puts.map(({ header }) => header.following.length);
    assert.ok(listed.some((length) => length === limits.followingKeysMax));
    assert.ok(rig.counters.uploadFailures > 20);
    await rig.close();
  });

  it('ends a list before a block that another save has not brought yet', async () => {
    const rig = await openRig();
    const chain = chainOf('waiting', 10, 50);
    rig.faults = failingPuts;
    await rig.save(sliceChain(chain, 5, 6));
    await rig.rest(1);
    rig.faults = ({ verb, key }) =>
      verb === 'put' && key.endsWith(chain.keys[5]) ? { kind: 'fail-before' } : undefined;
    await rig.save(chain);
    await eventually('the head is stored', async () => rig.stored.has(chain.keys[0]));
    const head = rig.puts.find(({ header }) => header.key === chain.keys[0]);
    assert.deepEqual(head?.header.following, chain.keys.slice(1, 5));
    rig.faults = () => undefined;
    await rig.finish();
    await rig.close();
  });

  it('has a few saves under way, and comes to all of them', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    const chains = Array.from({ length: 30 }, (_, index) => chainOf(`many-${index}`, 3, 50));
    for (const chain of chains) await rig.save(chain);
    await rig.underWay(limits.smallUploadsInFlightMax);
    assert.equal(rig.puts.length, limits.smallUploadsInFlightMax);
    rig.gate.resolve();
    await rig.finish();
    assert.equal(rig.stored.size, 90);
    await rig.close();
  });
});

describe('an upload that fails', () => {
  it('is tried again after waits that double, up to half a minute', async () => {
    const rig = await openRig();
    rig.faults = failingPuts;
    await rig.save(chainOf('retried', 1, 50));
    await eventually('the first attempt', async () => rig.counters.uploadFailures === 1);
    const waits: number[] = [];
    for (let failures = 1; failures <= 10; failures += 1) {
      let waited = 0;
      while (rig.counters.uploadFailures === failures) {
        rig.clock.advance(50);
        waited += 50;
        await rig.settle();
      }
      waits.push(waited);
    }
    // The upper half of each wait is random: here always its middle.
    const expected = Array.from({ length: 10 }, (_, at) => Math.min(30_000, 200 * 2 ** at) * 0.75);
    assert.deepEqual(waits, expected);
    rig.faults = () => undefined;
    await rig.finish();
    assert.equal(rig.counters.uploadFailures, 11);
    await rig.close();
  });

  it('may have been stored: a lost reply costs another put and nothing else', async () => {
    const rig = await openRig();
    let isLost = true;
    rig.faults = ({ verb }) => {
      if (verb !== 'put' || !isLost) return undefined;
      isLost = false;
      return { kind: 'fail-after' };
    };
    const [entry] = await rig.save(chainOf('lost reply', 1, 50));
    await rig.finish();
    assert.equal(rig.puts.length, 2);
    assert.equal(entry.isPending, false);
    await rig.close();
  });

  it('has failed when it takes too long', async () => {
    const rig = await openRig();
    rig.faults = ({ verb, index }) =>
      verb === 'put' && index === 0 ? { kind: 'hang' } : undefined;
    await rig.save(chainOf('hanging', 1, 50));
    await eventually('the put hangs', async () => rig.clock.waiting === 1);
    rig.clock.advance(limits.uploadAttemptMs);
    await eventually('it has failed', async () => rig.counters.uploadFailures === 1);
    await rig.finish();
    assert.equal(rig.stored.size, 1);
    await rig.close();
  });

  it('stays pending while its file cannot be read, and goes on when it can', async () => {
    const rig = await openRig();
    rig.isUnreadable = true;
    const [entry] = await rig.save(chainOf('unreadable', 1, 50));
    await eventually('an attempt', async () => rig.counters.uploadFailures === 1);
    assert.equal(entry.isPending, true);
    rig.isUnreadable = false;
    await rig.finish();
    assert.equal(entry.isPending, false);
    await rig.close();
  });

  it('ends for a payload that is damaged, which is counted and not stored', async () => {
    const rig = await openRig();
    rig.faults = failingPuts;
    const chain = chainOf('damaged', 3, 50);
    const entries = await rig.save(chain);
    await rig.rest(2);
    // The copies in memory go, and with them what could replace the damaged bytes.
    for (let round = 0; round < 400; round += 1) rig.cache.allocate(4096).unpin();
    const next = await reopened(rig);
    await next.damage(next.cache.find(entries[1].facts) ?? entries[1]);
    for (const { entries: pending, chain: keys } of next.cache.takePending()) {
      next.uploads.enqueue({ entries: pending, chain: keys });
    }
    await assert.rejects(next.uploads.flush(), (error) => isStoreError(error, 'CORRUPT'));
    await next.finish();
    assert.equal(next.cache.damaged, 1);
    assert.deepEqual([...next.stored].sort(), [chain.keys[0], chain.keys[2]].sort());
    const head = next.puts.find(({ header }) => header.key === chain.keys[0]);
    assert.deepEqual(head?.header.following, []);
    assert.equal(next.cache.find(entries[1].facts), undefined);
    await next.close();
  });
});

/** A later process on the same directory. */
async function reopened(rig: UploadRig): Promise<UploadRig> {
  await rig.close();
  return UploadRig.open(rig.directory);
}

describe('uploads over a corrupt object', () => {
  async function corruptBlock(rig: UploadRig, chain: Chain): Promise<ObjectKey> {
    const [entry] = await rig.save(chain);
    await rig.finish();
    const objectKey = rig.objectTier.objectKey(entry.facts);
    await rewriteObject(rig.bucket, objectKey, flipBitAt(-1));
    await rig.cache.remove(entry);
    const fetched = await rig.objectTier.fetch(entry.facts, new AbortController().signal);
    assert.equal(fetched, 'corrupt');
    return objectKey;
  }

  /** What the bucket gives for the block now. */
  async function storedPayload(rig: UploadRig, chain: Chain): Promise<Uint8Array | string> {
    rig.catalog.forget({ namespace: tenant, kind: 'block', key: chain.keys[0] });
    const facts = { ...factsOf('', chain.blocks[0].payload), key: chain.keys[0] };
    const fetched = await rig.objectTier.fetch(facts, new AbortController().signal);
    if (typeof fetched === 'string') return fetched;
    const bytes = fetched.payload.slice();
    fetched.extent.unpin();
    return bytes;
  }

  it('replace it', async () => {
    const rig = await openRig();
    const chain = chainOf('replaced', 1, 500);
    await corruptBlock(rig, chain);
    await rig.save(chain);
    await rig.finish();
    assert.deepEqual(await storedPayload(rig, chain), chain.blocks[0].payload);
    await rig.close();
  });

  it('store the block anew when the object has been deleted meanwhile', async () => {
    const rig = await openRig();
    const chain = chainOf('deleted', 1, 500);
    const objectKey = await corruptBlock(rig, chain);
    await rig.bucket.delete(objectKey);
    await rig.save(chain);
    await rig.finish();
    assert.deepEqual(await storedPayload(rig, chain), chain.blocks[0].payload);
    await rig.close();
  });

  it('leave what another host has put there meanwhile', async () => {
    const rig = await openRig();
    const chain = chainOf('mended', 1, 500);
    const objectKey = await corruptBlock(rig, chain);
    await rewriteObject(rig.bucket, objectKey, flipBitAt(-1));
    const mended = await rig.bucket.head(objectKey);
    await rig.save(chain);
    await rig.finish();
    assert.equal((await rig.bucket.head(objectKey))?.etag, mended?.etag);
    assert.deepEqual(await storedPayload(rig, chain), chain.blocks[0].payload);
    await rig.close();
  });
});

describe('uploads of raw tails', () => {
  /** The payloads of the raw tail's puts, by their checksums. */
  function versionsPut(rig: UploadRig, tip: string): number[] {
    const puts = rig.puts.filter(({ header }) => header.key === keyOf(tip));
    return puts.map(({ header }) => header.rawCrc);
  }
  const crcOf = (version: string): number => crc32c(randomPayload(version, 500));

  it('go one after another, and the last one wins', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    await rig.saveRawTail('tip', 'first');
    await rig.underWay(1);
    for (const version of ['second', 'third', 'last']) await rig.saveRawTail('tip', version);
    await rig.settle();
    assert.deepEqual(versionsPut(rig, 'tip'), [crcOf('first')]);
    rig.gate.resolve();
    await rig.finish();
    // Those that were replaced before their turn are not sent at all.
    assert.deepEqual(versionsPut(rig, 'tip'), [crcOf('first'), crcOf('last')]);
    assert.equal(rig.inFlightMost, 1);
    await rig.close();
  });

  it('of several tips go side by side', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    for (const tip of ['a', 'b', 'c']) await rig.saveRawTail(tip, tip);
    await rig.underWay(3);
    rig.gate.resolve();
    await rig.finish();
    await rig.close();
  });

  it('do not wait for another attempt of what they replace', async () => {
    const rig = await openRig();
    rig.faults = failingPuts;
    await rig.saveRawTail('tip', 'first');
    await rig.rest(1);
    rig.faults = () => undefined;
    await rig.saveRawTail('tip', 'second');
    // Nobody moves the clock.
    await eventually('the second is stored', async () => rig.uploads.pending === 0);
    assert.deepEqual(versionsPut(rig, 'tip'), [crcOf('second')]);
    await rig.close();
  });
});

describe('Uploads.flush()', () => {
  it('resolves when all that was pending is durable, and waits for nothing that came later', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    const entries = await rig.save(chainOf('flushed', 3, 50));
    const flushing = rig.uploads.flush();
    await rig.underWay(2);
    const { gate } = rig;
    rig.faults = failingPuts;
    const later = await rig.save(chainOf('later', 2, 50));
    rig.faults = ({ verb, key }) =>
      verb === 'put' && later.some(({ facts }) => key.endsWith(facts.key))
        ? { kind: 'hang' }
        : undefined;
    gate.resolve();
    await flushing;
    for (const { isPending } of entries) assert.equal(isPending, false);
    assert.equal(rig.uploads.pending, 2);
    await rig.close();
  });

  it('resolves at once when nothing is pending', async () => {
    const rig = await openRig();
    await rig.uploads.flush();
    await rig.uploads.whenDurable([await rig.saveRawTail('tip', 'a')]);
    await rig.uploads.flush();
    assert.equal(rig.puts.length, 1);
    await rig.close();
  });

  it('does not wait for the next attempt of what failed before: it asks for one', async () => {
    const rig = await openRig();
    rig.faults = failingPuts;
    // The first of them is uploaded after the rest.
    await rig.save(chainOf('asked', 4, 50));
    await rig.rest(3);
    rig.faults = () => undefined;
    await rig.uploads.flush();
    assert.equal(rig.uploads.pending, 0);
    await rig.close();
  });

  it('rejects with UNAVAILABLE when an attempt fails that began after it', async () => {
    const rig = await openRig();
    rig.faults = failingPuts;
    const entries = await rig.save(chainOf('refused', 2, 50));
    await rig.rest(1);
    await assert.rejects(rig.uploads.flush(), isUnavailable);
    assert.equal(rig.uploads.pending, 2);
    for (const { isPending } of entries) assert.equal(isPending, true);
    rig.faults = () => undefined;
    await rig.finish();
    await rig.close();
  });

  it('does not reject for an attempt that began before it', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    let isFirst = true;
    rig.faults = ({ verb }) => {
      if (verb !== 'put' || !isFirst) return undefined;
      isFirst = false;
      return { kind: 'fail-after' };
    };
    await rig.save(chainOf('early', 1, 50));
    await rig.underWay(1);
    const flushing = rig.uploads.flush();
    rig.gate.resolve();
    await eventually('it has failed', async () => rig.counters.uploadFailures === 1);
    rig.clock.advance(limits.uploadRetryMostMs);
    await flushing;
    assert.equal(rig.uploads.pending, 0);
    await rig.close();
  });
});

describe('Uploads.withdraw()', () => {
  it('gives up what waits, and nothing else', async () => {
    const rig = await openRig();
    rig.faults = failingPuts;
    const chain = chainOf('withdrawn', 3, 50);
    const entries = await rig.save(chain);
    await rig.rest(2);
    await rig.uploads.withdraw(entries[1]);
    assert.deepEqual([rig.uploads.pending, rig.uploads.pendingBytes], [2, 100]);
    rig.faults = () => undefined;
    await rig.finish();
    assert.deepEqual([...rig.stored].sort(), [chain.keys[0], chain.keys[2]].sort());
    await rig.close();
  });

  it('waits for the attempt under way, so that nothing arrives after it', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    const [entry] = await rig.save(chainOf('under way', 1, 50));
    await rig.underWay(1);
    let isWithdrawn = false;
    const withdrawing = rig.uploads.withdraw(entry).then(() => {
      isWithdrawn = true;
    });
    await rig.settle();
    assert.equal(isWithdrawn, false);
    rig.gate.resolve();
    await withdrawing;
    assert.equal(rig.puts[0].isDone, true);
    assert.equal(rig.uploads.pending, 0);
    rig.clock.advance(limits.uploadRetryMostMs);
    await rig.settle();
    assert.equal(rig.puts.length, 1);
    await rig.close();
  });

  it('ends the wait for a raw tail whose attempt fails as it is given up', async () => {
    const rig = await openRig();
    rig.gate = deferred();
    // Done by the bucket, but the reply is lost.
    rig.faults = ({ verb }) => (verb === 'put' ? { kind: 'fail-after' } : undefined);
    const entry = await rig.saveRawTail('tip', 'only');
    await rig.underWay(1);
    let isOver = false;
    const waiting = rig.uploads.whenDurable([entry]).then(() => {
      isOver = true;
    });
    const withdrawing = rig.uploads.withdraw(entry);
    rig.gate.resolve();
    await withdrawing;
    await rig.settle();
    assert.equal(isOver, true, 'nothing will ever be brought for it');
    await waiting;
    await rig.close();
  });

  it('does not mind what is not pending, or withdrawn already', async () => {
    const rig = await openRig();
    const [entry] = await rig.save(chainOf('done', 1, 50));
    await rig.finish();
    await rig.uploads.withdraw(entry);
    await rig.uploads.withdraw(entry);
    await rig.close();
  });
});

describe('Uploads.stop()', () => {
  it('leaves what is pending to the next process, wherever its upload was', async () => {
    const rig = await openRig();
    const chains = Array.from({ length: 12 }, (_, index) => chainOf(`stopped-${index}`, 4, 50));
    let count = 0;
    rig.faults = ({ verb }) => {
      count += 1;
      if (verb !== 'put') return undefined;
      return count % 2 === 0 ? { kind: 'hang' } : { kind: 'fail-before' };
    };
    for (const chain of chains) await rig.save(chain);
    await rig.settle();
    const flushing = rig.uploads.flush();
    const outcome = assert.rejects(flushing, (error) => isStoreError(error));
    await rig.uploads.stop();
    await outcome;
    const sent = count;
    rig.clock.advance(10 * limits.uploadRetryMostMs);
    await rig.settle();
    assert.equal(count, sent, 'nothing is sent after the end');
    const next = await reopened(rig);
    const saves = next.cache.takePending();
    assert.equal(saves.length, 12);
    for (const { entries, chain } of saves) next.uploads.enqueue({ entries, chain });
    await next.uploads.flush();
    assert.equal(next.stored.size, 48);
    await next.close();
  });
});
