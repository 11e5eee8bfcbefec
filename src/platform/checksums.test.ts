import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32cByTable } from '../base/crc32c.ts';
import { ThreadChecksums } from './checksums.ts';
import { needMemory, processMemory } from './payload-memory.ts';

const size = 256 * 1024;
const opened: ThreadChecksums[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

/** Payloads of shared memory, each of other bytes. */
function payloads(count: number): readonly Uint8Array[] {
  return Array.from({ length: count }, (_, index) =>
    needMemory(processMemory, size).fill(index + 1),
  );
}

/** A thread that has started, which takes some bytes. */
async function started(): Promise<ThreadChecksums> {
  const checksums = new ThreadChecksums();
  opened.push(checksums);
  const bytes = needMemory(processMemory, 33 * 1024 * 1024);
  for (let tries = 0; typeof checksums.of(bytes) === 'number'; tries += 1) {
    assert.ok(tries < 1000, 'the thread starts');
    await sleep(10);
  }
  return checksums;
}

describe('a thread for checksums', () => {
  it('gives the same as the table, for many payloads at once', async () => {
    const checksums = await started();
    const all = payloads(20);
    const sums = await Promise.all(all.map((bytes) => Promise.resolve(checksums.of(bytes))));
    assert.deepEqual(
      sums,
      all.map((bytes) => crc32cByTable(0, bytes)),
    );
  });

  it('computes at once what is short, not shared, or asked for before it has started', async () => {
    const fresh = new ThreadChecksums();
    opened.push(fresh);
    const [bytes] = payloads(1);
    assert.equal(fresh.of(bytes), crc32cByTable(0, bytes));
    const checksums = await started();
    const own = new Uint8Array(size).fill(7);
    assert.equal(checksums.of(own), crc32cByTable(0, own));
    assert.equal(checksums.of(bytes.subarray(0, 100)), crc32cByTable(0, bytes.subarray(0, 100)));
  });

  it('answers what waits when it is closed, and what is asked for later', async () => {
    const checksums = await started();
    const all = payloads(8);
    const sums = all.map((bytes) => Promise.resolve(checksums.of(bytes)));
    await checksums.close();
    const expected = all.map((bytes) => crc32cByTable(0, bytes));
    assert.deepEqual(await Promise.all(sums), expected);
    assert.equal(checksums.of(all[0]), expected[0]);
  });
});
