import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import {
  insideLarger,
  inSharedMemory,
  randomPayload,
  smoothPayload,
} from '../../test/support/payloads.ts';
import { assertDefined } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import { loadZstd } from '../format/zstd.ts';
import { wireFilters } from '../protocol/read-messages.ts';
import { CompressionAhead } from './compression-ahead.ts';
import { WireCodec } from './wire-codec.ts';
import { decodeFromWire, encodeForWire } from './wire-tasks.ts';

describe('a codec for the wire', () => {
  let codec: WireCodec;
  before(() => {
    codec = new WireCodec('auto');
  });
  after(() => codec.close());

  it('gives back what it took, wherever that lies, in fewer bytes', async () => {
    assert.equal(await codec.start(), true);
    for (const length of [limits.wireCompressBytesMin, 100_001, 1_500_000]) {
      const payload = smoothPayload(length, length);
      for (const place of [inSharedMemory(payload), insideLarger(payload)]) {
        const encoded = assertDefined(await codec.encode(place), 'encoded');
        const { form, stored } = assertDefined(encoded.compressed, 'compressed');
        assert.ok(stored.length === form.length && form.length < 0.8 * length);
        const target = inSharedMemory(new Uint8Array(length));
        assert.equal(await codec.decode(inSharedMemory(stored), form, target), encoded.crc);
        assert.ok(Buffer.from(target).equals(payload));
        assert.equal(encoded.crc, crc32c(payload));
      }
    }
  });

  it('leaves what does not shrink, and what is too short or too long', async () => {
    const noise = randomPayload('noise', 100_000);
    assert.deepEqual(await codec.encode(noise), { crc: crc32c(noise), compressed: undefined });
    const { wireCompressBytesMin: least, wireCompressBytesMax: most } = limits;
    for (const length of [0, least - 1, most + 1]) {
      assert.equal(await codec.encode(new Uint8Array(length)), undefined);
    }
    assert.equal(codec.failures, 0);
  });

  it('gives payloads in their order, some made ahead and no more', async () => {
    const begun: number[] = [];
    const slow = {
      encode: async ({ length }: Uint8Array) => {
        begun.push(length);
        // The later the sooner.
        await new Promise((resolve) => setTimeout(resolve, 20 - length));
        return { crc: length, compressed: undefined };
      },
    };
    const ahead = new CompressionAhead(
      slow,
      Array.from({ length: 10 }, (_, length) => new Uint8Array(length)),
    );
    for (let index = 0; index < 10; index += 1) {
      assert.equal((await ahead.take())?.crc, index);
      assert.ok(begun.length <= index + limits.wireAheadMax);
    }
    assert.equal(await ahead.take(), undefined);
  });

  it('sends what cannot be compressed as it is, and counts it', async () => {
    const closed = new WireCodec('auto');
    await closed.close();
    assert.equal(await closed.start(), false);
    assert.equal(await closed.encode(smoothPayload('closed', 100_000)), undefined);
    assert.equal(closed.failures, 2);
  });
});

/** Goal: any bytes decode to a payload of the length, or not at all. Method: true forms altered and cut, and noise. */
describe('the decoder of compressed payloads', () => {
  const zstd = loadZstd();
  const payload = smoothPayload('decoder', 20_000);
  const { compressed } = encodeForWire(payload, zstd);
  const { form, stored } = assertDefined(compressed, 'compressed');
  const guard = 64;

  it('answers any bytes with our own error or a checksum, and writes nowhere else', () => {
    const changed = fc
      .array(fc.tuple(fc.nat(stored.length - 1), fc.nat(255)), { maxLength: 4 })
      .map((changes) => {
        const copy = Uint8Array.from(stored);
        for (const [at, value] of changes) copy[at] = value;
        return copy;
      });
    const cut = fc.nat(stored.length).map((length) => stored.subarray(0, length));
    const bytes = fc.oneof(changed, cut, fc.uint8Array({ maxLength: 200 }));
    let decoded = 0;
    fc.assert(
      fc.property(bytes, fc.constantFrom(form.filter, ...wireFilters), (input, filter) => {
        const memory = inSharedMemory(new Uint8Array(payload.length + 2 * guard).fill(7));
        const target = memory.subarray(guard, guard + payload.length);
        try {
          const crc = decodeFromWire(input, filter, target, zstd);
          assert.equal(crc, crc32c(target));
          decoded += 1;
        } catch (error) {
          assert.ok(error instanceof StoreError && isStoreError(error, 'CORRUPT'), String(error));
        }
        const around = [...memory.subarray(0, guard), ...memory.subarray(guard + payload.length)];
        assert.ok(around.every((byte) => byte === 7));
      }),
      { numRuns: 2000 },
    );
    assert.ok(decoded > 0);
  });
});
