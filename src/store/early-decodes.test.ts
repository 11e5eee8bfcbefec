import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { headerOf } from '../../test/support/encoded-frames.ts';
import { inSharedMemory, smoothPayload } from '../../test/support/payloads.ts';
import { builtKernels, withoutSystemZstd } from '../../test/support/system-zstd.ts';
import { crc32c } from '../base/crc32c.ts';
import { deferred } from '../base/deferred.ts';
import { isStoreError } from '../base/errors.ts';
import { useNativeKernels } from '../base/native-kernels.ts';
import { limits } from '../blocks/limits.ts';
import { boundCrc } from '../format/frame.ts';
import { loadZstd } from '../format/zstd.ts';
import type { Zstd } from '../format/zstd.ts';
import { EarlyDecodes } from './early-decodes.ts';
import type { EarlyDecode } from './early-decodes.ts';
import { encodeNow } from './encode-now.ts';

const kib = 1024;
const zstd = loadZstd();

/** The words of this text are in no order, so that it stays long when it is compressed. */
function text(words: number): Uint8Array {
  let state = 1;
  const next = (): string => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return `${state}`;
  };
  return new TextEncoder().encode(Array.from({ length: words }, next).join(' '));
}

/** What is to be decoded, and what must come of it; fields of the header may be other ones. */
function taskOf(payload: Uint8Array, level = 1): EarlyDecode {
  const encoded = encodeNow({ payload, crc: crc32c(payload), compress: true, level }, () => zstd);
  assert.equal(encoded.codec, 'zstd');
  const target = new Uint8Array(new SharedArrayBuffer(payload.length));
  const stored = inSharedMemory(encoded.stored ?? payload);
  return { header: headerOf(payload, encoded), stored, target };
}

/** The same, with other bytes under the checksum that they have. */
function withStored(task: EarlyDecode, stored: Uint8Array): EarlyDecode {
  const { namespaceDigest, key } = task.header;
  const storedCrc = boundCrc(namespaceDigest, key, stored.length, crc32c(stored));
  return { ...task, stored, header: { ...task.header, storedCrc, storedLength: stored.length } };
}

/** Counts who decompresses; what goes to a thread ends when it is let go. */
function heldZstd(): {
  readonly held: Zstd;
  readonly here: () => number;
  readonly ends: (() => void)[];
} {
  let here = 0;
  const ends: (() => void)[] = [];
  const held: Zstd = {
    ...zstd,
    decompress: (input, byteLength) => {
      here += 1;
      return zstd.decompress(input, byteLength);
    },
    decompressLater: async (input, byteLength) => {
      const end = deferred<void>();
      ends.push(() => end.resolve());
      await end.promise;
      return zstd.decompress(input, byteLength);
    },
  };
  return { held, here: () => here, ends };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function isCorrupt(error: unknown): boolean {
  return isStoreError(error, 'CORRUPT');
}

const ways = {
  'another zstd': { skip: false, kernels: () => undefined, by: () => zstd },
  'the zstd of the system': {
    skip: withoutSystemZstd(),
    kernels: builtKernels,
    by: () => assert.fail('another one is asked'),
  },
} as const;

for (const [name, { skip, kernels, by }] of Object.entries(ways)) {
  describe(`what ${name} decodes before a worker is there`, { skip }, () => {
    before(() => useNativeKernels(kernels()));
    after(() => useNativeKernels(undefined));
    const payloads = {
      'values with smooth high bytes': smoothPayload('smooth', 700 * kib),
      'an odd number of such bytes': smoothPayload('odd', 300 * kib + 1),
      text: text(60_000),
    };
    for (const [what, payload] of Object.entries(payloads)) {
      it(`is what was encoded: ${what}`, async () => {
        const task = taskOf(payload);
        assert.ok(task.stored.length >= 64 * kib, 'a thread decompresses it');
        await new EarlyDecodes().decode(task, by);
        assert.deepEqual(new Uint8Array(task.target), payload);
      });
    }

    it('is CORRUPT when anything of it is damaged', async () => {
      const decodes = new EarlyDecodes();
      const payload = smoothPayload('damaged', 300 * kib);
      const whole = taskOf(payload);
      const { stored, header } = whole;
      for (let at = 0; at < stored.length; at += 20_011) {
        const damaged = new Uint8Array(stored);
        damaged[at] ^= 1 << (at % 8);
        await assert.rejects(decodes.decode({ ...whole, stored: damaged }, by), isCorrupt);
        // The checksum of what is stored may hold all the same.
        await assert.rejects(decodes.decode(withStored(whole, damaged), by), isCorrupt);
      }
      const cut = withStored(whole, stored.subarray(0, stored.length - 1));
      await assert.rejects(decodes.decode(cut, by), isCorrupt);
      const other = { ...whole, header: { ...header, rawCrc: header.rawCrc ^ 1 } };
      await assert.rejects(decodes.decode(other, by), isCorrupt);
      for (const rawLength of [header.rawLength - 2, header.rawLength + 2]) {
        const target = new Uint8Array(new SharedArrayBuffer(rawLength));
        const task = { header: { ...header, rawLength }, stored, target };
        await assert.rejects(decodes.decode(task, by), isCorrupt);
      }
    });
  });
}

describe('what is decoded before a worker is there', () => {
  afterEach(() => useNativeKernels(undefined));

  it('is decompressed by three threads at most, and what is short here', async () => {
    const { held, here, ends } = heldZstd();
    const decodes = new EarlyDecodes();
    const long = smoothPayload('long', 200 * kib);
    const tasks = Array.from({ length: 7 }, () => taskOf(long));
    const decoding = Promise.all(tasks.map((task) => decodes.decode(task, () => held)));
    await turn();
    assert.deepEqual([ends.length, here()], [3, 0]);
    const short = taskOf(smoothPayload('short', 40 * kib));
    await decodes.decode(short, () => held);
    assert.deepEqual([ends.length, here()], [3, 1]);
    for (let next = 0; next < 7; next += 1) {
      ends[next]();
      await turn();
      assert.equal(ends.length, Math.min(7, next + 4));
    }
    await decoding;
    for (const { target } of tasks) assert.deepEqual(new Uint8Array(target), long);
  });

  it('is BUSY when too many wait', async () => {
    const { held, ends } = heldZstd();
    const decodes = new EarlyDecodes();
    const task = taskOf(smoothPayload('waiting', 150 * kib));
    const waiting = Array.from({ length: limits.workerTasksMax + 3 }, () =>
      decodes.decode(task, () => held),
    );
    await assert.rejects(
      decodes.decode(task, () => held),
      (error) => isStoreError(error, 'BUSY'),
    );
    for (let at = 0; at < waiting.length; at += 1) {
      ends[at]();
      await waiting[at];
    }
  });

  it(
    'is not tried again with the zstd of the system once there is none',
    { skip: withoutNative() },
    async () => {
      const { held, here, ends } = heldZstd();
      let asked = 0;
      const decodeLater = (): Promise<undefined> => {
        asked += 1;
        return Promise.resolve(undefined);
      };
      useNativeKernels({ ...builtKernels(), decodeLater });
      const decodes = new EarlyDecodes();
      const long = taskOf(smoothPayload('long', 200 * kib));
      const decoding = [1, 2].map(() => decodes.decode(long, () => held));
      await turn();
      assert.deepEqual([asked, ends.length], [2, 2]);
      decoding.push(decodes.decode(long, () => held));
      await turn();
      assert.deepEqual([asked, ends.length], [2, 3]);
      for (const end of ends) end();
      assert.deepEqual(await Promise.all(decoding), [true, true, true]);
      const short = taskOf(smoothPayload('short', 40 * kib));
      assert.equal(await decodes.decode(short, () => held), true);
      assert.equal(here(), 1);
    },
  );

  it('is left alone where there is no zstd at all', async () => {
    for (const byteLength of [40 * kib, 200 * kib]) {
      const task = taskOf(smoothPayload('left', byteLength));
      assert.equal(await new EarlyDecodes().decode(task, () => undefined), false);
      assert.ok(task.target.every((byte) => byte === 0));
    }
  });
});
