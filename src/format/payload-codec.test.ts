import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { isStoreError } from '../base/errors.ts';
import { crc32c } from '../base/crc32c.ts';
import { useNativeKernels } from '../base/native-kernels.ts';
import { nativeCode } from '../platform/native.ts';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { goldenFrames } from '../../test/golden/frames.ts';
import { syntheticKv } from '../../test/golden/synthetic-kv.ts';
import { decodePayloadInto, encodePayload, shuffle2, unshuffle2Into } from './payload-codec.ts';
import type { EncodedPayload, StoredPayload } from './payload-codec.ts';
import { loadZstd } from './zstd.ts';
import type { Zstd } from './zstd.ts';

const zstd = loadZstd();
const level1 = { compress: true, level: 1 } as const;

describe('shuffle2()', () => {
  it('puts low bytes first, then high bytes, then an odd last byte', () => {
    assert.deepEqual([...shuffle2(Uint8Array.of(1, 2, 3, 4, 5, 6, 7))], [1, 3, 5, 2, 4, 6, 7]);
    assert.deepEqual([...shuffle2(Uint8Array.of())], []);
    assert.deepEqual([...shuffle2(Uint8Array.of(9))], [9]);
    const eight = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9);
    assert.deepEqual([...shuffle2(eight)], [1, 3, 5, 7, 2, 4, 6, 8, 9]);
  });

  it('is what plain loops do, at every length and alignment, and is undone', () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(bytes, fc.nat(4), fc.nat(4), (source, sourceOffset, targetOffset) => {
        const shifted = new Uint8Array(source.length + 4).subarray(sourceOffset);
        shifted.set(source);
        const shuffled = shuffle2(shifted.subarray(0, source.length));
        assert.deepEqual(shuffled, shuffledPlainly(source));
        const target = new Uint8Array(new SharedArrayBuffer(source.length + 4));
        const back = target.subarray(targetOffset, targetOffset + source.length);
        unshuffle2Into(shuffled, back);
        assert.deepEqual([...back], [...source]);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('unshuffle2Into() in native code', { skip: withoutNative() }, () => {
  afterEach(() => useNativeKernels(undefined));

  it('undoes what plain loops do, at every length and alignment', () => {
    const { code } = nativeCode('auto');
    assert.notEqual(code, undefined);
    const payload = Uint8Array.from({ length: 9000 }, (_, i) => (i * i * 17 + i) % 253);
    const lengths = fc.oneof(fc.nat(100), fc.nat(8000));
    fc.assert(
      fc.property(lengths, fc.nat(99), fc.nat(9), (length, start, offset) => {
        const source = payload.subarray(start, start + length);
        const planes = new Uint8Array(length + offset).subarray(offset);
        planes.set(shuffledPlainly(source));
        const target = new Uint8Array(new SharedArrayBuffer(length + 9)).fill(0xa5);
        useNativeKernels(code);
        unshuffle2Into(planes, target.subarray(offset, offset + length));
        assert.deepEqual(
          Buffer.from(target.subarray(offset, offset + length)),
          Buffer.from(source),
        );
        const beside = [...target.subarray(0, offset), ...target.subarray(offset + length)];
        assert.ok(beside.every((byte) => byte === 0xa5));
      }),
      { numRuns: 500 },
    );
  });
});

describe('encodePayload()', () => {
  it('shuffles and compresses KV of 2-byte floats', () => {
    const kv = syntheticKv('bf16', 1024 * 1024);
    const encoded = encodePayload(kv, level1, zstd);
    assert.deepEqual([encoded.codec, encoded.filter], ['zstd', 'split2']);
    assert.ok(encoded.stored.length < 0.8 * kv.length, `${encoded.stored.length} bytes`);
    assert.deepEqual(decoded(encoded, kv.length), kv);
  });

  it('shuffles all of it where low bytes compress too', () => {
    const values = new Uint8Array(400_000);
    for (let i = 0; i < values.length; i += 2) {
      values[i] = (i >>> 1) % 7 === 0 ? (i * 13) & 15 : 3;
      values[i + 1] = 60 + ((i * 31) % 5);
    }
    const encoded = encodePayload(values, level1, zstd);
    assert.notEqual(encoded.filter, 'split2');
    assert.deepEqual(decoded(encoded, values.length), values);
  });

  it('gives back any payload of 2-byte floats, odd lengths and odd places included', () => {
    const kv = syntheticKv('f16', 300_001);
    for (const length of [4096, 65_537, 299_999]) {
      for (const start of [0, 1, 2]) {
        const payload = kv.subarray(start, start + length);
        assert.deepEqual(decoded(encodePayload(payload, level1, zstd), length), payload.slice());
      }
    }
  });

  it('compresses text without shuffling it', () => {
    const text = Uint8Array.from(Buffer.from('the quick brown wombat digs. '.repeat(20_000)));
    const encoded = encodePayload(text, level1, zstd);
    assert.deepEqual([encoded.codec, encoded.filter], ['zstd', 'none']);
    assert.deepEqual(decoded(encoded, text.length), text);
  });

  it('stores the payload itself when it gains less than 5 %, is short, or is not to be', () => {
    const noise = noiseBytes(300_000);
    const short = new Uint8Array(127);
    for (const [payload, compress] of [
      [noise, true],
      [noise.subarray(0, 5000), true],
      [short, true],
      [new Uint8Array(0), true],
      [new Uint8Array(5000), false],
    ] as const) {
      const encoded = encodePayload(payload, { compress, level: 1 }, zstd);
      assert.deepEqual([encoded.codec, encoded.filter], ['raw', 'none']);
      assert.equal(encoded.stored, payload);
    }
    assert.equal(encodePayload(new Uint8Array(128), level1, zstd).codec, 'zstd');
  });

  it('compresses a short payload once for each way, and stores the best of them', () => {
    const calls: number[] = [];
    const counting: Zstd = {
      ...zstd,
      compress: (input, level) => {
        calls.push(input.length);
        return zstd.compress(input, level);
      },
    };
    const text = Uint8Array.from(Buffer.from('the quick brown wombat digs. '.repeat(140)));
    for (const payload of [text, syntheticKv('bf16', 4096), new Uint8Array(4096)]) {
      calls.length = 0;
      const encoded = encodePayload(payload, level1, counting);
      assert.equal(encoded.codec, 'zstd');
      assert.deepEqual(decoded(encoded, payload.length), payload);
      const { length } = payload;
      assert.deepEqual(
        [...calls].sort((a, b) => a - b),
        [length - (length >>> 1), length, length],
      );
      assert.ok(encoded.stored.length <= 1.01 * zstd.compress(payload, 1).length);
    }
  });

  it('puts what is stored of a long payload where it is told to, if there is room', () => {
    const values = noiseBytes(400_000).map((byte, at) =>
      at % 2 === 0 ? byte & 15 : 60 + (byte >>> 6),
    );
    const text = Uint8Array.from(Buffer.from('the quick brown wombat digs. '.repeat(20_000)));
    const filters = new Set<string>();
    for (const payload of [values, text, syntheticKv('bf16', 300_001)]) {
      const alone = encodePayload(payload, level1, zstd);
      const room = new Uint8Array(payload.length);
      const placed = encodePayload(payload, level1, zstd, room);
      assert.equal(placed.stored.buffer, room.buffer);
      assert.equal(placed.stored.byteOffset, 0);
      assert.deepEqual(placed, { ...alone, stored: placed.stored });
      assert.ok(Buffer.from(placed.stored).equals(Buffer.from(alone.stored)));
      const tooShort = new Uint8Array(alone.stored.length - 1);
      const elsewhere = encodePayload(payload, level1, zstd, tooShort);
      assert.notEqual(elsewhere.stored.buffer, tooShort.buffer);
      assert.ok(Buffer.from(elsewhere.stored).equals(Buffer.from(alone.stored)));
      filters.add(placed.filter);
    }
    assert.deepEqual([...filters].sort(), ['none', 'shuffle2', 'split2']);
  });

  it('stores raw when the sample gains but the whole does not, or the sample does not', () => {
    const slice = 64 * 1024;
    const compressible = noiseBytes(20 * slice);
    compressible.fill(0, 0, slice);
    assert.equal(encodePayload(compressible, level1, zstd).codec, 'raw');
    const hidden = noiseBytes(20 * slice);
    hidden.fill(0, 2 * slice, 8 * slice);
    assert.equal(encodePayload(hidden, level1, zstd).codec, 'raw');
  });

  it('comes back for any payload, level and kind of memory', () => {
    const unit = fc.uint8Array({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(unit, fc.integer({ min: 1, max: 400 }), fc.constantFrom(1, 3, 9), check),
      { numRuns: 200 },
    );
    function check(bytes: Uint8Array, count: number, level: number): void {
      const payload = new Uint8Array(new SharedArrayBuffer(bytes.length * count));
      for (let i = 0; i < count; i += 1) payload.set(bytes, i * bytes.length);
      const encoded = encodePayload(payload, { compress: true, level }, zstd);
      assert.ok(encoded.stored.length <= payload.length);
      assert.deepEqual([...decoded(encoded, payload.length)], [...payload]);
    }
  });
});

describe('decodePayloadInto()', () => {
  it('decodes every golden frame', () => {
    for (const { header, stored, raw, name } of goldenFrames()) {
      const { codec, filter, rawLength } = header;
      const target = new Uint8Array(rawLength);
      decodePayloadInto({ codec, filter, stored, rawLength }, target, zstd);
      assert.deepEqual(target, raw, name);
      assert.equal(crc32c(target), header.rawCrc);
    }
  });

  it('undoes a filter without a codec as well', () => {
    const stored = shuffle2(noiseBytes(301));
    const target = new Uint8Array(301);
    decodePayloadInto({ codec: 'raw', filter: 'shuffle2', stored, rawLength: 301 }, target, zstd);
    assert.deepEqual(target, noiseBytes(301));
  });

  it('refuses what does not make exactly the raw length', () => {
    const text = Uint8Array.from(Buffer.from('wombat '.repeat(5000)));
    const { stored } = encodePayload(text, level1, zstd);
    const zstdText = { codec: 'zstd', filter: 'none', stored, rawLength: text.length } as const;
    const wrong: StoredPayload[] = [
      { ...zstdText, rawLength: text.length - 1 },
      { ...zstdText, rawLength: text.length + 1 },
      { ...zstdText, rawLength: 0 },
      { ...zstdText, stored: stored.subarray(0, -1) },
      { ...zstdText, stored: stored.subarray(1) },
      { ...zstdText, stored: new Uint8Array(0) },
      { ...zstdText, codec: 'raw' },
      { codec: 'raw', filter: 'shuffle2', stored: text, rawLength: text.length + 2 },
      { codec: 'raw', filter: 'split2', stored: text, rawLength: text.length + 1 },
      { codec: 'zstd', filter: 'split2', stored: text, rawLength: 2 * text.length + 2 },
      { codec: 'zstd', filter: 'split2', stored: text, rawLength: text.length },
    ];
    for (const payload of wrong) {
      const target = new Uint8Array(payload.rawLength);
      const decode = (): void => decodePayloadInto(payload, target, zstd);
      assert.throws(decode, (error) => isStoreError(error, 'CORRUPT'));
    }
  });

  it('throws nothing but StoreError for frames changed anywhere', () => {
    const text = syntheticKv('bf16', 3000);
    const { stored } = encodePayload(text, level1, zstd);
    const changes = fc.array(fc.tuple(fc.nat(stored.length - 1), fc.nat(255)), { maxLength: 5 });
    fc.assert(
      fc.property(changes, (places) => {
        const changed = Uint8Array.from(stored);
        for (const [position, value] of places) changed[position] = value;
        const target = new Uint8Array(text.length);
        try {
          for (const filter of ['shuffle2', 'split2'] as const) {
            const payload = { codec: 'zstd', filter, rawLength: text.length } as const;
            decodePayloadInto({ ...payload, stored: changed }, target, zstd);
          }
        } catch (error) {
          assert.ok(isStoreError(error, 'CORRUPT'), String(error));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function decoded(encoded: EncodedPayload, rawLength: number): Uint8Array {
  const target = new Uint8Array(rawLength);
  decodePayloadInto({ ...encoded, rawLength }, target, zstd);
  return target;
}

function shuffledPlainly(source: Uint8Array): Uint8Array {
  const pairs = source.length - (source.length % 2);
  const low = [...source.subarray(0, pairs)].filter((_, i) => i % 2 === 0);
  const high = [...source.subarray(0, pairs)].filter((_, i) => i % 2 === 1);
  return Uint8Array.from([...low, ...high, ...source.subarray(pairs)]);
}

function noiseBytes(byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  let state = 1;
  for (let i = 0; i < byteLength; i += 1) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    bytes[i] = state >> 16;
  }
  return bytes;
}
