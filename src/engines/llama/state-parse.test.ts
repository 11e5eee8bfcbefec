import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isStoreError } from '../../base/errors.ts';
import { bytesFromHex } from '../../base/hex.ts';
import {
  cellsInOrder,
  handmadeBytes,
  handmadePayload,
  handmadeState,
} from '../../../test/engine/handmade-state.ts';
import type { HandmadeState } from '../../../test/engine/handmade-state.ts';
import { equalGeometry, geometryText, payloadByteLength } from './state-layout.ts';
import { extractCells } from './state-payload.ts';
import { parseState, readState } from './state-parse.ts';
import type { LlamaState } from './state-parse.ts';

/** A file of two tokens and one layer, written out by hand. */
const headHex = `71736767 03000000 02000000 05000000 06000000
  01000000 02000000 00000000 01000000 00000000 01000000 01000000 00000000`;
const rowsHex = `${headHex} 00000000 01000000
  01000000 04000000 00000000 a0a1a2a3 b0b1b2b3
  01000000 04000000 00000000 c0c1c2c3 d0d1d2d3`;
const transposedHex = `${headHex} 01000000 01000000
  01000000 04000000 00000000 a0a1a2a3 b0b1b2b3
  01000000 02000000 02000000 c0c1d0d1 c2c3d2d3`;

describe('parseState()', () => {
  it('reads a file with values in rows', () => {
    const state = parseState(fromHex(rowsHex));
    assert.deepEqual([...state.tokens], [5, 6]);
    assert.deepEqual(state.geometry, {
      isTransposed: false,
      keys: [{ type: 1, rowBytes: 4, elementBytes: 0 }],
      values: [{ type: 1, rowBytes: 4, elementBytes: 0 }],
    });
    const { cells, streams, stream, sequenceId, byteLength } = state;
    assert.deepEqual([cells, streams, stream, sequenceId, byteLength], [2, 1, 0, 0, 100]);
    assert.deepEqual(payload(fromHex(rowsHex), state, 0, 1), fromHex('a0a1a2a3 c0c1c2c3'));
    assert.deepEqual(payload(fromHex(rowsHex), state, 1, 2), fromHex('b0b1b2b3 d0d1d2d3'));
  });

  it('reads a file with transposed values', () => {
    const bytes = fromHex(transposedHex);
    const state = parseState(bytes);
    assert.deepEqual(state.geometry.values, [{ type: 1, rowBytes: 4, elementBytes: 2 }]);
    assert.equal(state.geometry.isTransposed, true);
    assert.deepEqual(payload(bytes, state, 0, 1), fromHex('a0a1a2a3 c0c1c2c3'));
    assert.deepEqual(payload(bytes, state, 1, 2), fromHex('b0b1b2b3 d0d1d2d3'));
    assert.deepEqual(payload(bytes, state, 0, 2), fromHex('a0a1a2a3b0b1b2b3 c0c1d0d1c2c3d2d3'));
  });

  it('reads bytes that begin in the middle of their buffer', () => {
    const padded = Uint8Array.from([9, 9, 9, ...fromHex(rowsHex), 9]);
    assert.deepEqual([...parseState(padded.subarray(3, -1)).tokens], [5, 6]);
  });

  it('finds the cells in any of several streams', () => {
    for (const stream of [0, 1, 2]) {
      const content = [undefined, undefined, undefined].map((none, i) =>
        i === stream ? cellsInOrder(5, stream) : none,
      );
      const handmade = handmadeState(5, { content });
      const bytes = handmadeBytes(handmade);
      const state = parseState(bytes);
      assert.deepEqual([state.streams, state.stream, state.sequenceId], [3, stream, stream]);
      assert.deepEqual(payload(bytes, state, 1, 4), handmadePayload(handmade, 1, 4));
    }
  });

  it('takes layers of different sizes', () => {
    const layers = [2, 10, 4].map((size) => ({
      type: size,
      keyRowBytes: size,
      valueRowBytes: 2 * size,
      elementBytes: 2,
    }));
    const handmade = handmadeState(9, { layers, transposed: 1 });
    const bytes = handmadeBytes(handmade);
    const state = parseState(bytes);
    assert.equal(
      geometryText(state.geometry),
      'transposed k 2:2:0*1,10:10:0*1,4:4:0*1 v 2:4:2*1,10:20:2*1,4:8:2*1',
    );
    assert.deepEqual(payload(bytes, state, 3, 9), handmadePayload(handmade, 3, 9));
  });
});

describe('parseState() refuses', () => {
  const cells = cellsInOrder(3);
  const layer = { type: 1, keyRowBytes: 6, valueRowBytes: 4, elementBytes: 2 };
  const cases: readonly [string, Partial<HandmadeState>, RegExp][] = [
    ['another magic', { magic: 0x6767736e }, /begins with 0x6767736e/],
    ['an older version', { version: 2 }, /version is 2, not 3/],
    ['a newer version', { version: 4 }, /version is 4, not 3/],
    ['a record of llama-server', { tokens: [-1, 1, 1] }, /llama-server/],
    ['a negative token', { tokens: [4, -5, 6] }, /token 1 is -5/],
    ['fewer cells than tokens', { tokens: [1, 2, 3, 4] }, /3 cells for 4 tokens/],
    ['more cells than tokens', { tokens: [1, 2] }, /3 cells for 2 tokens/],
    ['no tokens and no cells', { tokens: [], content: [undefined] }, /no stream holds cells/],
    ['no stream', { streams: 0 }, /0 streams/],
    ['streams beyond llama.cpp', { streams: 257 }, /257 streams/],
    ['two streams with cells', { content: [cells, undefined, cells] }, /0 and 2 both hold cells/],
    ['a cell of two sequences', { content: [withCell(1, { sequences: [0, 1] })] }, /cell 1 belon/],
    ['a cell of none', { content: [withCell(2, { sequences: [] })] }, /cell 2 belongs to 0 seq/],
    ['cells of two sequences', { content: [withCell(2, { sequences: [4] })] }, /than cell 0/],
    ['a shifted context', { content: [withCell(2, { position: 3 })] }, /cell 2 has position 3/],
    ['positions that begin late', { content: [withCell(0, { position: 1 })] }, /position 1/],
    ['positions out of order', { content: [cells.toReversed()] }, /cell 0 has position 2/],
    ['cells of a multimodal model', { content: [withExtension()] }, /cell \d (has|belongs)/],
    ['an unknown layout', { transposed: 2 }, /layout of values is 2/],
    ['no layers', { layers: [] }, /0 layers/],
    ['too many layers', { layers: Array<typeof layer>(1025).fill(layer) }, /1025 layers/],
    ['rows without bytes', { layers: [{ ...layer, keyRowBytes: 0 }] }, /row of type 1 has 0 bytes/],
    ['numbers of 16 bytes', transposed({ elementBytes: 16, valueRowBytes: 16 }), /has 16 bytes/],
  ];
  for (const [name, differences, reason] of cases) {
    it(name, () => {
      refuses(handmadeBytes(handmadeState(3, differences)), reason);
    });
  }

  it('a second section, as of sliding windows or recurrent layers', () => {
    const state = handmadeBytes(handmadeState(3));
    const section = state.subarray(12 + 4 * 3);
    refuses(Uint8Array.from([...state, ...section]), /follow the keys and values/);
  });

  it('one byte too many', () => {
    refuses(Uint8Array.from([...fromHex(rowsHex), 0]), /1 bytes follow/);
  });

  it('keys without values', () => {
    const bytes = handmadeBytes(handmadeState(3));
    const valueBytes = 2 * (12 + 3 * 4);
    refuses(bytes.subarray(0, bytes.length - valueBytes), /no values/);
  });

  it('a file cut off anywhere', () => {
    for (const transposedValue of [0, 1]) {
      const bytes = handmadeBytes(handmadeState(3, { transposed: transposedValue }));
      for (let length = 0; length < bytes.length; length += 1) {
        refuses(bytes.subarray(0, length), /./);
      }
    }
  });

  it('counts that no file of that length can have', () => {
    for (const count of [30, 0x7fffffff, 0xffffffff]) {
      refuses(withWord(fromHex(rowsHex), 8, count), /cut off/);
      refuses(withWord(fromHex(rowsHex), 24, count), /cells for 2 tokens/);
      refuses(withWord(fromHex(rowsHex), 64, count), /bytes|cut off/);
      refuses(withWord(fromHex(rowsHex), 68, count), /bytes/);
    }
  });

  function withCell(index: number, difference: object): typeof cells {
    return cells.map((cell, i) => (i === index ? { ...cell, ...difference } : cell));
  }

  function withExtension(): HandmadeState['content'][number] {
    return cells.map((cell) => ({ ...cell, extension: [0, cell.position, 77] }));
  }

  function transposed(difference: object): Partial<HandmadeState> {
    return { transposed: 1, layers: [{ ...layer, ...difference }] };
  }
});

describe('any change', () => {
  /**
   * Goal: damage ends in a StoreError or in a state whose every part lies in the file, never in
   * another error or a read beyond the end. Method: bytes at random places get random values.
   */
  it('of bytes is refused or understood within the file', async () => {
    const change = fc.record({ at: fc.nat(), value: fc.nat(255) });
    const plan = fc.record({
      transposed: fc.nat(1),
      changes: fc.array(change, { minLength: 1, maxLength: 4 }),
      cutOff: fc.oneof(fc.constant(0), fc.nat(30)),
    });
    await fc.assert(
      fc.asyncProperty(plan, async ({ transposed, changes, cutOff }) => {
        const whole = handmadeBytes(handmadeState(4, { transposed }));
        const bytes = whole.subarray(0, whole.length - cutOff);
        for (const { at, value } of changes) bytes[at % bytes.length] = value;
        const parsed = await outcomeOf(() => parseState(bytes));
        const read = await outcomeOf(() => readState(boundedFile(bytes)));
        assert.deepEqual(read, parsed);
        if (typeof parsed === 'string') return;
        for (const { fileOffset, rowBytes } of parsed.regions) {
          assert.ok(fileOffset + parsed.cells * rowBytes <= bytes.length);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('readState()', () => {
  it('sees what parseState() sees', async () => {
    const bytes = handmadeBytes(handmadeState(300, { transposed: 1 }));
    assert.deepEqual(await readState(boundedFile(bytes)), parseState(bytes));
  });

  it('reads no keys and no values', async () => {
    const bytes = handmadeBytes(handmadeState(300));
    const file = boundedFile(bytes);
    const { geometry, cells } = await readState(file);
    assert.equal(file.bytesRead, bytes.length - payloadByteLength(geometry, cells));
  });

  it('refuses a file that becomes shorter meanwhile', async () => {
    const bytes = handmadeBytes(handmadeState(300));
    const file = boundedFile(bytes.subarray(0, 2000), bytes.length);
    await assert.rejects(readState(file), (error) => isStoreError(error, 'INCOMPATIBLE'));
  });
});

describe('equalGeometry()', () => {
  it('compares types, sizes, layout and number of layers', () => {
    const { geometry } = parseState(fromHex(rowsHex));
    const [key] = geometry.keys;
    assert.ok(equalGeometry(geometry, JSON.parse(JSON.stringify(geometry)) as typeof geometry));
    const others = [
      { ...geometry, isTransposed: true },
      { ...geometry, keys: [{ ...key, type: 0 }] },
      { ...geometry, keys: [{ ...key, rowBytes: 8 }] },
      { ...geometry, values: [{ ...key, elementBytes: 2 }] },
      { ...geometry, keys: [key, key] },
      { ...geometry, keys: [key, key], values: [] },
    ];
    for (const other of others) assert.ok(!equalGeometry(geometry, other), geometryText(other));
  });
});

function fromHex(text: string): Uint8Array {
  const bytes = bytesFromHex(text.replaceAll(/\s/g, ''));
  assert.ok(bytes);
  return bytes;
}

function payload(bytes: Uint8Array, state: LlamaState, start: number, end: number): Uint8Array {
  const target = new Uint8Array(payloadByteLength(state.geometry, end - start));
  extractCells(bytes, state, { range: { start, end }, target });
  return target;
}

function refuses(bytes: Uint8Array, reason: RegExp): void {
  assert.throws(
    () => parseState(bytes),
    (error) => {
      assert.ok(isStoreError(error, 'INCOMPATIBLE'), String(error));
      assert.match(error.message, reason);
      return true;
    },
  );
}

function withWord(bytes: Uint8Array, at: number, word: number): Uint8Array {
  const changed = bytes.slice();
  new DataView(changed.buffer).setUint32(at, word, true);
  return changed;
}

/** The state, or the message of the refusal. Any other error passes through and fails the test. */
async function outcomeOf(
  run: () => LlamaState | Promise<LlamaState>,
): Promise<LlamaState | string> {
  try {
    return await run();
  } catch (error) {
    if (isStoreError(error, 'INCOMPATIBLE')) return error.message;
    throw error;
  }
}

/** An open file that fails the test when more is asked for than it says to have. */
function boundedFile(
  bytes: Uint8Array,
  claimedLength = bytes.length,
): { bytesRead: number; read: ReadBytes; byteLength: () => Promise<number> } {
  return {
    bytesRead: 0,
    async read(into, position) {
      assert.ok(position + into.length <= claimedLength, 'a read beyond the end');
      const part = bytes.subarray(position, position + into.length);
      into.set(part);
      this.bytesRead += part.length;
      return part.length;
    },
    byteLength: async () => claimedLength,
  };
}

type ReadBytes = (into: Uint8Array, position: number) => Promise<number>;
