import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { randomPayload, smoothPayload } from '../../test/support/payloads.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { loadZstd } from '../format/zstd.ts';
import { encodeNow } from './encode-now.ts';
import type { EncodedPayload, EncodeTask } from './encode-now.ts';
import { encodeTogether, ShortEncodes } from './short-encodes.ts';

const zstd = loadZstd();

function taskOf(payload: Uint8Array, crc = crc32c(payload)): EncodeTask {
  return { payload, crc, compress: true, level: 1 };
}

/** Short encodes that the worker's half does in a later turn, and how many went together. */
function encodes(): { encodes: ShortEncodes; messages: number[] } {
  const messages: number[] = [];
  const inWorker = async (tasks: readonly EncodeTask[]): ReturnType<typeof sent> => {
    messages.push(tasks.length);
    return sent(tasks);
  };
  return { encodes: new ShortEncodes({ here: encodedHere, inWorker }), messages };
}

function encodedHere(task: EncodeTask): EncodedPayload {
  return encodeNow(task, () => zstd);
}

async function sent(tasks: readonly EncodeTask[]): Promise<ReturnType<typeof encodeTogether>> {
  await new Promise(setImmediate);
  // As a message brings it.
  return structuredClone(encodeTogether(tasks, () => zstd));
}

describe('ShortEncodes', () => {
  it('gives each payload what it would give alone, though they go together', async () => {
    const rig = encodes();
    const payloads = Array.from({ length: 40 }, (_, index) => {
      const length = index * 301;
      return index % 3 === 0
        ? randomPayload(`${index}`, length)
        : smoothPayload(`${index}`, length);
    });
    const encoded = await Promise.all(
      payloads.map((payload) => rig.encodes.encode(taskOf(payload))),
    );
    for (const [index, payload] of payloads.entries()) {
      const { stored, ...rest } = encodeNow(taskOf(payload), () => zstd);
      const { stored: together, ...restTogether } = encoded[index];
      assert.deepEqual(restTogether, rest);
      assert.deepEqual(together && Buffer.from(together), stored && Buffer.from(stored));
    }
    assert.ok(encoded.some(({ codec }) => codec === 'zstd'));
    assert.ok(encoded.some(({ codec }) => codec === 'raw'));
    assert.deepEqual(rig.messages, [16, 16, 8]);
  });

  it('encodes one alone without a worker, and says when it is damaged', async () => {
    const rig = encodes();
    const task = taskOf(smoothPayload('alone', 5000));
    assert.deepEqual(await rig.encodes.encode(task), encodedHere(task));
    const damaged = rig.encodes.encode(taskOf(smoothPayload('damaged', 5000), 1));
    await assert.rejects(damaged, (error) => isStoreError(error, 'CORRUPT'));
    assert.deepEqual(rig.messages, []);
  });

  it('tells of a damaged payload its owner alone', async () => {
    const rig = encodes();
    const sound = taskOf(smoothPayload('sound', 5000));
    const outcomes = await Promise.allSettled([
      rig.encodes.encode(sound),
      rig.encodes.encode(taskOf(smoothPayload('damaged', 5000), 1)),
      rig.encodes.encode(sound),
    ]);
    const [first, second, third] = outcomes;
    assert.ok(second.status === 'rejected' && isStoreError(second.reason, 'CORRUPT'));
    assert.ok(first.status === 'fulfilled' && third.status === 'fulfilled');
    assert.deepEqual(first.value, third.value);
    assert.equal(crc32c(first.value.stored ?? sound.payload), first.value.crcOfStored);
  });

  it('fails those that a message had, and goes on with the next', async () => {
    let count = 0;
    const inWorker = (tasks: readonly EncodeTask[]): ReturnType<typeof sent> => {
      count += 1;
      const died = new StoreError('UNAVAILABLE', 'the worker died');
      return count === 1 ? Promise.reject(died) : sent(tasks);
    };
    const failing = new ShortEncodes({ here: encodedHere, inWorker });
    const task = taskOf(randomPayload('x', 1000));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, () => failing.encode(task)),
    );
    const failed = outcomes.filter(({ status }) => status === 'rejected');
    assert.equal(failed.length, limits.shortEncodesTogetherMax);
    assert.equal((await failing.encode(task)).codec, 'raw');
  });

  it('is BUSY when too many wait', async () => {
    const rig = encodes();
    const task = taskOf(new Uint8Array(1));
    const waiting = Array.from({ length: limits.workerTasksMax }, () => rig.encodes.encode(task));
    await assert.rejects(rig.encodes.encode(task), (error) => isStoreError(error, 'BUSY'));
    await Promise.all(waiting);
  });
});
