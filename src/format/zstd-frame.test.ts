import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isStoreError } from '../base/errors.ts';
import { zstdByHand } from '../../test/golden/zstd-by-hand.ts';
import type { HandFrame } from '../../test/golden/zstd-by-hand.ts';
import { checkZstdFrame, withContentSize, zstdFrameFault } from './zstd-frame.ts';
import { decompressFrame, loadZstd } from './zstd.ts';

const zstd = loadZstd();
const window128k = 0x38;
const kib128 = 128 * 1024;

describe('zstdFrameFault()', () => {
  it('finds none in a frame of raw, repeated and compressed blocks', () => {
    const text = Buffer.from('wombat '.repeat(5000));
    assert.equal(zstdFrameFault(zstd.compress(text, 1), text.length), undefined);
    const raw = zstdByHand({ contentSize: 3, blocks: [{ type: 0, body: [1, 2, 3] }] });
    assert.equal(zstdFrameFault(raw, 3), undefined);
    const repeated = zstdByHand({ window: window128k, blocks: [{ type: 1, size: 9, body: [7] }] });
    assert.equal(zstdFrameFault(repeated, 9), undefined);
    const empty = zstdByHand({ contentSize: 0, blocks: [{ type: 0, body: [] }] });
    assert.equal(zstdFrameFault(empty, 0), undefined);
  });

  it('finds none in frames that state their size in 1, 2, 4 or 8 bytes or not at all', () => {
    const body = Array.from({ length: 300 }, (_, i) => i % 256);
    const block = [...Uint8Array.from([((300 << 3) & 255) | 1, 300 >> 5, 0]), ...body];
    const magic = [0x28, 0xb5, 0x2f, 0xfd];
    const heads = [
      [0x60, 44, 0],
      [0xa0, 44, 1, 0, 0],
      [0xe0, 44, 1, 0, 0, 0, 0, 0, 0],
      [0x00, window128k],
      [0x40, window128k, 44, 0],
    ];
    for (const head of heads) {
      const frame = Uint8Array.from([...magic, ...head, ...block]);
      assert.equal(zstdFrameFault(frame, 300), undefined, String(head));
      assert.deepEqual([...decompressFrame(frame, 300, zstd)], body);
    }
    const small = Uint8Array.from([...magic, 0x20, 1, 9, 0, 0, 5]);
    assert.deepEqual([...decompressFrame(small, 1, zstd)], [5]);
  });

  const raw3 = { type: 0, body: [1, 2, 3] } as const;
  const faulty: readonly (readonly [string, HandFrame, RegExp])[] = [
    ['another size than expected', { contentSize: 4, blocks: [raw3] }, /states 4 bytes/],
    ['bytes behind the frame', { contentSize: 3, blocks: [raw3], trailer: [0] }, /ends at byte/],
    ['a missing checksum', { contentSize: 3, blocks: [raw3], descriptorBits: 4 }, /ends at byte/],
    ['a dictionary', { contentSize: 3, blocks: [raw3], descriptorBits: 1 }, /dictionary/],
    ['a reserved bit', { contentSize: 3, blocks: [raw3], descriptorBits: 8 }, /reserved bit/],
    [
      'a reserved block type',
      { contentSize: 3, blocks: [{ type: 3, body: [1] }] },
      /reserved type/,
    ],
    [
      'a block beyond the end',
      { contentSize: 3, blocks: [{ type: 0, size: 3, body: [1] }] },
      /ends/,
    ],
    [
      'a block beyond the window',
      { contentSize: 3, blocks: [{ type: 1, size: 4, body: [1] }] },
      /claims 4/,
    ],
    [
      'a block over 128 KiB',
      { window: 0x60, blocks: [{ type: 1, size: kib128 + 1, body: [1] }] },
      /claims/,
    ],
    [
      'too many repeated bytes',
      { window: 0x38, blocks: [{ type: 1, size: 4, body: [1] }] },
      /make 4 to 4/,
    ],
    ['too few raw bytes', { window: 0x38, blocks: [{ type: 0, body: [1] }] }, /make 1 to 1/],
  ];
  for (const [what, frame, message] of faulty) {
    it(`finds ${what}`, () => {
      const bytes = zstdByHand(frame);
      assert.match(zstdFrameFault(bytes, 3) ?? '', message);
      assert.throws(
        () => checkZstdFrame(bytes, 3),
        (error) => isStoreError(error, 'CORRUPT'),
      );
    });
  }

  it('finds two frames in a row, a skippable frame, and a missing last block', () => {
    const one = zstdByHand({ contentSize: 3, blocks: [raw3] });
    assert.match(zstdFrameFault(Buffer.concat([one, one]), 3) ?? '', /ends at byte/);
    const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0);
    assert.match(zstdFrameFault(skippable, 0) ?? '', /magic/);
    const unended = one.slice();
    unended[9] &= 0xfe;
    assert.match(zstdFrameFault(unended, 3) ?? '', /cut off/);
  });

  it('finds every place at which a frame may be cut off', () => {
    const text = Buffer.from('wombat '.repeat(5000));
    const frame = zstd.compress(text, 3);
    for (let length = 0; length < frame.length; length += 1) {
      assert.notEqual(zstdFrameFault(frame.subarray(0, length), text.length), undefined);
    }
  });

  it('takes any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(1000), (tail, size) => {
        for (const bytes of [tail, Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, ...tail])]) {
          const fault = zstdFrameFault(bytes, size);
          assert.ok(fault === undefined || typeof fault === 'string');
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('withContentSize()', () => {
  it('adds the size where there is none, and changes nothing else', () => {
    const without = zstdByHand({ window: window128k, blocks: [{ type: 1, size: 9, body: [7] }] });
    const stated = withContentSize(without, 9);
    assert.equal(stated.length, without.length + 4);
    assert.equal(zstdFrameFault(stated, 9), undefined);
    assert.match(zstdFrameFault(stated, 8) ?? '', /states 9/);
    assert.equal(withContentSize(stated, 9), stated);
    assert.deepEqual(stated.subarray(10), without.subarray(6));
  });
});

describe('decompressFrame()', () => {
  /** 2,000 blocks that make 128 KiB each: 250 MiB out of a few kilobytes. */
  const bomb: HandFrame = {
    window: window128k,
    blocks: Array.from({ length: 2000 }, () => ({ type: 1 as const, size: kib128, body: [7] })),
  };

  it('refuses a bomb of repeated blocks before it is decompressed', () => {
    const untouched = { ...zstd, decompress: () => assert.fail('was decompressed') };
    const isCorrupt = (error: unknown): boolean => isStoreError(error, 'CORRUPT');
    assert.throws(() => decompressFrame(zstdByHand(bomb), 1000, untouched), isCorrupt);
  });

  it('refuses a bomb of compressed blocks without taking its memory', () => {
    // What a compressed block makes does not stand in its header, so the walk cannot tell.
    const body = compressedBlock(Buffer.alloc(kib128, 'abcdefgh'));
    const repeat = (count: number): Uint8Array => {
      const blocks = Array.from({ length: count }, () => ({ type: 2 as const, body }));
      return zstdByHand({ window: window128k, blocks });
    };
    assert.equal(decompressFrame(repeat(3), 3 * kib128, zstd).length, 3 * kib128, 'is a bomb');
    const frame = repeat(2000);
    assert.equal(zstdFrameFault(frame, kib128), undefined);
    const before = process.resourceUsage().maxRSS;
    const isCorrupt = (error: unknown): boolean => isStoreError(error, 'CORRUPT');
    assert.throws(() => decompressFrame(frame, kib128, zstd), isCorrupt);
    const grownKib = process.resourceUsage().maxRSS - before;
    assert.ok(grownKib < 32 * 1024, `took ${grownKib} KiB for ${kib128} bytes`);
  });

  it('reads a frame of many short compressed blocks, whose largest sum is far beyond it', () => {
    const body = compressedBlock(Buffer.from('abcdefgh'.repeat(64)));
    const blocks = Array.from({ length: 4 }, () => ({ type: 2 as const, body }));
    const content = decompressFrame(zstdByHand({ window: window128k, blocks }), 2048, zstd);
    assert.equal(Buffer.from(content).toString(), 'abcdefgh'.repeat(256));
  });
});

/** The body of the first block of the compressed text, which is a compressed block. */
function compressedBlock(text: Uint8Array): number[] {
  const frame = zstd.compress(text, 1);
  const at = 5 + (frame[4] & 0x20 ? 0 : 1) + contentSizeBytes(frame[4]);
  const bits = frame[at] | (frame[at + 1] << 8) | (frame[at + 2] << 16);
  assert.equal((bits >> 1) & 3, 2, 'is compressed');
  return [...frame.subarray(at + 3, at + 3 + (bits >> 3))];
}

function contentSizeBytes(descriptor: number): number {
  const flag = descriptor >> 6;
  return flag === 0 ? (descriptor >> 5) & 1 : 1 << flag;
}
