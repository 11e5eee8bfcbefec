import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inSharedMemory, randomPayload, smoothPayload } from '../../test/support/payloads.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { loadZstd } from '../format/zstd.ts';
import { encodeNow } from './encode-now.ts';
import type { EncodeTask } from './encode-now.ts';
import { encodeLong, LongEncodes } from './long-encodes.ts';
import type { LongEncoded, LongEncodeTask } from './long-encodes.ts';

const zstd = loadZstd();
const kib = 1024;

function taskOf(payload: Uint8Array, crc = crc32c(payload)): EncodeTask {
  return { payload: inSharedMemory(payload), crc, compress: true, level: 1 };
}

/** Long encodes whose worker's half runs here, without messages: memory can be told by its identity. */
function rig(): { encodes: LongEncodes; targets: (Uint8Array | undefined)[] } {
  const targets: (Uint8Array | undefined)[] = [];
  const inWorker = async (task: LongEncodeTask): Promise<LongEncoded> => {
    targets.push(task.target);
    return encodeLong(task, () => zstd).result;
  };
  return { encodes: new LongEncodes(inWorker), targets };
}

describe('LongEncodes', () => {
  it('has the next payload encoded into memory that was released', async () => {
    const { encodes, targets } = rig();
    for (let round = 0; round < 3; round += 1) {
      const task = taskOf(smoothPayload(`round ${round}`, 300 * kib));
      const { release, ...encoded } = await encodes.encode(task);
      const { stored, ...alone } = encodeNow(task, () => zstd);
      assert.equal(encoded.stored?.buffer, targets[round]?.buffer);
      assert.deepEqual({ ...encoded, stored: undefined }, { ...alone, stored: undefined });
      assert.deepEqual(Buffer.from(encoded.stored ?? []), Buffer.from(stored ?? []));
      release?.();
      // Once more gives nothing back.
      release?.();
    }
    assert.equal(new Set(targets).size, 1);
  });

  it('gives no memory to two payloads', async () => {
    const { encodes, targets } = rig();
    const tasks = [1, 2, 3].map((seed) => taskOf(smoothPayload(`${seed}`, 300 * kib)));
    const first = await Promise.all(tasks.map((task) => encodes.encode(task)));
    assert.equal(new Set(targets).size, 3);
    first[1].release?.();
    const next = await encodes.encode(tasks[1]);
    assert.equal(next.stored?.buffer, first[1].stored?.buffer);
    for (const [index, { stored, crcOfStored }] of [first[0], next, first[2]].entries()) {
      assert.equal(crc32c(stored ?? new Uint8Array(0)), crcOfStored, `payload ${index}`);
    }
  });

  it('keeps the memory at once when the payload is stored as it is', async () => {
    const { encodes, targets } = rig();
    for (const seed of ['one', 'two']) {
      const encoded = await encodes.encode(taskOf(randomPayload(seed, 300 * kib)));
      assert.deepEqual(
        [encoded.codec, encoded.stored, encoded.release],
        ['raw', undefined, undefined],
      );
    }
    assert.equal(targets[0], targets[1]);
  });

  it('keeps nothing when there is nothing to do for a while', async () => {
    const { encodes, targets } = rig();
    const task = taskOf(smoothPayload('rest', 300 * kib));
    const { release } = await encodes.encode(task);
    encodes.rest();
    release?.();
    await encodes.encode(task);
    assert.notEqual(targets[0], targets[1]);
  });

  it('takes no memory for what is not compressed, and what is too long to keep', async () => {
    const { encodes, targets } = rig();
    await encodes.encode({ ...taskOf(smoothPayload('raw', 300 * kib)), compress: false });
    await encodes.encode(taskOf(new Uint8Array(limits.encodedInPlaceBytesMax + 1)));
    assert.deepEqual(targets, [undefined, undefined]);
  });

  it('rejects as the worker does', async () => {
    const { encodes } = rig();
    const damaged = encodes.encode(taskOf(smoothPayload('damaged', 300 * kib), 1));
    await assert.rejects(damaged, (error) => isStoreError(error, 'CORRUPT'));
  });
});
