import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concatBytes, viewOf } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { isStoreError } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { goldenFrame, goldenFrames } from '../../test/golden/frames.ts';
import type { GoldenFrame } from '../../test/golden/frames.ts';
import { packageRoot } from '../../test/golden/golden.ts';
import {
  boundCrc,
  checkFrame,
  decodeFrameHeader,
  encodeFrameHeader,
  frameFixedBytes,
  frameHeaderLength,
  namespaceDigestOf,
  peekFrameLength,
} from './frame.ts';
import type { ExpectedFrame, FrameHeader } from './frame.ts';

const frames = goldenFrames();

describe('golden frames', () => {
  it('there are seven, of every kind, codec and filter', () => {
    assert.equal(frames.length, 7);
    assert.deepEqual(new Set(frames.map(({ header }) => header.kind)).size, 3);
    assert.deepEqual(new Set(frames.map(({ header }) => header.codec)).size, 2);
    assert.deepEqual(new Set(frames.map(({ header }) => header.filter)).size, 3);
  });

  for (const { name, bytes, header, headerLength, stored, raw } of frames) {
    it(`${name} decodes to its fields`, () => {
      assert.deepEqual(decodeFrameHeader(bytes), header);
      assert.deepEqual(peekFrameLength(bytes), { headerLength, storedLength: stored.length });
      assert.equal(crc32c(raw), header.rawCrc);
      assert.equal(raw.length, header.rawLength);
    });

    it(`${name} encodes to the same bytes`, () => {
      assert.deepEqual(concatBytes([encodeFrameHeader(header), stored]), bytes);
    });

    it(`${name} has the key-bound checksum of its stored bytes`, () => {
      const bound = boundCrc(header.namespaceDigest, header.key, stored.length, crc32c(stored));
      assert.equal(bound, header.storedCrc);
    });
  }
});

describe('docs/FORMAT.md', () => {
  it('shows the golden tail as it is', () => {
    const document = readFileSync(join(packageRoot(), 'docs', 'FORMAT.md'), 'utf8');
    const lines = [...document.matchAll(/^[0-9a-f]{8}: ((?:[0-9a-f]{2,4} )+)/gm)];
    const shown = lines.map(([, hex]) => hex.replaceAll(' ', '')).join('');
    assert.equal(shown, hexFromBytes(goldenFrame('tail').bytes));
  });
});

describe('damage', () => {
  for (const frame of frames) {
    it(`every changed byte of ${frame.name} is detected`, () => {
      const bytes = frame.bytes.slice();
      let changes = 0;
      for (let position = 0; position < bytes.length; position += 1) {
        const original = bytes[position];
        for (const mask of masksFor(bytes.length)) {
          bytes[position] = original ^ mask;
          assert.ok(isDetected(bytes, frame), `byte ${position} changed by ${mask}`);
          changes += 1;
        }
        bytes[position] = original;
      }
      assert.equal(changes, bytes.length * masksFor(bytes.length).length);
      assert.ok(!isDetected(bytes, frame));
    });

    it(`${frame.name} cut off at any length is detected`, () => {
      for (let length = 0; length < frame.bytes.length; length += 1) {
        assert.ok(isDetected(frame.bytes.slice(0, length), frame), `${length} bytes`);
      }
    });
  }

  it('claims beyond the limits are refused, also under a right checksum', () => {
    const { bytes } = goldenFrame('block');
    refuses(
      sealed(bytes, (view) => view.setBigUint64(24, 2n ** 30n + 1n, true)),
      'CORRUPT',
    );
    refuses(
      sealed(bytes, (view) => view.setBigUint64(32, 2n ** 30n + 1n, true)),
      'CORRUPT',
    );
    refuses(
      sealed(bytes, (view) => view.setBigUint64(32, 2n ** 64n - 1n, true)),
      'CORRUPT',
    );
    refuses(
      sealed(bytes, (view) => view.setUint32(20, 64, true)),
      'CORRUPT',
    );
    refuses(
      sealed(bytes, (view) => view.setUint32(20, 0xffffffff, true)),
      'CORRUPT',
    );
    refuses(
      sealed(bytes, (view) => view.setUint16(6, 224, true)),
      'CORRUPT',
    );
  });

  it('fields that contradict each other are refused', () => {
    const { bytes } = goldenFrame('block');
    refuses(
      sealed(bytes, (view) => view.setUint16(10, 5, true)),
      'CORRUPT',
    );
    refuses(
      sealed(bytes, (view) => view.setBigUint64(24, 95n, true)),
      'CORRUPT',
    );
  });

  it('what a newer version writes is INCOMPATIBLE, not corrupt', () => {
    const { bytes } = goldenFrame('block');
    refuses(
      sealed(bytes, (view) => view.setUint16(4, 3, true)),
      'INCOMPATIBLE',
    );
    refuses(
      sealed(bytes, (view) => view.setUint8(8, 2)),
      'INCOMPATIBLE',
    );
    refuses(
      sealed(bytes, (view) => view.setUint8(9, 3)),
      'INCOMPATIBLE',
    );
    refuses(
      sealed(bytes, (view) => view.setUint16(10, 8, true)),
      'INCOMPATIBLE',
    );
    refuses(
      sealed(bytes, (view) => view.setUint16(10, 0x8000, true)),
      'INCOMPATIBLE',
    );
    refuses(
      sealed(bytes, (view) => view.setUint8(187, 1)),
      'INCOMPATIBLE',
    );
    refuses(
      sealed(bytes, (view) => view.setUint16(4, 1, true)),
      'CORRUPT',
    );
  });

  it('any bytes throw nothing but StoreError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        throwsOnlyStoreError(() => decodeFrameHeader(bytes));
        throwsOnlyStoreError(() => peekFrameLength(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it('frames changed in many places throw nothing but StoreError, sealed again or not', () => {
    const change = fc.tuple(fc.nat(223), fc.nat(255));
    const changes = fc.array(change, { minLength: 1, maxLength: 8 });
    const { bytes } = goldenFrame('zstd-shuffle2');
    fc.assert(
      fc.property(changes, fc.boolean(), (places, isSealed) => {
        const edit = (view: DataView): void => {
          for (const [position, value] of places) view.setUint8(position, value);
        };
        const changed = sealed(bytes, edit);
        if (!isSealed) changed.set(bytes.subarray(188, 192), 188);
        throwsOnlyStoreError(() => {
          const header = decodeFrameHeader(changed);
          assert.deepEqual(decodeFrameHeader(encodeFrameHeader(header)), header);
        });
      }),
      { numRuns: 2000 },
    );
  });
});

describe('checkFrame()', () => {
  const { header, bytes } = goldenFrame('tail');
  const expected: ExpectedFrame = {
    kind: 'tail',
    key: header.key,
    namespaceDigest: header.namespaceDigest,
    byteLength: bytes.length,
  };

  it('passes the frame that was asked for, of known or unknown length', () => {
    const { byteLength, ...withoutLength } = expected;
    checkFrame(header, expected);
    checkFrame(header, withoutLength);
    assert.equal(byteLength, bytes.length);
  });

  it('refuses another kind, key, namespace or length', () => {
    const otherKey = parseBlockKey('ab'.repeat(32));
    const others: Partial<ExpectedFrame>[] = [
      { kind: 'raw-tail' },
      { key: otherKey },
      { namespaceDigest: namespaceDigestOf(parseNamespace('other')) },
      { byteLength: bytes.length - 1 },
      { byteLength: bytes.length + 1 },
    ];
    for (const other of others) {
      const check = (): void => checkFrame(header, { ...expected, ...other });
      assert.throws(check, (error) => isStoreError(error, 'CORRUPT'));
    }
  });
});

describe('boundCrc()', () => {
  it('is the checksum of digest, key and stored bytes one after another', () => {
    fc.assert(
      fc.property(digestArbitrary, keyArbitrary, fc.uint8Array({ maxLength: 600 }), checkBound),
    );
    function checkBound(digest: Uint8Array, key: BlockKey, stored: Uint8Array): void {
      const keyBytes = Uint8Array.from(Buffer.from(key, 'hex'));
      assert.equal(
        boundCrc(digest, key, stored.length, crc32c(stored)),
        crc32c(concatBytes([digest, keyBytes, stored])),
      );
    }
  });
});

describe('encodeFrameHeader()', () => {
  it('gives what decodeFrameHeader() reads back, for any header', () => {
    fc.assert(
      fc.property(headerArbitrary(), (header) => {
        const bytes = encodeFrameHeader(header);
        assert.equal(bytes.length, frameHeaderLength(header.following.length));
        assert.deepEqual(decodeFrameHeader(bytes), header);
      }),
      { numRuns: 300 },
    );
  });

  it('makes headers that fit the first 4 KiB', () => {
    assert.equal(frameHeaderLength(0), frameFixedBytes);
    assert.ok(frameHeaderLength(limits.followingKeysMax) <= limits.frameHeaderBytesMax);
  });

  it('refuses what its fields cannot hold', () => {
    const { header } = goldenFrame('block');
    const wrong: Partial<FrameHeader>[] = [
      { tokens: -1 },
      { tokens: 2 ** 32 },
      { position: 0xffffffff },
      { rawLength: limits.payloadBytesMax + 1, codec: 'zstd' },
      { storedLength: 1.5, codec: 'zstd' },
      { storedLength: header.rawLength + 1 },
      { storedCrc: -1 },
      { fingerprint: 'abcd' },
      { namespaceDigest: new Uint8Array(31) },
      { following: Array.from({ length: 64 }, () => header.key) },
    ];
    for (const fields of wrong) {
      assert.throws(() => encodeFrameHeader({ ...header, ...fields }), { name: 'AssertionError' });
    }
  });

  it('writes a parent of zeros as none', () => {
    const { header } = goldenFrame('block');
    const bytes = encodeFrameHeader({ ...header, parent: parseBlockKey('0'.repeat(64)) });
    assert.equal(decodeFrameHeader(bytes).parent, undefined);
  });
});

const digestArbitrary = fc.uint8Array({ minLength: 32, maxLength: 32 });
const keyArbitrary = digestArbitrary.map((bytes) => parseBlockKey(hexFromBytes(bytes)));

function headerArbitrary(): fc.Arbitrary<FrameHeader> {
  const u32 = fc.nat(0xffffffff);
  const length = fc.nat(limits.payloadBytesMax);
  const isSet = (key: string): boolean => /[^0]/.test(key);
  const header = fc.record(
    {
      kind: fc.constantFrom('block' as const, 'tail' as const, 'raw-tail' as const),
      codec: fc.constantFrom('raw' as const, 'zstd' as const),
      filter: fc.constantFrom('none' as const, 'shuffle2' as const, 'split2' as const),
      hasDecodedTokens: fc.boolean(),
      tokens: u32,
      position: fc.option(fc.nat(0xfffffffe), { nil: undefined }),
      rawLength: length,
      storedLength: length,
      rawCrc: u32,
      storedCrc: u32,
      key: keyArbitrary,
      parent: fc.option(keyArbitrary.filter(isSet), { nil: undefined }),
      namespaceDigest: digestArbitrary,
      fingerprint: fc.option(keyArbitrary.filter(isSet), { nil: undefined }),
      following: fc.array(keyArbitrary, { maxLength: limits.followingKeysMax }),
    },
    { noNullPrototype: true },
  );
  return header.map((fields) =>
    fields.codec === 'raw' ? { ...fields, storedLength: fields.rawLength } : fields,
  );
}

/** All 255 changes of a byte for a bare header, single bits and a full inversion for the others. */
function masksFor(byteLength: number): readonly number[] {
  if (byteLength > frameFixedBytes) return [1, 2, 4, 8, 16, 32, 64, 128, 255];
  return Array.from({ length: 255 }, (_, i) => i + 1);
}

/** True when a reader who knows only what it asked for would refuse the object. */
function isDetected(bytes: Uint8Array, { header }: GoldenFrame): boolean {
  const { kind, key, namespaceDigest } = header;
  try {
    const found = decodeFrameHeader(bytes);
    checkFrame(found, { kind, key, namespaceDigest, byteLength: bytes.length });
    const stored = bytes.subarray(frameHeaderLength(found.following.length));
    return boundCrc(namespaceDigest, key, stored.length, crc32c(stored)) !== found.storedCrc;
  } catch (error) {
    if (isStoreError(error, 'CORRUPT') || isStoreError(error, 'INCOMPATIBLE')) return true;
    throw error;
  }
}

/** The frame after the edit, with the right header checksum. */
function sealed(frame: Uint8Array, edit: (view: DataView) => void): Uint8Array {
  const bytes = frame.slice();
  const view = viewOf(bytes);
  edit(view);
  const headerLength = Math.min(view.getUint16(6, true), bytes.length);
  const covered = [bytes.subarray(0, 188), bytes.subarray(192, Math.max(192, headerLength))];
  view.setUint32(188, crc32c(concatBytes(covered)), true);
  return bytes;
}

function refuses(bytes: Uint8Array, code: StoreErrorCode): void {
  assert.throws(
    () => decodeFrameHeader(bytes),
    (error) => isStoreError(error, code),
  );
}

function throwsOnlyStoreError(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!isStoreError(error)) throw error;
  }
}
