import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blake3Hex } from '../base/blake3.ts';
import { concatBytes } from '../base/bytes.ts';
import { isStoreError } from '../base/errors.ts';
import { goldenFiles, packageRoot } from '../../test/golden/golden.ts';
import { decodeOrRefuse, sweepChanges } from '../../test/golden/legacy-sweep.ts';
import { rustObjects } from '../../test/golden/rust-bucket.ts';
import { decodeLegacyBody, encodeLegacyBody } from './legacy.ts';
import { loadZstd } from './zstd.ts';

const zstd = loadZstd();
const objects = rustObjects();
const enveloped = objects.filter(({ isEnveloped }) => isEnveloped);

describe('the bucket of the Rust version', () => {
  it('has no object that our v1 keys do not reach', () => {
    const reached = objects.map(({ objectKey }) => objectKey);
    assert.deepEqual([...reached, 'expected.jsonl'].sort(), goldenFiles('rust-bucket'));
    assert.equal(objects.length, 21);
    assert.equal(enveloped.length, 14);
  });

  for (const { objectKey, body, byteLength, blake3 } of objects) {
    it(`decodes ${objectKey.slice(0, -48)}…`, () => {
      const payload = decodeLegacyBody(body, zstd);
      assert.equal(payload.length, byteLength);
      assert.equal(blake3Hex(Uint8Array.from(payload)), blake3);
    });
  }
});

describe('damage to WBZ1 bodies', () => {
  it('is refused or keeps the length, for all changes of a byte of the short ones', () => {
    const masks = Array.from({ length: 255 }, (_, i) => i + 1);
    const short = enveloped.filter(({ body }) => body.length <= 20);
    for (const object of short) sweepChanges(object, object.body.keys(), masks, zstd);
    assert.equal(short.length, 4);
  });

  // Goal and method: the first 300 bytes hold all lengths, tables and block headers but those of
  // later blocks; each of them is changed by three masks. What gets through with its length is
  // counted: the v1 format has no check for it, which docs/FORMAT.md must say.
  it('is refused or keeps the length, for the heads of the others; FORMAT.md says what remains', (t) => {
    let altered = 0;
    for (const object of enveloped) {
      const head = Array.from({ length: Math.min(300, object.body.length) }, (_, i) => i);
      const counts = sweepChanges(object, head, [1, 0x55, 0x80], zstd);
      assert.equal(counts.refused + counts.equal + counts.altered, 3 * head.length);
      assert.ok(counts.refused >= 3 * 13, 'magic, algorithm, length and zstd magic');
      altered += counts.altered;
    }
    t.diagnostic(`${altered} altered payloads of equal length got through`);
    assert.ok(altered > 0);
    const document = readFileSync(join(packageRoot(), 'docs', 'FORMAT.md'), 'utf8');
    assert.match(document, /## What remains unchecked\n/);
    assert.match(document, /A WBZ1 body has no checksum/);
  });

  it('is refused at any of its first 10 bytes but the level, which means nothing', () => {
    for (const object of enveloped) {
      for (let position = 0; position < 10; position += 1) {
        const { refused, equal } = sweepChanges(object, [position], [1, 2, 128, 255], zstd);
        assert.deepEqual([refused, equal], position === 5 ? [0, 4] : [4, 0], `byte ${position}`);
      }
    }
  });

  it('is refused when the end is missing or something follows', () => {
    for (const { body, objectKey } of enveloped) {
      const step = body.length > 4096 ? 61 : 1;
      for (let length = 4; length < body.length; length += step) {
        assert.equal(decodeOrRefuse(body.slice(0, length), zstd), undefined, `${length} bytes`);
      }
      const longer = concatBytes([body, Uint8Array.of(0)]);
      assert.equal(decodeOrRefuse(longer, zstd), undefined, objectKey);
    }
  });

  it('leaves three bytes or fewer of a body as a payload: nothing tells them apart', () => {
    for (const length of [0, 1, 2, 3]) {
      const start = enveloped[0].body.slice(0, length);
      assert.deepEqual(decodeLegacyBody(start, zstd), start);
    }
  });
});

describe('decodeLegacyBody()', () => {
  const refuses = (body: readonly number[]): void => {
    const decode = (): Uint8Array => decodeLegacyBody(Uint8Array.from(body), zstd);
    assert.throws(decode, (error) => isStoreError(error, 'CORRUPT'));
  };
  const wbz1 = [0x57, 0x42, 0x5a, 0x31];

  it('returns a body without envelope itself', () => {
    const body = Uint8Array.of(1, 2, 3);
    assert.equal(decodeLegacyBody(body, zstd), body);
    const twoOff = Uint8Array.from([0x57, 0x42, 0, 0, 0, 0, 1, 0, 0, 0, 9]);
    assert.equal(decodeLegacyBody(twoOff, zstd), twoOff);
  });

  it('takes an uncompressed envelope apart', () => {
    const body = Uint8Array.from([...wbz1, 0, 3, 2, 0, 0, 0, 8, 9]);
    assert.deepEqual([...decodeLegacyBody(body, zstd)], [8, 9]);
  });

  it('refuses unknown algorithms, lz4, wrong lengths and claims beyond the limit', () => {
    refuses([...wbz1, 2, 3, 2, 0, 0, 0, 8, 9]);
    refuses([...wbz1, 3, 3, 2, 0, 0, 0, 8, 9]);
    refuses([...wbz1, 0, 3, 3, 0, 0, 0, 8, 9]);
    refuses([...wbz1, 0, 3, 1, 0, 0, 0, 8, 9]);
    refuses([...wbz1, 1, 3, 1, 0, 0, 0, 8, 9]);
    refuses([...wbz1, 1, 3, 0xff, 0xff, 0xff, 0xff, 0x28, 0xb5, 0x2f, 0xfd]);
    refuses([...wbz1, 0]);
    refuses(wbz1);
  });

  it('throws nothing but CORRUPT for any bytes, with and without the magic', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(2), fc.nat(600), check), {
      numRuns: 1000,
    });
    function check(bytes: Uint8Array, algorithm: number, length: number): void {
      decodeOrRefuse(bytes, zstd);
      const lengthBytes = [length & 255, length >> 8, 0, 0];
      const head = Uint8Array.from([...wbz1, algorithm, 3, ...lengthBytes]);
      decodeOrRefuse(concatBytes([head, bytes]), zstd);
      const zstdMagic = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd);
      decodeOrRefuse(concatBytes([head, zstdMagic, bytes]), zstd);
    }
  });
});

describe('encodeLegacyBody()', () => {
  it('gives what decodeLegacyBody() reads back, for any payload', () => {
    const start = fc.constantFrom('', 'W', 'WBZ', 'WBZ1', 'WBZ0', 'wBZ1', 'WBZ1\u0000\u0003');
    const bytes = fc.uint8Array({ maxLength: 40 });
    fc.assert(
      fc.property(start, bytes, fc.boolean(), fc.integer({ min: 1, max: 30 }), (...given) => {
        const [text, rest, compress, count] = given;
        const repeated = Array.from({ length: count }, () => rest);
        const payload = concatBytes([Uint8Array.from(Buffer.from(text)), ...repeated]);
        const body = encodeLegacyBody(payload, { compress, level: 3 }, () => zstd);
        assert.deepEqual([...decodeLegacyBody(body, zstd)], [...payload]);
        assert.ok(body.length <= payload.length + 10);
      }),
      { numRuns: 500 },
    );
  });

  it('writes the layout of the Rust version', () => {
    const payload = new Uint8Array(1000);
    const body = encodeLegacyBody(payload, { compress: true, level: 3 }, () => zstd);
    const head = [0x57, 0x42, 0x5a, 0x31, 1, 3, 0xe8, 3, 0, 0, 0x28, 0xb5, 0x2f, 0xfd];
    assert.deepEqual([...body.subarray(0, 14)], head);
    assert.equal(
      encodeLegacyBody(payload, { compress: false, level: 3 }, () => zstd),
      payload,
    );
  });

  it('envelopes a raw payload that begins like an envelope', () => {
    const payload = Uint8Array.from(Buffer.from('WBZ1 is how I begin'));
    const body = encodeLegacyBody(payload, { compress: false, level: 3 }, () => zstd);
    assert.deepEqual([...body.subarray(0, 10)], [0x57, 0x42, 0x5a, 0x31, 0, 0, 19, 0, 0, 0]);
    assert.deepEqual([...body.subarray(10)], [...payload]);
  });
});
