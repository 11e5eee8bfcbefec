import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { crc32c } from '../base/crc32c.ts';
import { limits } from '../blocks/limits.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { keyOf } from '../../test/support/cached-payloads.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { seededRandom } from '../../test/support/random.ts';
import {
  decodeKeys,
  decodeRecord,
  encodeKeys,
  encodeRecord,
  headerLength,
  lookAtHeader,
  recordAlignment,
  recordHeaderBytesMax,
  recordLength,
} from './log-record.ts';
import type { LogRecord, RecordPlace } from './log-record.ts';

const salt = Uint8Array.from({ length: 16 }, (_, index) => 0xa0 + index);
const place: RecordPlace = {
  segment: 0x01020304,
  offset: 0x10_0000_0040,
  seed: crc32c(salt),
};
const key = parseBlockKey('0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0');
const parent = parseBlockKey('ff'.repeat(31) + '01');
const fingerprint = '80' + '00'.repeat(31);
const zeros = parseBlockKey('00'.repeat(32));

const payloadRecord: LogRecord = {
  type: 'payload',
  kind: 'block',
  namespace: parseNamespace('tenant-ä'),
  key,
  parent,
  fingerprint,
  tokens: 128,
  position: 384,
  hasDecodedTokens: true,
  isDurable: false,
  sequence: 0x1_0000_0002,
  saveId: 0x2_0000_0003,
  saveIndex: 3,
  payloadLength: 0x00fedcba,
  payloadCrc: 0x89abcdef,
};

/** One record of each type, with each kind and flag somewhere. */
const records: readonly LogRecord[] = [
  payloadRecord,
  { ...payloadRecord, type: 'save', kind: 'tail', hasDecodedTokens: false, position: undefined },
  { ...payloadRecord, type: 'uploaded', kind: 'raw-tail', isDurable: true, payloadLength: 0 },
  { ...payloadRecord, type: 'removed', parent: undefined, fingerprint: undefined, saveId: 0 },
];

/** CRC32C, one bit after another: shares nothing with the code under test. */
function crcByBits(bytes: Iterable<number>): number {
  let state = 0xffffffff;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      state = state & 1 ? (state >>> 1) ^ 0x82f63b78 : state >>> 1;
    }
  }
  return ~state >>> 0;
}

/** The header as docs/FORMAT.md (Record) draws it, written at literal offsets. */
function drawnHeader(record: LogRecord): Uint8Array {
  const name = new TextEncoder().encode(record.namespace);
  const bytes = new Uint8Array(160 + name.length + 4);
  const view = new DataView(bytes.buffer);
  bytes.set([0x57, 0x4b, 0x56, 0x52], 0); // 'WKVR'
  view.setUint8(4, { payload: 0, save: 1, uploaded: 2, removed: 3 }[record.type]);
  view.setUint8(5, { block: 0, tail: 1, 'raw-tail': 2 }[record.kind]);
  view.setUint8(6, (record.hasDecodedTokens ? 1 : 0) + (record.isDurable ? 2 : 0));
  view.setUint8(7, name.length);
  view.setUint32(8, record.tokens, true);
  view.setUint32(12, record.position ?? 0xffffffff, true);
  view.setBigUint64(16, BigInt(record.payloadLength), true);
  view.setUint32(24, record.payloadCrc, true);
  view.setUint32(28, 0x01020304, true);
  view.setBigUint64(32, 0x10_0000_0040n, true);
  view.setBigUint64(40, BigInt(record.sequence), true);
  view.setBigUint64(48, BigInt(record.saveId), true);
  view.setUint32(56, record.saveIndex, true);
  bytes.set(Buffer.from(record.key, 'hex'), 64);
  bytes.set(Buffer.from(record.parent ?? '', 'hex'), 96);
  bytes.set(Buffer.from(record.fingerprint ?? '', 'hex'), 128);
  bytes.set(name, 160);
  view.setUint32(160 + name.length, crcByBits([...salt, ...bytes.subarray(0, -4)]), true);
  return bytes;
}

/** A record with any values that a record can have. */
const anyRecord: fc.Arbitrary<LogRecord> = fc
  .record(
    {
      type: fc.constantFrom('payload' as const, 'save', 'uploaded', 'removed'),
      kind: fc.constantFrom('block' as const, 'tail', 'raw-tail'),
      namespace: fc
        .string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
        .filter((text) => Buffer.byteLength(text) <= limits.namespaceBytesMax)
        .map(parseNamespace),
      key: fc.nat().map(keyOf),
      parent: fc.option(fc.nat().map(keyOf), { nil: undefined }),
      fingerprint: fc.option(fc.nat().map(keyOf), { nil: undefined }),
      tokens: fc.nat({ max: limits.blockTokensMax }),
      position: fc.option(fc.nat({ max: 0xfffffffe }), { nil: undefined }),
      hasDecodedTokens: fc.boolean(),
      isDurable: fc.boolean(),
      sequence: fc.maxSafeNat(),
      saveId: fc.maxSafeNat(),
      saveIndex: fc.nat({ max: limits.keysPerCallMax }),
      payloadLength: fc.nat({ max: limits.payloadBytesMax }),
      payloadCrc: fc.nat({ max: 0xffffffff }),
    },
    { noNullPrototype: true },
  )
  // Every tail has a tip.
  .map((record) => ({
    ...record,
    parent: record.parent ?? (record.kind === 'tail' ? key : undefined),
  }));

describe('a log record', () => {
  for (const record of records) {
    it(`of type ${record.type} has the bytes that docs/FORMAT.md draws`, () => {
      const drawn = drawnHeader(record);
      assert.deepEqual(encodeRecord(record, place), drawn);
      assert.deepEqual(decodeRecord(drawn, place), record);
    });
  }

  it('has these very bytes', () => {
    const record = { ...payloadRecord, namespace: parseNamespace('n') };
    const text = Buffer.from(encodeRecord(record, place)).toString('hex');
    const words = [
      '574b5652' + '00000101' + '80000000' + '80010000', // magic, ids, tokens, position
      'badcfe0000000000' + 'efcdab89' + '04030201', // payload length and CRC, segment
      '4000000010000000' + '0200000001000000', // offset, sequence
      '0300000002000000' + '03000000' + '00000000', // save id and index
      ...[key, parent, fingerprint, '6e'],
    ];
    assert.equal(text.slice(0, -8), words.join(''));
    const crc = crcByBits([...salt, ...Buffer.from(words.join(''), 'hex')]);
    assert.equal(Buffer.from(text.slice(-8), 'hex').readUInt32LE(), crc);
  });

  it('comes back with any values that it can have', () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        const bytes = encodeRecord(record, place);
        assert.equal(bytes.length, headerLength(record));
        assert.ok(bytes.length <= recordHeaderBytesMax);
        const length = recordLength(record);
        assert.equal(length % recordAlignment, 0);
        assert.ok(length >= bytes.length + record.payloadLength);
        assert.ok(length < bytes.length + record.payloadLength + recordAlignment);
        assert.deepEqual(decodeRecord(bytes, place), record);
      }),
    );
  });

  it('may belong to a key of zeros, and a tail to a tip of zeros', () => {
    for (const kind of ['block', 'tail', 'raw-tail'] as const) {
      const record = { ...payloadRecord, kind, key: zeros };
      assert.deepEqual(decodeRecord(encodeRecord(record, place), place), record);
    }
    const tail = { ...payloadRecord, kind: 'tail' as const, parent: zeros };
    assert.deepEqual(decodeRecord(encodeRecord(tail, place), place), tail);
  });

  it('keeps the namespace to the byte, so that no tenant becomes another', () => {
    for (const name of [
      '\ufeff',
      '\ufefftenant',
      'tenant\ufeff',
      'e\u0301',
      '\u00e9',
      ' a ',
      '\0',
    ]) {
      const record = { ...payloadRecord, namespace: parseNamespace(name) };
      assert.deepEqual(decodeRecord(encodeRecord(record, place), place), record);
    }
  });

  it('has room for the longest namespace', () => {
    const namespace = parseNamespace('ä'.repeat(limits.namespaceBytesMax / 2));
    const record = { ...payloadRecord, namespace };
    const bytes = encodeRecord(record, place);
    assert.ok(bytes.length <= recordHeaderBytesMax);
    assert.equal(decodeRecord(bytes, place)?.namespace, namespace);
  });
});

describe('decodeRecord()', () => {
  it('takes no header with a flipped bit', () => {
    for (const record of records) {
      const bytes = encodeRecord(record, place);
      for (let bit = 0; bit < 8 * bytes.length; bit += 1) {
        bytes[bit >> 3] ^= 1 << (bit & 7);
        assert.equal(decodeRecord(bytes, place), undefined, `bit ${bit}`);
        bytes[bit >> 3] ^= 1 << (bit & 7);
      }
      assert.deepEqual(decodeRecord(bytes, place), record);
    }
  });

  it('takes no header that is cut off', () => {
    const bytes = encodeRecord(payloadRecord, place);
    for (let length = 0; length < bytes.length; length += 1) {
      assert.equal(decodeRecord(bytes.subarray(0, length), place), undefined, `${length} bytes`);
    }
  });

  it('does not look at what follows the header', () => {
    const bytes = new Uint8Array(1000).fill(0xff);
    bytes.set(encodeRecord(payloadRecord, place));
    assert.deepEqual(decodeRecord(bytes, place), payloadRecord);
  });

  it('takes no record that was written to another place', () => {
    const bytes = encodeRecord(payloadRecord, place);
    const others = [
      { ...place, offset: place.offset + recordAlignment },
      { ...place, offset: place.offset % 2 ** 32 },
      { ...place, segment: place.segment + 1 },
      { ...place, seed: place.seed ^ 1 },
    ];
    for (const other of others) assert.equal(decodeRecord(bytes, other), undefined);
  });

  it('takes no type, kind or length that this version does not write', () => {
    const changes: readonly (readonly [number, number])[] = [
      [4, 4],
      [4, 255],
      [5, 3],
      [20, 1], // A payload of more than 4 GiB.
    ];
    for (const [offset, value] of changes) {
      const bytes = encodeRecord(payloadRecord, place);
      bytes[offset] = value;
      const crc = crcByBits([...salt, ...bytes.subarray(0, -4)]);
      new DataView(bytes.buffer).setUint32(bytes.length - 4, crc, true);
      assert.equal(decodeRecord(bytes, place), undefined, `${value} at ${offset}`);
    }
  });

  it('never throws, whatever the bytes', () => {
    const random = seededRandom('random records');
    for (let round = 0; round < 20_000; round += 1) {
      const bytes = randomPayload(round, random.below(recordHeaderBytesMax));
      // Half of them begin as a record does, so that more of the code sees them.
      if (round % 2 === 0) bytes.set([0x57, 0x4b, 0x56, 0x52].slice(0, bytes.length));
      assert.equal(decodeRecord(bytes, place), undefined);
    }
  });
});

describe('the keys of a save', () => {
  it('lie one after another and come back', () => {
    const bytes = encodeKeys([key, parent]);
    assert.equal(Buffer.from(bytes).toString('hex'), key + parent);
    assert.deepEqual(decodeKeys(bytes), [key, parent]);
    assert.deepEqual(decodeKeys(encodeKeys([])), []);
  });

  it('may be zeros', () => {
    assert.deepEqual(decodeKeys(encodeKeys([zeros, key])), [zeros, key]);
  });
});

describe('lookAtHeader()', () => {
  it('tells the seed and the length of a header of that place, and nothing of others', () => {
    for (const record of records) {
      const bytes = encodeRecord(record, place);
      const { segment, offset } = place;
      const { seed } = place;
      assert.deepEqual(lookAtHeader(bytes, { segment, offset }), {
        ...{ seed, recordLength: recordLength(record) },
      });
      assert.equal(lookAtHeader(bytes, { segment: segment + 1, offset }), undefined);
      assert.equal(lookAtHeader(bytes, { segment, offset: offset + 64 }), undefined);
      assert.equal(lookAtHeader(bytes.subarray(0, -1), { segment, offset }), undefined);
      bytes[70] ^= 1;
      assert.notEqual(lookAtHeader(bytes, { segment, offset })?.seed, seed);
    }
  });
});
