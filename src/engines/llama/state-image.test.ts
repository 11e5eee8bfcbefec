import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { concatBytes } from '../../base/bytes.ts';
import {
  handmadeBytes,
  handmadePayload,
  handmadeState,
} from '../../../test/engine/handmade-state.ts';
import type { HandmadeState } from '../../../test/engine/handmade-state.ts';
import { imageBuffers, planImage } from './state-image.ts';
import type { ImageTarget } from './state-image.ts';
import { payloadByteLength } from './state-layout.ts';
import type { StateGeometry } from './state-layout.ts';
import { extractCells, readCells, sliceState } from './state-payload.ts';
import { parseState } from './state-parse.ts';

/** A state with a random geometry, in a random stream, and how it is cut. */
const plans = fc
  .record({
    tokenCount: fc.integer({ min: 1, max: 80 }),
    blockTokens: fc.integer({ min: 1, max: 40 }),
    transposed: fc.nat(1),
    layers: fc.array(
      fc.record({
        type: fc.nat(40),
        keyRowBytes: fc.integer({ min: 1, max: 24 }),
        rows: fc.integer({ min: 1, max: 6 }),
        elementBytes: fc.constantFrom(1, 2, 4),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    streams: fc.integer({ min: 1, max: 4 }),
    stream: fc.nat(3),
    sequenceId: fc.nat(3),
  })
  .map((plan) => ({ ...plan, stream: plan.stream % plan.streams }));

type Plan = typeof plans extends fc.Arbitrary<infer T> ? T : never;

describe('planImage() and imageBuffers()', () => {
  it('write what an independent encoder writes', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const state = stateOf(plan);
        const image = imageOf(state, plan.blockTokens, plan);
        assert.deepEqual(image, handmadeBytes(state));
      }),
      { numRuns: 100 },
    );
  });

  it('give back the payloads that went in', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const state = stateOf(plan);
        const payloads = payloadsOf(state, plan.blockTokens);
        const {
          state: parsed,
          blocks,
          tail,
        } = sliceState(imageOf(state, plan.blockTokens, plan), {
          blockTokens: plan.blockTokens,
          firstBlock: 0,
        });
        assert.deepEqual(tail === undefined ? blocks : [...blocks, tail], payloads);
        assert.deepEqual(parsed.geometry, geometryOf(state));
        assert.deepEqual([...parsed.tokens], state.tokens);
        assert.deepEqual(
          [parsed.streams, parsed.stream, parsed.sequenceId],
          [plan.streams, plan.stream, plan.sequenceId],
        );
      }),
      { numRuns: 100 },
    );
  });

  it('copy no rows: every buffer is a head or a part of a payload', () => {
    const state = handmadeState(300);
    const payloads = payloadsOf(state, 128);
    const plan = planImage(geometryOf(state), Int32Array.from(state.tokens));
    const buffers = imageBuffers(plan, payloads);
    assert.equal(plan.scratchByteLength, 0);
    assert.equal(buffers.length, 4 * (1 + payloads.length));
    const owned = new Set([...plan.heads, ...payloads].map(({ buffer }) => buffer));
    assert.ok(buffers.every(({ buffer }) => owned.has(buffer)));
  });

  it('put transposed values together in the scratch they are given', () => {
    const state = handmadeState(300, { transposed: 1 });
    const plan = planImage(geometryOf(state), Int32Array.from(state.tokens));
    const scratch = new Uint8Array(plan.scratchByteLength + 10).fill(9);
    const buffers = imageBuffers(plan, payloadsOf(state, 128), scratch);
    assert.equal(plan.scratchByteLength, 2 * 300 * 4);
    assert.equal(buffers.filter(({ buffer }) => buffer === scratch.buffer).length, 2);
    assert.deepEqual(concatBytes(buffers), handmadeBytes(state));
  });

  it('take payloads in shared memory', () => {
    for (const transposed of [0, 1]) {
      const state = handmadeState(200, { transposed });
      const payloads = payloadsOf(state, 128).map((payload) => {
        const shared = new Uint8Array(new SharedArrayBuffer(payload.length));
        shared.set(payload);
        return shared;
      });
      const plan = planImage(geometryOf(state), Int32Array.from(state.tokens));
      assert.deepEqual(concatBytes(imageBuffers(plan, payloads)), handmadeBytes(state));
    }
  });

  it('stop at payloads that do not fit the tokens', () => {
    const state = handmadeState(20);
    const plan = planImage(geometryOf(state), Int32Array.from(state.tokens));
    const [first, second] = payloadsOf(state, 10);
    for (const payloads of [[], [first], [first, second, second], [first, second.subarray(1)]]) {
      assert.throws(() => imageBuffers(plan, payloads), /payloads of .* tokens for 20 cells/);
    }
  });

  it('refuse a stream that the context does not have', () => {
    const { tokens, ...rest } = handmadeState(2);
    const geometry = geometryOf({ tokens, ...rest });
    for (const [streams, stream] of [
      [0, 0],
      [257, 0],
      [2, 2],
      [2, -1],
    ]) {
      const target = { streams, stream, sequenceId: 0 };
      assert.throws(() => planImage(geometry, Int32Array.from(tokens), target), RangeError);
    }
  });
});

describe('readCells()', () => {
  it('reads from a file what extractCells() copies from its bytes', async () => {
    for (const transposed of [0, 1]) {
      const state = handmadeState(300, { transposed });
      const bytes = handmadeBytes(state);
      const parsed = parseState(bytes);
      const cuts = [
        { start: 128, end: 256 },
        { start: 256, end: 300 },
        { start: 7, end: 8 },
      ].map((range) => ({ range, target: targetOf(state, range.end - range.start) }));
      await readCells(fileOf(bytes), parsed, cuts);
      for (const { range, target } of cuts) {
        assert.deepEqual(target, handmadePayload(state, range.start, range.end));
        extractCells(bytes, parsed, { range, target: target.fill(0) });
        assert.deepEqual(target, handmadePayload(state, range.start, range.end));
      }
    }
  });

  it('stops when the file became shorter', async () => {
    const state = handmadeState(20);
    const bytes = handmadeBytes(state);
    const cut = { range: { start: 10, end: 20 }, target: targetOf(state, 10) };
    const shorter = fileOf(bytes.subarray(0, bytes.length - 1));
    await assert.rejects(readCells(shorter, parseState(bytes), [cut]), /changed since parsing/);
  });
});

describe('extractCells()', () => {
  it('stops at ranges and targets that do not fit', () => {
    const state = handmadeState(20);
    const bytes = handmadeBytes(state);
    const parsed = parseState(bytes);
    for (const [start, end] of [
      [0, 21],
      [-1, 9],
      [5, 5],
      [9, 8],
      [0.5, 10.5],
    ]) {
      const cut = { range: { start, end }, target: new Uint8Array(10) };
      assert.throws(() => extractCells(bytes, parsed, cut), /tokens .* of 20/);
    }
    const cut = { range: { start: 0, end: 10 }, target: targetOf(state, 9) };
    assert.throws(() => extractCells(bytes, parsed, cut), /target has/);
  });
});

describe('sliceState()', () => {
  it('leaves out the first blocks, and a tail that would be empty', () => {
    const state = handmadeState(30);
    const allocated: number[] = [];
    const { blocks, tail } = sliceState(
      handmadeBytes(state),
      { blockTokens: 10, firstBlock: 2 },
      (byteLength) => {
        allocated.push(byteLength);
        return new Uint8Array(byteLength);
      },
    );
    assert.deepEqual(blocks, [handmadePayload(state, 20, 30)]);
    assert.equal(tail, undefined);
    assert.deepEqual(allocated, [payloadByteLength(geometryOf(state), 10)]);
  });
});

function stateOf(plan: Plan): HandmadeState {
  const cells = Array.from({ length: plan.tokenCount }, (_, position) => ({
    position,
    sequences: [plan.sequenceId],
  }));
  return handmadeState(plan.tokenCount, {
    transposed: plan.transposed,
    layers: plan.layers.map(({ type, keyRowBytes, rows, elementBytes }) => ({
      type,
      keyRowBytes,
      valueRowBytes: rows * elementBytes,
      elementBytes,
    })),
    content: Array.from({ length: plan.streams }, (_, i) =>
      i === plan.stream ? cells : undefined,
    ),
  });
}

function geometryOf({ transposed, layers }: HandmadeState): StateGeometry {
  return {
    isTransposed: transposed === 1,
    keys: layers.map(({ type, keyRowBytes }) => ({ type, rowBytes: keyRowBytes, elementBytes: 0 })),
    values: layers.map(({ type, valueRowBytes, elementBytes }) => ({
      type,
      rowBytes: valueRowBytes,
      elementBytes: transposed === 1 ? elementBytes : 0,
    })),
  };
}

function payloadsOf(state: HandmadeState, blockTokens: number): Uint8Array[] {
  const payloads: Uint8Array[] = [];
  for (let start = 0; start < state.tokens.length; start += blockTokens) {
    const end = Math.min(start + blockTokens, state.tokens.length);
    payloads.push(handmadePayload(state, start, end));
  }
  return payloads;
}

function imageOf(state: HandmadeState, blockTokens: number, target: ImageTarget): Uint8Array {
  const plan = planImage(geometryOf(state), Int32Array.from(state.tokens), target);
  const image = concatBytes(imageBuffers(plan, payloadsOf(state, blockTokens)));
  assert.equal(image.length, plan.byteLength);
  return image;
}

function targetOf(state: HandmadeState, tokens: number): Uint8Array {
  return new Uint8Array(payloadByteLength(geometryOf(state), tokens));
}

function fileOf(bytes: Uint8Array): { read: (into: Uint8Array, at: number) => Promise<number> } {
  return {
    async read(into, at) {
      const part = bytes.subarray(at, at + into.length);
      into.set(part);
      return part.length;
    },
  };
}
