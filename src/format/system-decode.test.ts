import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { goldenFrames } from '../../test/golden/frames.ts';
import { syntheticKv } from '../../test/golden/synthetic-kv.ts';
import { inSharedMemory } from '../../test/support/payloads.ts';
import { builtKernels, withoutSystemZstd } from '../../test/support/system-zstd.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError } from '../base/errors.ts';
import { useNativeKernels } from '../base/native-kernels.ts';
import type { Filter } from './frame.ts';
import { encodePayload, shuffle2 } from './payload-codec.ts';
import type { StoredPayload } from './payload-codec.ts';
import { decodeBySystem, decodeBySystemLater } from './system-decode.ts';
import { loadZstd } from './zstd.ts';

const zstd = loadZstd();
const guardBytes = 64;
const guard = 0xa5;

/** The payload as it would be stored with that filter, whether that pays or not. */
function storedWith(filter: Filter, raw: Uint8Array): StoredPayload {
  const planes = shuffle2(raw);
  const lows = raw.length >>> 1;
  const stored = {
    none: () => zstd.compress(raw, 1),
    shuffle2: () => zstd.compress(planes, 1),
    split2: () =>
      Buffer.concat([planes.subarray(0, lows), zstd.compress(planes.subarray(lows), 1)]),
  }[filter]();
  return { codec: 'zstd', filter, stored: inSharedMemory(stored), rawLength: raw.length };
}

/** Memory that threads share, with bytes on both sides that nobody may write. */
function guarded(byteLength: number): { readonly target: Uint8Array; readonly check: () => void } {
  const all = new Uint8Array(new SharedArrayBuffer(byteLength + 2 * guardBytes)).fill(guard);
  const check = (): void => {
    const beside = [...all.subarray(0, guardBytes), ...all.subarray(guardBytes + byteLength)];
    assert.ok(
      beside.every((byte) => byte === guard),
      'nothing is written beside the target',
    );
  };
  return { target: all.subarray(guardBytes, guardBytes + byteLength), check };
}

/** What came of it: bytes, or that they are damaged. Any other error is one of the test. */
function outcomeOf(
  decode: (target: Uint8Array) => void,
  byteLength: number,
): Uint8Array | 'corrupt' {
  const { target, check } = guarded(byteLength);
  try {
    decode(target);
    return new Uint8Array(target);
  } catch (error) {
    assert.ok(isStoreError(error, 'CORRUPT'), String(error));
    return 'corrupt';
  } finally {
    check();
  }
}

describe('payloads decoded by the zstd of the system', { skip: withoutSystemZstd() }, () => {
  before(() => useNativeKernels(builtKernels()));
  after(() => useNativeKernels(undefined));

  it('are what was encoded, by any filter and of any length, here and by a thread', async () => {
    for (const filter of ['none', 'shuffle2', 'split2'] as const) {
      for (const length of [1, 2, 3, 255, 256, 4099, 131_072, 131_073, 1_000_001]) {
        const raw = syntheticKv('bf16', length);
        const payload = storedWith(filter, raw);
        const { target, check } = guarded(length);
        assert.equal(decodeBySystem(payload, target), crc32c(raw), `${filter} ${length}`);
        assert.deepEqual(new Uint8Array(target), raw);
        target.fill(0);
        assert.equal(await decodeBySystemLater(payload, target), crc32c(raw));
        assert.deepEqual(new Uint8Array(target), raw);
        check();
      }
    }
  });

  it('are the golden frames', () => {
    for (const { header, stored, raw, name } of goldenFrames()) {
      const { codec, filter, rawLength } = header;
      const target = new Uint8Array(rawLength);
      const crc = decodeBySystem({ codec, filter, stored, rawLength }, target);
      assert.equal(crc, codec === 'raw' ? undefined : header.rawCrc, name);
      if (codec !== 'raw') assert.deepEqual(target, raw, name);
    }
  });

  it('are decoded by several threads at a time, while others are damaged', async () => {
    const raw = syntheticKv('f16', 300_000);
    const whole = storedWith('shuffle2', raw);
    const damaged = new Uint8Array(whole.stored);
    for (let at = 1000; at < damaged.length - 10; at += 999) damaged[at] ^= 0x55;
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const { target, check } = guarded(raw.length);
        if (index % 2 === 0) {
          assert.equal(await decodeBySystemLater(whole, target), crc32c(raw));
        } else {
          const crc = await decodeBySystemLater({ ...whole, stored: damaged }, target).catch(
            (error: unknown) => {
              assert.ok(isStoreError(error, 'CORRUPT'), String(error));
            },
          );
          assert.notEqual(crc, crc32c(raw));
        }
        check();
      }),
    );
  });

  for (const filter of ['none', 'shuffle2', 'split2'] as const) {
    it(`never lie beyond their place, of frames that are changed anywhere: ${filter}`, () => {
      const raw = syntheticKv('bf16', 3001);
      const whole = storedWith(filter, raw);
      const { stored } = whole;
      const changes = fc.array(fc.tuple(fc.nat(stored.length - 1), fc.nat(255)), { maxLength: 5 });
      const lengths = fc.constantFrom(raw.length, raw.length - 1, raw.length + 1, 1, 100_000);
      fc.assert(
        fc.property(changes, fc.nat(30), lengths, (places, cut, rawLength) => {
          const changed = new Uint8Array(stored.slice(0, stored.length - (cut > 20 ? cut : 0)));
          for (const [at, value] of places) if (at < changed.length) changed[at] = value;
          const payload = { ...whole, stored: changed, rawLength };
          const outcome = outcomeOf((target) => void decodeBySystem(payload, target), rawLength);
          // Versions of zstd differ in what they make of a damaged frame; a checksum finds that.
          if (Buffer.from(stored).equals(changed) && rawLength === raw.length) {
            assert.deepEqual(outcome, raw);
          }
        }),
        { numRuns: 1000 },
      );
    });
  }

  it('are never longer than the memory for them, whatever a frame says of itself', () => {
    const raw = syntheticKv('bf16', 200_000);
    const frame = zstd.compress(raw, 1);
    for (const length of [0, 1, 199_999, 200_001]) {
      const { target, check } = guarded(length);
      const decode = (): unknown => builtKernels().decode(target, frame, new Uint8Array(0), false);
      assert.throws(decode, Error);
      check();
    }
    const none = new Uint8Array(0);
    const { target, check } = guarded(200_000);
    for (const bytes of [none, frame.subarray(0, 3), new Uint8Array(100), frame.subarray(1)]) {
      assert.throws(() => builtKernels().decode(target, bytes, none, true), Error);
    }
    check();
  });

  it('take arguments that go together', () => {
    const code = builtKernels() as unknown as Record<string, (...values: unknown[]) => unknown>;
    const bytes = new Uint8Array(64);
    for (const name of ['decode', 'decodeLater']) {
      assert.throws(() => code[name](bytes, bytes), /a typed array was expected/);
      assert.throws(() => code[name](bytes, bytes, bytes, 1), /a boolean was expected/);
      assert.throws(() => code[name](bytes, bytes, bytes.subarray(0, 31), true), RangeError);
      assert.throws(() => code[name](bytes, bytes, bytes.subarray(0, 32), false), RangeError);
    }
  });
});

it('a payload is left to others without native code, or when it is not compressed', async () => {
  const raw = syntheticKv('bf16', 5000);
  const encoded = encodePayload(raw, { compress: true, level: 1 }, zstd);
  const payload = { ...encoded, rawLength: raw.length };
  const target = new Uint8Array(raw.length);
  assert.equal(decodeBySystem(payload, target), undefined);
  assert.equal(await decodeBySystemLater(payload, target), undefined);
  assert.ok(target.every((byte) => byte === 0));
  const plain: StoredPayload = { codec: 'raw', filter: 'none', stored: raw, rawLength: raw.length };
  assert.equal(decodeBySystem(plain, target), undefined);
});
