import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BytePool } from '../base/byte-pool.ts';
import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import { StoreError } from '../base/errors.ts';
import type { LentPlace, PayloadLease } from '../blocks/served-store.ts';
import { directChecksums } from '../platform/checksums.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import { InflatedPayloads } from '../wire/inflated-payloads.ts';
import { CompressedTraffic } from './daemon-counters.ts';
import { IntakeMemory } from './intake-memory.ts';
import { SaveIntake } from './save-intake.ts';

const bytes = 100_000;

/** Lends memory, and knows what of it is lent. */
class Lender {
  readonly lent = new Set<Uint8Array>();

  lease(byteLength: number): PayloadLease | undefined {
    if (this.lent.size === 2) return undefined;
    const payload = new Uint8Array(byteLength);
    this.lent.add(payload);
    const number = this.lent.size;
    const lend = (): LentPlace => ({ segment: 0, offset: number, salt: 7, number });
    return { payload, lend, release: () => void this.lent.delete(payload) };
  }
}

function intakeOf(lender: Lender, count: number): { memory: IntakeMemory; intake: SaveIntake } {
  const memory = new IntakeMemory(lender, new BytePool(1024 * 1024));
  const expected = Array.from({ length: count }, (_, index) => ({ index, length: bytes }));
  const intake = new SaveIntake(expected, { memory, checksums: directChecksums });
  intake.grant(count * bytes);
  return { memory, intake };
}

function noticeOf(index: number, crc = 0): PayloadNotice {
  return { index, length: bytes, crc, tokens: 0, hasDecodedTokens: false, tier: 'memory' };
}

function send(intake: SaveIntake, index: number): void {
  const payload = new Uint8Array(bytes).fill(index + 1);
  intake.begin(noticeOf(index, crc32c(payload)));
  intake.target(bytes)?.set(payload);
  intake.filled(bytes);
}

describe('intake of a save', () => {
  it('keeps the memory of a payload that a thread still makes, also when nobody wants it', async () => {
    const lender = new Lender();
    const memory = new IntakeMemory(lender, new BytePool(1024 * 1024));
    const made = deferred<number>();
    const codec = { decode: () => made.promise };
    const pool = new BytePool(1024 * 1024);
    const inflating = new InflatedPayloads(codec, pool, new CompressedTraffic());
    const expected = [{ index: 0, length: bytes }];
    const intake = new SaveIntake(expected, { memory, checksums: directChecksums, inflating });
    intake.grant(bytes);
    intake.begin({ ...noticeOf(0), compressed: { filter: 'none', length: 40_000 } });
    intake.target(40_000);
    intake.filled(40_000);
    intake.discard();
    await Promise.resolve();
    assert.deepEqual([lender.lent.size, pool.keptBytes], [1, 0]);
    made.resolve(0);
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.deepEqual([lender.lent.size, pool.keptBytes], [0, 40_000]);
  });

  it('gives back both memories of a payload that stops to come', () => {
    const lender = new Lender();
    const memory = new IntakeMemory(lender, new BytePool(1024 * 1024));
    const codec = { decode: () => Promise.reject(new Error('nothing came')) };
    const pool = new BytePool(1024 * 1024);
    const inflating = new InflatedPayloads(codec, pool, new CompressedTraffic());
    const expected = [{ index: 0, length: bytes }];
    const intake = new SaveIntake(expected, { memory, checksums: directChecksums, inflating });
    intake.grant(bytes);
    intake.begin({ ...noticeOf(0), compressed: { filter: 'none', length: 40_000 } });
    intake.target(10_000);
    intake.discard();
    assert.equal(lender.lent.size, 1);
    intake.lost();
    assert.deepEqual([lender.lent.size, pool.keptBytes], [0, 40_000]);
  });

  it('takes payloads into memory of the store while it lends any, and gives it back', async () => {
    const lender = new Lender();
    const { memory, intake } = intakeOf(lender, 3);
    for (const index of [0, 1, 2]) send(intake, index);
    const received = await intake.receive(3, new AbortController().signal);
    assert.deepEqual(
      received.map(({ payload }) => [payload[0], lender.lent.has(payload)]),
      [
        [1, true],
        [2, true],
        [3, false],
      ],
    );
    for (const { payload } of received) memory.give(payload);
    assert.equal(lender.lent.size, 0);
  });

  it('asks the store for no memory for short payloads', () => {
    const lender = new Lender();
    const memory = new IntakeMemory(lender, new BytePool(1024));
    memory.give(memory.take(4096));
    assert.equal(lender.lent.size, 0);
  });

  it('gives memory back between two pieces when the save ends', () => {
    const lender = new Lender();
    const { intake } = intakeOf(lender, 2);
    send(intake, 0);
    intake.begin(noticeOf(1));
    intake.target(1000);
    intake.filled(1000);
    intake.discard();
    assert.equal(lender.lent.size, 0);
  });

  for (const how of ['has come', 'will never come, for the connection is gone'] as const) {
    it(`keeps memory that a piece is read into until the piece ${how}`, () => {
      const lender = new Lender();
      const { intake } = intakeOf(lender, 1);
      intake.begin(noticeOf(0));
      intake.target(1000);
      intake.discard();
      assert.equal(lender.lent.size, 1);
      if (how === 'has come') intake.filled(1000);
      else intake.lost();
      assert.equal(lender.lent.size, 0);
    });
  }

  /** Lends memory for the payloads from that one on, as a group. */
  function lendTo(rig: ReturnType<typeof intakeOf>, start: number, count: number): void {
    const lent = rig.memory.lend(new Array<number>(count).fill(bytes));
    assert.ok(lent !== undefined);
    rig.intake.lend(
      start,
      lent.map(({ payload }) => payload),
    );
  }

  it('takes payloads where a client has put them, beside what is sent', async () => {
    const lender = new Lender();
    const rig = intakeOf(lender, 3);
    lendTo(rig, 0, 2);
    rig.intake.fill([11, 22]);
    send(rig.intake, 2);
    const received = await rig.intake.receive(3, new AbortController().signal);
    assert.deepEqual(
      received.map(({ index, crc, payload }) => [index, crc, lender.lent.has(payload)]),
      [
        [0, 11, true],
        [1, 22, true],
        [2, crc32c(new Uint8Array(bytes).fill(3)), false],
      ],
    );
    for (const { payload } of received) rig.memory.give(payload);
    assert.equal(lender.lent.size, 0);
  });

  it('is BUSY where there is no memory for a payload, and drops that and what comes behind it', async () => {
    const lender = new Lender();
    const store = { lease: (length: number) => lender.lease(length) };
    const refuse = (): never => {
      throw new StoreError('BUSY', 'no memory');
    };
    const memory = new IntakeMemory(store, new BytePool(1024, refuse));
    const expected = [0, 1, 2, 3, 4].map((index) => ({ index, length: bytes }));
    const intake = new SaveIntake(expected, { memory, checksums: directChecksums });
    intake.grant(5 * bytes);
    for (const index of [0, 1]) send(intake, index);
    const receiving = intake.receive(5, new AbortController().signal);
    for (const index of [2, 3]) {
      intake.begin(noticeOf(index));
      assert.equal(intake.target(bytes), undefined);
    }
    // What was lent before that, and is filled, belongs to the same save.
    intake.fill([1]);
    await assert.rejects(receiving, { code: 'BUSY', message: 'no memory' });
    await assert.rejects(intake.receive(5, new AbortController().signal), { code: 'BUSY' });
    assert.equal(lender.lent.size, 2);
    intake.discard();
    assert.equal(lender.lent.size, 0);
  });

  it('gives the memory of a payload back where there is none for what it comes compressed in', () => {
    const lender = new Lender();
    const memory = new IntakeMemory(lender, new BytePool(1024));
    const refused = new BytePool(1024, () => {
      throw new StoreError('BUSY', 'no memory');
    });
    const codec = { decode: () => Promise.reject(new Error('nothing came')) };
    const inflating = new InflatedPayloads(codec, refused, new CompressedTraffic());
    const expected = [{ index: 0, length: bytes }];
    const intake = new SaveIntake(expected, { memory, checksums: directChecksums, inflating });
    intake.grant(bytes);
    intake.begin({ ...noticeOf(0), compressed: { filter: 'none', length: 40_000 } });
    assert.deepEqual([intake.target(40_000), lender.lent.size], [undefined, 0]);
  });

  it('is BUSY where a thread had no memory to make a payload', async () => {
    const memory = new IntakeMemory(new Lender(), new BytePool(1024));
    const codec = { decode: () => Promise.reject(new StoreError('BUSY', 'no memory there')) };
    const inflating = new InflatedPayloads(codec, new BytePool(1024), new CompressedTraffic());
    const expected = [{ index: 0, length: bytes }];
    const intake = new SaveIntake(expected, { memory, checksums: directChecksums, inflating });
    intake.grant(bytes);
    intake.begin({ ...noticeOf(0), compressed: { filter: 'none', length: 40_000 } });
    intake.target(40_000);
    intake.filled(40_000);
    const receiving = intake.receive(1, new AbortController().signal);
    await assert.rejects(receiving, { code: 'BUSY', message: /no memory there/ });
  });

  it('refuses to be told of memory that is not lent, not due, or of another number', () => {
    const rig = intakeOf(new Lender(), 3);
    const refused = { code: 'INVALID' };
    assert.throws(() => rig.intake.fill([1]), refused);
    lendTo(rig, 1, 2);
    assert.throws(() => rig.intake.fill([1, 2]), refused, 'the first payload is due');
    send(rig.intake, 0);
    assert.throws(() => rig.intake.fill([1]), refused);
    assert.throws(() => rig.intake.fill([1, 2, 3]), refused);
    rig.intake.fill([1, 2]);
    assert.throws(() => rig.intake.fill([1, 2]), refused);
  });

  it('gives back what it lent when the save ends, filled or not', () => {
    const lender = new Lender();
    const rig = intakeOf(lender, 2);
    lendTo(rig, 0, 1);
    lendTo(rig, 1, 1);
    rig.intake.fill([1]);
    assert.equal(lender.lent.size, 2);
    rig.intake.discard();
    assert.equal(lender.lent.size, 0);
  });

  it('lends all memory of a group or none', () => {
    const lender = new Lender();
    const memory = new IntakeMemory(lender, new BytePool(1024));
    assert.equal(memory.lend([bytes, bytes, bytes]), undefined, 'the store has two pieces');
    assert.equal(memory.lend([bytes, 4096]), undefined, 'a short payload is sent');
    assert.equal(lender.lent.size, 0);
  });
});
