import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { goldenBytes, goldenPath } from '../../test/golden/golden.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { viewOf } from '../base/bytes.ts';
import { crc32cByTable } from '../base/crc32c.ts';
import {
  DamagedRing,
  decodeRingEntry,
  decodeRingHeader,
  ringDataStart,
  ringOffsetOf,
  ringUnitBytes,
  ringWords,
  unitsBetween,
} from './ring-layout.ts';
import type { RingEntry, RingSave } from './ring-layout.ts';

const golden = goldenBytes('ring-v1', 'ring.bin');
const dataBytes = 4096;
const seed = 0x5a17c0de;
const tail = 2 ** 32 - 24;

/** The key of 32 bytes counting up from there. */
function key(first: number): string {
  return Buffer.from(Array.from({ length: 32 }, (_, i) => (first + i) % 256)).toString('hex');
}

function entryAt(position: number, ring = golden): RingEntry {
  const start = ringOffsetOf(position, dataBytes);
  return decodeRingEntry(ring.subarray(ringDataStart + start), position, seed);
}

function savesFrom(position: number): readonly RingSave[] {
  const saves: RingSave[] = [];
  const head = viewOf(golden).getUint32(ringWords.head, true);
  for (let at = position; at !== head;) {
    const { units, save } = entryAt(at);
    if (save !== undefined) saves.push(save);
    at = (at + units) >>> 0;
  }
  return saves;
}

describe('a ring of saves', () => {
  it('is read as the golden one was written, over the end of data and of positions', () => {
    assert.deepEqual(decodeRingHeader(golden, golden.length), { dataBytes, seed });
    const bytes = Uint8Array.from({ length: 200 }, (_, i) => i);
    const read = savesFrom(tail).map(({ blocks, ...rest }) => ({
      ...rest,
      blocks: blocks.map(({ key, tokens, position, hasDecodedTokens, payload }) => ({
        ...{ key, tokens, position, hasDecodedTokens },
        payload: payload instanceof Uint8Array ? Buffer.from(payload).toString('latin1') : payload,
      })),
    }));
    const plain = { parent: undefined, fingerprint: undefined };
    assert.deepEqual(read, [
      {
        namespace: 'default',
        ...plain,
        blocks: [
          { key: key(1), tokens: 128, position: 0, hasDecodedTokens: false, payload: 'one' },
        ],
      },
      {
        namespace: 'tenänt',
        parent: key(9),
        fingerprint: key(77),
        blocks: [
          { key: key(2), tokens: 7, position: undefined, hasDecodedTokens: true, payload: '' },
          {
            key: key(3),
            tokens: 0,
            position: 2 ** 32 - 2,
            hasDecodedTokens: false,
            payload: Buffer.from(bytes).toString('latin1'),
          },
        ],
      },
      {
        namespace: 'default',
        ...plain,
        blocks: [
          {
            key: key(4),
            tokens: 1,
            position: 1,
            hasDecodedTokens: false,
            payload: 'four'.repeat(300),
          },
        ],
      },
    ]);
  });

  it('is refused when any byte of what it says is another, and read when only the rest is', () => {
    const { save } = entryAt(0);
    assert(save !== undefined);
    const described = 96 + 8 + 56;
    const payloadEnd = described + 1200;
    for (let at = 0; at < payloadEnd; at += 1) {
      const changed = Uint8Array.from(golden);
      changed[ringDataStart + at] ^= 1 << (at % 8);
      assert.throws(() => entryAt(0, changed), DamagedRing, `byte ${at}`);
    }
    const changed = Uint8Array.from(golden);
    changed[ringDataStart + payloadEnd] ^= 1;
    assert.deepEqual(entryAt(0, changed).save, save, 'what fills an entry up says nothing');
  });

  it('is refused at another position, in another memory, and cut off anywhere', () => {
    const bytes = golden.subarray(ringDataStart, ringDataStart + 20 * ringUnitBytes + 256);
    assert.throws(() => decodeRingEntry(bytes, 1, seed), DamagedRing);
    assert.throws(() => decodeRingEntry(bytes, 0, seed + 1), DamagedRing);
    const { units } = decodeRingEntry(bytes, 0, seed);
    for (let length = 0; length < units * ringUnitBytes; length += 1) {
      assert.throws(
        () => decodeRingEntry(bytes.subarray(0, length), 0, seed),
        DamagedRing,
        `${length} bytes`,
      );
    }
  });

  it('is read from any bytes as an entry, or refused with our own error', () => {
    const { units } = entryAt(0);
    const entry = golden.subarray(ringDataStart, ringDataStart + units * ringUnitBytes);
    const damage = fc.array(fc.tuple(fc.nat(entry.length - 1), fc.nat(255)), { maxLength: 8 });
    const sealed = fc.tuple(damage, fc.boolean()).map(([changes, isSealed]) => {
      const bytes = Uint8Array.from(entry);
      for (const [at, value] of changes) bytes[at] = value;
      // With a checksum that holds, so that what it says is looked at.
      const described = viewOf(bytes).getUint32(16, true);
      if (isSealed && described >= 12 && described <= bytes.length) {
        const place = new Uint8Array(8);
        viewOf(place).setUint32(0, seed, true);
        const crc = crc32cByTable(crc32cByTable(0, place), bytes.subarray(12, described));
        viewOf(bytes).setUint32(8, crc, true);
      }
      return bytes;
    });
    const decode = (bytes: Uint8Array): void => {
      try {
        decodeRingEntry(bytes, 0, seed);
      } catch (error) {
        assert(error instanceof DamagedRing, String(error));
      }
    };
    fc.assert(fc.property(sealed, decode), { numRuns: 3000 });
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), decode), { numRuns: 1000 });
  });

  it('has no header that differs in any byte that says something', () => {
    for (let at = 0; at < 16; at += 1) {
      const changed = Uint8Array.from(golden);
      changed[at] ^= 1;
      assert.equal(decodeRingHeader(changed, changed.length), undefined, `byte ${at}`);
    }
    assert.equal(decodeRingHeader(golden, golden.length - 1), undefined);
    assert.equal(decodeRingHeader(golden.subarray(0, 4095), golden.length), undefined);
  });

  it('counts over the end of its positions', () => {
    assert.equal(unitsBetween(2 ** 32 - 3, 4), 7);
    assert.equal(unitsBetween(4, 4), 0);
    assert.equal(ringOffsetOf(2 ** 32 - 1, dataBytes), dataBytes - ringUnitBytes);
  });
});

const hasPython = spawnSync('python3', ['--version']).status === 0;
const skip = hasPython ? false : 'python3 is not installed';

it('make-ring.py writes the golden ring that is here', { skip }, async () => {
  const directory = await makeTemporaryDirectory('make-ring');
  try {
    const made = spawnSync('python3', [goldenPath('make-ring.py'), directory.path]);
    assert.equal(made.status, 0, String(made.stderr));
    assert.deepEqual(Uint8Array.from(await readFile(`${directory.path}/ring.bin`)), golden);
  } finally {
    await directory.remove();
  }
});
