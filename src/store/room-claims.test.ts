import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import type { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { FaultyObjectStore } from '../objectstore/faulty-object-store.ts';
import type { FaultPicker } from '../objectstore/faulty-object-store.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { RestingClock } from '../../test/support/resting-clock.ts';
import { allObjectKeys } from '../../test/support/stored-objects.ts';
import { RoomClaims } from './room-claims.ts';

const keyPrefix = 'kv/test';
const last = `${keyPrefix}/!claims/last`;
const clock = new RestingClock();
const platform = { ...nodePlatform(), clock };

interface Host {
  readonly claims: RoomClaims;
  readonly failures: StoreError[];
}

function hostOn(bucket: MemoryObjectStore, faults: FaultPicker = () => undefined): Host {
  const failures: StoreError[] = [];
  const claims = new RoomClaims({
    ...{ platform, keyPrefix, objects: new FaultyObjectStore(bucket, faults) },
    request: (send) => send(new AbortController().signal),
    onFailure: (error) => failures.push(error),
  });
  return { claims, failures };
}

test('what others claim counts, in sum, and what is taken back does not', async () => {
  const bucket = new MemoryObjectStore(clock);
  const [mine, other, third] = [hostOn(bucket), hostOn(bucket), hostOn(bucket)];
  const claim = await mine.claims.announce(1000);
  const first = await other.claims.announce(30);
  await other.claims.announce(500);
  await third.claims.announce(7);
  assert.equal((await mine.claims.ofOthers(claim)).bytes, 537);
  await other.claims.withdraw(first);
  assert.equal((await mine.claims.ofOthers(claim)).bytes, 37);
  await other.claims.withdraw();
  await third.claims.withdraw();
  assert.equal((await mine.claims.ofOthers(claim)).bytes, 0);
  assert.deepEqual(await allObjectKeys(bucket), [claim.key, last]);
});

test('the claim of a process that died is forgotten when nobody can write under it any more', async () => {
  const bucket = new MemoryObjectStore(clock);
  const [dead, living] = [hostOn(bucket), hostOn(bucket)];
  const left = await dead.claims.announce(100);
  clock.skip(limits.roomClaimFreshMs);
  assert.equal(dead.claims.isFresh(left), false);
  assert.equal((await living.claims.ofOthers(await living.claims.announce(1))).bytes, 100);
  clock.skip(limits.roomClaimExpiredMs - limits.roomClaimFreshMs + 1);
  assert.equal((await living.claims.ofOthers(await living.claims.announce(2))).bytes, 0);
  await living.claims.withdraw();
  assert.deepEqual(await allObjectKeys(bucket), [last]);
});

test('a claim that the bucket does not list is worth nothing', async () => {
  const bucket = new MemoryObjectStore(clock);
  const { claims } = hostOn(bucket);
  const claim = await claims.announce(10);
  await bucket.delete(claim.key);
  await assert.rejects(claims.ofOthers(claim), (error) => {
    return isStoreError(error, 'UNAVAILABLE') && error.message.includes(claim.key);
  });
});

test('a claim that cannot be removed is told of, tried again, and expires', async () => {
  const bucket = new MemoryObjectStore(clock);
  let isFailing = true;
  const { claims, failures } = hostOn(bucket, ({ verb }) =>
    isFailing && verb === 'delete' ? { kind: 'fail-before' } : undefined,
  );
  const stuck = await claims.announce(10);
  await claims.withdraw();
  assert.equal(failures.length, 1);
  isFailing = false;
  await claims.withdraw();
  assert.deepEqual([failures.length, await allObjectKeys(bucket)], [1, [last]]);
  isFailing = true;
  await claims.announce(stuck.bytes);
  clock.skip(limits.roomClaimExpiredMs + 1);
  const next = await claims.announce(20);
  assert.equal((await claims.ofOthers(next)).bytes, 0);
  assert.equal(failures.length, 2, 'what expired is removed like that of another');
});

test('what is not a claim does not count as one', async () => {
  const bucket = new MemoryObjectStore(clock);
  const { claims } = hostOn(bucket);
  const { key } = await claims.announce(10);
  const other = hostOn(bucket).claims;
  for (const strange of [`${key}0`, key.replace('00', '-1'), `${keyPrefix}/!claims/notes`]) {
    await bucket.put(strange as typeof key, []);
  }
  assert.equal((await other.ofOthers(await other.announce(5))).bytes, 10);
});

test('the mark tells who begins to claim, and not who goes on', async () => {
  const bucket = new MemoryObjectStore(clock);
  const [{ claims: mine }, { claims: other }] = [hostOn(bucket), hostOn(bucket)];
  const markOf = async (bytes: number): Promise<string | undefined> => {
    const claim = await mine.announce(bytes);
    const { mark } = await mine.ofOthers(claim);
    await mine.withdraw(claim);
    return mark;
  };
  const first = await markOf(1);
  assert.notEqual(first, undefined);
  assert.equal(await markOf(2), first);
  // Came, wrote and went between two looks: nothing else tells of it.
  await other.announce(50);
  await other.withdraw();
  const second = await markOf(3);
  assert.notEqual(second, first);
  // Others may have forgotten a claim that is not fresh: who had it begins again.
  clock.skip(limits.roomClaimFreshMs);
  assert.notEqual(await markOf(4), second);
});

test('the mark is left again when the claim before may not be in the bucket', async () => {
  const bucket = new MemoryObjectStore(clock);
  let faults: FaultPicker = () => undefined;
  const { claims } = hostOn(bucket, (request) => faults(request));
  const marks: (string | undefined)[] = [];
  const noteMark = async (): Promise<void> => {
    const mark = await bucket.get(parseObjectKey(last));
    marks.push(mark === undefined ? undefined : Buffer.from(mark.bytes).toString());
  };
  // A claim that could not be put tells others nothing.
  faults = ({ verb, key }) =>
    verb === 'put' && key !== last ? { kind: 'fail-before' } : undefined;
  await assert.rejects(claims.announce(1));
  await noteMark();
  faults = () => undefined;
  await claims.announce(2);
  await noteMark();
  // Removed, though nobody was told.
  faults = ({ verb }) => (verb === 'delete' ? { kind: 'fail-after' } : undefined);
  await claims.withdraw();
  faults = () => undefined;
  await claims.announce(3);
  await noteMark();
  assert.equal(new Set(marks).size, 3);
});
