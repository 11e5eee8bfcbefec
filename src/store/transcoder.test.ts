import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { AssertionError } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { namespaceDigestOf } from '../format/frame.ts';
import { WorkerPool } from '../platform/worker-pool.ts';
import { keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { headerOf } from '../../test/support/encoded-frames.ts';
import {
  inSharedMemory,
  insideLarger,
  randomPayload,
  smoothPayload,
} from '../../test/support/payloads.ts';
import { WorkerTranscoder } from './transcoder.ts';
import type { EncodedPayload } from './encode-now.ts';

const kib = 1024;

function openTranscoder(workers: number): WorkerTranscoder {
  const pool = new WorkerPool({
    module: new URL('./transcode-worker.js', import.meta.url),
    workersMax: workers,
    tasksMax: 1024,
    taskMs: 60_000,
  });
  return new WorkerTranscoder(pool, workers);
}

const transcoder = openTranscoder(2);
transcoder.warmUp();
after(() => transcoder.close());

const zstd = { compress: true, level: 1 };

function encode(
  payload: Uint8Array,
  options: { readonly compress: boolean; readonly level: number } = zstd,
): Promise<EncodedPayload> {
  return transcoder.encode({ payload, crc: crc32c(payload), ...options });
}

function sharedTarget(byteLength: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(byteLength));
}

/** Decodes what was encoded, as a reader does. */
async function decode(payload: Uint8Array, encoded: EncodedPayload): Promise<Uint8Array> {
  const header = headerOf(payload, encoded);
  const stored = inSharedMemory(encoded.stored ?? payload);
  const target = encoded.codec === 'raw' ? undefined : sharedTarget(payload.length);
  await transcoder.decode({ header, stored, target });
  return target ?? stored;
}

function isCorrupt(error: unknown): boolean {
  return isStoreError(error, 'CORRUPT');
}

describe('WorkerTranscoder', () => {
  const payloads: readonly (readonly [string, Uint8Array])[] = [
    ['no bytes', new Uint8Array(0)],
    ['one byte', Uint8Array.of(7)],
    ['bytes that do not compress', randomPayload('noise', 100 * kib)],
    ['values with smooth high bytes', smoothPayload('smooth', 200 * kib)],
    ['an odd number of such bytes', smoothPayload('odd', 100 * kib + 1)],
    ['zeros', new Uint8Array(300 * kib)],
    ['text that repeats', new TextEncoder().encode('the same words again; '.repeat(5000))],
  ];
  for (const [what, payload] of payloads) {
    it(`brings back ${what}, wherever they lie`, async () => {
      for (const bytes of [payload, inSharedMemory(payload), insideLarger(payload)]) {
        for (const options of [zstd, { compress: true, level: 9 }, { compress: false, level: 1 }]) {
          const encoded = await encode(bytes, options);
          const stored = encoded.stored ?? bytes;
          assert.equal(encoded.crcOfStored, crc32c(stored));
          assert.ok(stored.length <= payload.length, 'nothing grows');
          assert.deepEqual(new Uint8Array(await decode(bytes, encoded)), payload);
        }
      }
    });
  }

  it('stores raw what does not pay, and all when it is told to', async () => {
    const noise = await encode(randomPayload('noise', 64 * kib));
    assert.deepEqual([noise.codec, noise.stored], ['raw', undefined]);
    const told = await encode(new Uint8Array(64 * kib), { compress: false, level: 1 });
    assert.deepEqual([told.codec, told.stored], ['raw', undefined]);
  });

  it('takes 2-byte values apart where that pays, and text not', async () => {
    const values = await encode(smoothPayload('values', 256 * kib));
    assert.equal(values.codec, 'zstd');
    assert.notEqual(values.filter, 'none');
    assert.ok((values.stored?.length ?? 0) < 200 * kib, `${values.stored?.length} bytes`);
    const text = await encode(new TextEncoder().encode('the same words again; '.repeat(5000)));
    assert.deepEqual([text.codec, text.filter], ['zstd', 'none']);
  });

  it('leaves the payload as it is, and its memory to its owner', async () => {
    const payload = smoothPayload('untouched', 64 * kib);
    const copy = payload.slice();
    await encode(payload);
    assert.deepEqual(payload, copy);
  });

  it('never encodes a payload that does not match its checksum', async () => {
    for (const original of [randomPayload('noise', 5000), smoothPayload('smooth', 5000)]) {
      for (const compress of [true, false]) {
        const payload = original.slice();
        payload[4999] ^= 0x80;
        const encoding = transcoder.encode({ payload, crc: crc32c(original), compress, level: 1 });
        await assert.rejects(encoding, isCorrupt);
      }
    }
  });

  it('notices every kind of damage to stored bytes', async () => {
    for (const payload of [randomPayload('noise', 3000), smoothPayload('smooth', 60 * kib)]) {
      const encoded = await encode(payload);
      const stored = encoded.stored ?? payload;
      for (let at = 0; at < stored.length; at += Math.ceil(stored.length / 40)) {
        const damaged = stored.slice();
        damaged[at] ^= 1 << (at % 8);
        const decoding = decode(payload, { ...encoded, stored: damaged });
        await assert.rejects(decoding, isCorrupt, `byte ${at} of ${stored.length}`);
      }
      const shorter = decode(payload, { ...encoded, stored: stored.slice(0, -1) });
      await assert.rejects(shorter, isCorrupt);
    }
  });

  it('takes bytes that were stored for another key or namespace for damage', async () => {
    const payload = randomPayload('bound', 2000);
    const header = headerOf(payload, await encode(payload));
    const stored = inSharedMemory(payload);
    await transcoder.decode({ header, stored, target: undefined });
    for (const change of [
      { key: keyOf('another') },
      { namespaceDigest: namespaceDigestOf(tenant).map((byte) => byte ^ 1) },
    ]) {
      const decoding = transcoder.decode({
        header: { ...header, ...change },
        stored,
        target: undefined,
      });
      await assert.rejects(decoding, isCorrupt);
    }
  });

  it('takes a frame that decodes to other bytes for damage', async () => {
    const payload = smoothPayload('swapped', 60 * kib);
    const other = smoothPayload('another', 60 * kib);
    const encoded = await encode(other);
    const stored = inSharedMemory(encoded.stored ?? other);
    const header = { ...headerOf(other, encoded), rawCrc: crc32c(payload) };
    const target = sharedTarget(60 * kib);
    await assert.rejects(transcoder.decode({ header, stored, target }), isCorrupt);
  });

  it('takes a frame that decodes to another length for damage', async () => {
    const payload = smoothPayload('longer', 60 * kib);
    const encoded = await encode(payload);
    const stored = inSharedMemory(encoded.stored ?? payload);
    for (const rawLength of [60 * kib - 2, 60 * kib + 2]) {
      const header = { ...headerOf(payload, encoded), rawLength };
      const target = sharedTarget(rawLength);
      await assert.rejects(transcoder.decode({ header, stored, target }), isCorrupt);
    }
  });

  it('decodes into shared memory only: a worker would fill a copy of any other', async () => {
    const payload = smoothPayload('unshared', 60 * kib);
    const encoded = await encode(payload);
    const header = headerOf(payload, encoded);
    const stored = inSharedMemory(encoded.stored ?? payload);
    const target = new Uint8Array(payload.length);
    await assert.rejects(transcoder.decode({ header, stored, target }), AssertionError);
  });

  it('decodes before a worker is there, but nothing long', async () => {
    const pool = new WorkerPool({
      ...{ module: new URL('./no-such-worker.js', import.meta.url), workersMax: 1 },
      ...{ tasksMax: 1, taskMs: 60_000 },
    });
    const alone = new WorkerTranscoder(pool, 1);
    for (const [payload, isHere] of [
      [smoothPayload('early', 60 * kib), true],
      [new Uint8Array(limits.decodedInPlaceBytesMax + 1), false],
    ] as const) {
      const encoded = await encode(payload);
      const stored = inSharedMemory(encoded.stored ?? payload);
      const target = sharedTarget(payload.length);
      const decoding = alone.decode({ header: headerOf(payload, encoded), stored, target });
      if (!isHere) {
        await assert.rejects(decoding, (error) => isStoreError(error, 'UNAVAILABLE'));
        continue;
      }
      await decoding;
      assert.deepEqual(new Uint8Array(target), payload);
    }
    await alone.close();
  });

  it('does many tasks at once', async () => {
    const tasks = Array.from({ length: 64 }, async (_, index) => {
      const make = index % 2 === 0 ? smoothPayload : randomPayload;
      const payload = make(`task-${index}`, 1000 + 997 * index);
      assert.deepEqual(new Uint8Array(await decode(payload, await encode(payload))), payload);
    });
    await Promise.all(tasks);
  });

  it('rejects with CLOSED what it has when it is closed, and all after that', async () => {
    const closing = openTranscoder(1);
    const payload = smoothPayload('closing', 256 * kib);
    const task = { payload, crc: crc32c(payload), ...zstd };
    const tasks = Array.from({ length: 5 }, () => closing.encode(task));
    const outcomes = Promise.allSettled(tasks);
    await closing.close();
    const failed = (await outcomes).filter(({ status }) => status === 'rejected');
    assert.ok(failed.length >= 4, `${failed.length} tasks were rejected`);
    await assert.rejects(closing.encode(task), (error) => isStoreError(error, 'CLOSED'));
  });
});
