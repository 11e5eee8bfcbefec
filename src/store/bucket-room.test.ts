import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '../base/errors.ts';
import { BoundedRoom } from './bucket-room.ts';

function roomOf(bytesMax: number): { room: BoundedRoom; used: { bytes: number }; full: number[] } {
  const used = { bytes: 0 };
  const full: number[] = [];
  const parts = { usedBytes: () => used.bytes, bytesMax: () => bytesMax };
  const room: BoundedRoom = new BoundedRoom({
    ...parts,
    onFull: () => full.push(room.wantedBytes),
  });
  return { room, used, full };
}

const never = new AbortController().signal;

test('what is being written counts like what is there, and who comes first is served first', async () => {
  const { room, used, full } = roomOf(100);
  used.bytes = 40;
  const first = await room.reserve(30, never);
  const served: string[] = [];
  const second = room.reserve(40, never).then((release) => {
    served.push('second');
    return release;
  });
  const third = room.reserve(5, never).then(() => served.push('third'));
  assert.deepEqual([room.wantedBytes, room.reservedBytes, full], [40, 30, [40, 40]]);
  first();
  first();
  await second;
  await third;
  assert.deepEqual(served, ['second', 'third']);
  assert.deepEqual([room.wantedBytes, room.reservedBytes], [0, 45]);
});

test('room that was made by removing admits, and without it who waits is refused', async () => {
  const { room, used } = roomOf(100);
  used.bytes = 95;
  const waiting = room.reserve(10, never);
  room.admit();
  assert.equal(room.wantedBytes, 10);
  used.bytes = 90;
  room.admit();
  await waiting;
  const refused = room.reserve(10, never);
  room.refuse(new StoreError('UNAVAILABLE', 'full'));
  await assert.rejects(refused, { code: 'UNAVAILABLE' });
  assert.deepEqual([room.wantedBytes, room.reservedBytes], [0, 10]);
});

test('who gives up lets those behind pass', async () => {
  const { room } = roomOf(100);
  const impatient = new AbortController();
  const large = room.reserve(200, impatient.signal);
  const small = room.reserve(20, never);
  impatient.abort(new StoreError('ABORTED', 'no time'));
  await assert.rejects(large, { code: 'ABORTED' });
  (await small)();
  assert.equal(room.reservedBytes, 0);
  await assert.rejects(room.reserve(1, impatient.signal), { code: 'ABORTED' });
});
