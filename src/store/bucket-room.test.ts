import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '../base/errors.ts';
import { BoundedRoom } from './bucket-room.ts';

interface Rig {
  readonly room: BoundedRoom;
  readonly used: { bytes: number };
  readonly full: number[];
  readonly doubtful: number[];
}

function roomOf(bytesMax: number): Rig {
  const used = { bytes: 0 };
  const full: number[] = [];
  const doubtful: number[] = [];
  const room: BoundedRoom = new BoundedRoom({
    bytesMax: () => bytesMax - used.bytes,
    onFull: () => full.push(room.wantedBytes),
    onDoubt: (bytes) => doubtful.push(bytes),
  });
  return { room, used, full, doubtful };
}

const never = new AbortController().signal;

test('what is being written counts like what is there, and who comes first is served first', async () => {
  const { room, used, full } = roomOf(100);
  used.bytes = 40;
  const first = await room.reserve(30, never);
  const served: string[] = [];
  const second = room.reserve(40, never).then(() => served.push('second'));
  const third = room.reserve(5, never).then(() => served.push('third'));
  assert.deepEqual([room.wantedBytes, room.reservedBytes, full], [40, 30, [40, 40]]);
  assert.equal(await first.during(Promise.resolve('written')), 'written');
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
  await (await small).during(Promise.resolve());
  assert.equal(room.reservedBytes, 0);
  await assert.rejects(room.reserve(1, impatient.signal), { code: 'ABORTED' });
});

test('a write that failed gives its room back, and its bytes are in doubt', async () => {
  const { room, doubtful } = roomOf(100);
  const reserved = await room.reserve(70, never);
  const lost = new StoreError('UNAVAILABLE', 'no reply');
  await assert.rejects(reserved.during(Promise.reject(lost)), lost);
  assert.deepEqual([room.reservedBytes, doubtful], [0, [70]]);
});
