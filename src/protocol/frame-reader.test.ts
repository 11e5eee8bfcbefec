import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../base/bytes.ts';
import { StoreError } from '../base/errors.ts';
import { randomPayload } from '../../test/support/payloads.ts';
import { encodeDataHeader, encodeFrame, frameHeaderBytes } from './frame.ts';
import type { FrameHeader } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import type { FrameHandler } from './frame-reader.ts';

/** Notes what arrives. Data of odd ids is dropped, and so are long messages when there is no memory. */
class Notes implements FrameHandler {
  readonly seen: string[] = [];
  readonly bodies: Uint8Array[] = [];
  most = 1_000_000;
  hasMemory = true;
  #target: Uint8Array | undefined;

  bodyBytesMax(): number {
    return this.most;
  }

  bodyMemory({ type, id, length }: FrameHeader): Uint8Array | undefined {
    if (this.hasMemory) return new Uint8Array(length);
    this.seen.push(`no memory ${type} ${id}: ${length}`);
    return undefined;
  }

  onFrame({ type, id }: FrameHeader, body: Uint8Array): void {
    this.seen.push(`${type} ${id}: ${body.length}`);
    this.bodies.push(Uint8Array.from(body));
  }

  dataTarget(id: number, length: number): Uint8Array | undefined {
    this.#target = id % 2 === 1 ? undefined : new Uint8Array(length);
    return this.#target;
  }

  onData(id: number, length: number, isKept: boolean): void {
    this.seen.push(`${isKept ? 'data' : 'dropped'} ${id}: ${length}`);
    if (this.#target !== undefined) this.bodies.push(this.#target);
  }
}

/** Gives the stream to the reader in pieces whose sizes come from `sizeOf`. */
function feed(reader: FrameReader, stream: Uint8Array, sizeOf: (turn: number) => number): void {
  let at = 0;
  for (let turn = 0; at < stream.length; turn += 1) {
    const into = reader.nextBuffer();
    assert.ok(into.length > 0, 'there is always memory for a byte');
    const count = Math.min(into.length, stream.length - at, Math.max(1, sizeOf(turn)));
    into.set(stream.subarray(at, at + count));
    at += count;
    reader.received(count);
  }
}

function data(id: number, payload: Uint8Array): readonly Uint8Array[] {
  return [encodeDataHeader(id, payload.length), payload];
}

const large = randomPayload('frame-reader/large', 300_000);
const small = randomPayload('frame-reader/small', 100);
const frames = [
  ...encodeFrame('ping', 1),
  ...encodeFrame('lookup', 2, small),
  ...data(4, large),
  ...data(5, large),
  ...encodeFrame('save', 6, large),
  ...data(8, small),
  ...data(9, small),
  ...data(10, new Uint8Array(0)),
  ...encodeFrame('lookup', 11, randomPayload('frame-reader/middle', 60_000)),
  ...encodeFrame('pong', 12),
];
const expected = [
  'ping 1: 0',
  'lookup 2: 100',
  'data 4: 300000',
  'dropped 5: 300000',
  'save 6: 300000',
  'data 8: 100',
  'dropped 9: 100',
  'data 10: 0',
  'lookup 11: 60000',
  'pong 12: 0',
];

describe('FrameReader', () => {
  it('gives every frame whole, however the stream is cut', () => {
    const stream = concatBytes(frames);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1 }), (sizes) => {
        const notes = new Notes();
        const reader = new FrameReader(notes);
        feed(reader, stream, (turn) => sizes[turn % sizes.length]);
        assert.deepEqual(notes.seen, expected);
        assert.deepEqual(notes.bodies[2], large);
        assert.deepEqual(notes.bodies[3], large);
        assert.ok(reader.isIdle);
      }),
      { numRuns: 40 },
    );
  });

  it('gives every frame whole when the stream comes byte by byte', () => {
    const stream = concatBytes([...encodeFrame('lookup', 2, small), ...data(4, small)]);
    const notes = new Notes();
    feed(new FrameReader(notes), stream, () => 1);
    assert.deepEqual(notes.seen, ['lookup 2: 100', 'data 4: 100']);
  });

  it('reads a payload into its place: at most the first 64 KiB of a piece are copied', () => {
    const notes = new Notes();
    const reader = new FrameReader(notes);
    const stream = concatBytes(data(4, randomPayload('direct', 1_000_000)));
    const into = reader.nextBuffer();
    into.set(stream.subarray(0, into.length));
    reader.received(into.length);
    assert.equal(reader.nextBuffer().length, 1_000_000 + frameHeaderBytes - into.length);
  });

  it('refuses a body that is too long before it takes memory', () => {
    const notes = new Notes();
    notes.most = 1000;
    const [header] = encodeFrame('lookup', 1, large);
    assert.throws(
      () => feed(new FrameReader(notes), header, () => 24),
      (error: unknown) => error instanceof StoreError && error.code === 'TOO_LARGE',
    );
  });

  it('drops a message that there is no memory for, however the stream is cut, and what follows is whole', () => {
    const stream = concatBytes(frames);
    const seen = expected.map((frame) =>
      frame === 'save 6: 300000' || frame === 'lookup 11: 60000' ? `no memory ${frame}` : frame,
    );
    for (const size of [1, 1000, 50_000, 400_000]) {
      const notes = new Notes();
      notes.hasMemory = false;
      const reader = new FrameReader(notes);
      feed(reader, stream, () => size);
      // Whether a message of 60,000 bytes is long depends on where in the reader's own memory it comes.
      const isShort = notes.seen.includes('lookup 11: 60000');
      assert.deepEqual(notes.seen, isShort ? seen.with(8, 'lookup 11: 60000') : seen);
      assert.ok(reader.isIdle);
    }
  });

  it('refuses what is no frame, another version, and any flipped bit of header or body', () => {
    const stream = concatBytes(encodeFrame('lookup', 2, small));
    const codes = new Set<string>();
    for (let bit = 0; bit < stream.length * 8; bit += 1) {
      const damaged = Uint8Array.from(stream);
      damaged[bit >> 3] ^= 1 << (bit & 7);
      assert.throws(
        () => feed(new FrameReader(new Notes()), damaged, () => 1000),
        (error: unknown) => {
          assert.ok(error instanceof StoreError, String(error));
          codes.add(error.code);
          return true;
        },
        `bit ${bit}`,
      );
    }
    assert.deepEqual([...codes].sort(), ['CORRUPT', 'INCOMPATIBLE', 'INVALID']);
  });

  it('answers any bytes with frames or our own error', () => {
    const begin = concatBytes(frames.slice(0, 3));
    const inputs = fc.tuple(fc.nat(begin.length), fc.uint8Array({ maxLength: 400 }));
    fc.assert(
      fc.property(inputs, ([length, rest]) => {
        const stream = concatBytes([begin.subarray(0, length), rest]);
        try {
          feed(new FrameReader(new Notes()), stream, (turn) => (turn * 37) % 91);
        } catch (error) {
          assert.ok(error instanceof StoreError, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('reads little behind a long piece, so that the next one need not be copied', () => {
    const notes = new Notes();
    const reader = new FrameReader(notes);
    const long = randomPayload('frame-reader/long', 600_000);
    assert.ok(reader.nextBuffer().length > 60_000);
    feed(reader, concatBytes(data(2, long)), () => Infinity);
    const little = reader.nextBuffer().length;
    assert.ok(little >= 3 * frameHeaderBytes && little <= 512, `${little} bytes`);
    feed(
      reader,
      concatBytes([...encodeFrame('lookup', 4, small), ...data(6, long)]),
      () => Infinity,
    );
    feed(reader, concatBytes(encodeFrame('ping', 1)), () => Infinity);
    assert.ok(reader.nextBuffer().length > 60_000, 'small frames come many at a time again');
    feed(reader, concatBytes(data(8, small)), () => Infinity);
    assert.ok(reader.nextBuffer().length > 60_000);
    assert.deepEqual(notes.bodies, [long, small, long, new Uint8Array(0), small]);
    assert.ok(reader.isIdle);
  });
});
