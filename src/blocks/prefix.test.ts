import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chainVector } from '../../test/golden/keys.ts';
import { blake3Hex } from '../base/blake3.ts';
import { limits } from './limits.ts';
import { Prefix, isBlockTokens, seedOf, tailDigest } from './prefix.ts';

/** The vector of the contract. */
const vector = chainVector();
const seed = seedOf(vector.seedInput);
const [firstKey, secondKey] = vector.keys;
const tokens256 = Int32Array.from({ length: 256 }, (_, token) => token);

describe('Prefix', () => {
  it('has the seed and the keys of the contract', () => {
    assert.equal(seed, vector.seed);
    assert.equal(vector.keys.length, 2);
    const prefix = new Prefix(seed, 128);
    prefix.append(tokens256);
    assert.deepEqual(prefix.keys, [firstKey, secondKey]);
    assert.equal(prefix.tip(), secondKey);
    assert.equal(prefix.tip(1), firstKey);
    assert.equal(prefix.tip(0), seed);
  });

  it('has a key for full blocks only', () => {
    const prefix = new Prefix(seed);
    prefix.append(tokens256.subarray(0, 127));
    assert.deepEqual(prefix.keys, []);
    assert.equal(prefix.tip(), seed);
    prefix.append([127]);
    assert.deepEqual(prefix.keys, [firstKey]);
    assert.equal(prefix.tokenCount, 128);
  });

  it('has the same keys however its tokens arrive, and those of the rule', () => {
    const token = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
    const parts = fc.array(fc.array(token, { maxLength: 300 }), { maxLength: 6 });
    fc.assert(
      fc.property(parts, fc.constantFrom(128, 256), (pieces, blockTokens) => {
        const all = pieces.flat();
        const grown = new Prefix(seed, blockTokens);
        for (const piece of pieces) grown.append(piece);
        const atOnce = new Prefix(seed, blockTokens);
        atOnce.append(Int32Array.from(all));
        assert.deepEqual(grown.keys, atOnce.keys);
        assert.deepEqual([...grown.keys], keysByRule(all, blockTokens));
        assert.deepEqual([...grown.tokens()], all);
        assert.deepEqual([...grown.tokens(3, 9)], all.slice(3, 9));
      }),
      { numRuns: 60 },
    );
  });

  it('has other keys after any other token, and the same ones before it', () => {
    fc.assert(
      fc.property(fc.nat(1023), fc.integer({ min: 1, max: 1000 }), (place, difference) => {
        const tokens = Int32Array.from({ length: 1024 }, (_, i) => i);
        const prefix = new Prefix(seed);
        prefix.append(tokens);
        tokens[place] += difference;
        const other = new Prefix(seed);
        other.append(tokens);
        const block = Math.floor(place / 128);
        assert.deepEqual(other.keys.slice(0, block), prefix.keys.slice(0, block));
        for (let i = block; i < 8; i += 1) assert.notEqual(other.keys[i], prefix.keys[i]);
      }),
      { numRuns: 50 },
    );
  });

  it('of other tokens takes over what both begin with, and neither changes the other', () => {
    const counts = fc.integer({ min: 0, max: 700 });
    fc.assert(
      fc.property(counts, counts, counts, (length, shared, otherLength) => {
        const tokens = Array.from({ length }, (_, i) => i);
        const other = Array.from({ length: otherLength }, (_, i) => (i < shared ? i : -i));
        const prefix = new Prefix(seed);
        prefix.append(tokens);
        const derived = prefix.with(other);
        const fresh = new Prefix(seed);
        fresh.append(other);
        for (const one of [derived, fresh]) one.append([1, 2, 3]);
        assert.deepEqual(derived.keys, fresh.keys);
        assert.deepEqual(derived.tokens(), fresh.tokens());
        assert.equal(prefix.tokenCount, length);
      }),
      { numRuns: 100 },
    );
  });

  it('has other keys for another block size, since they cover other tokens', () => {
    const prefix = new Prefix(seed, 256);
    prefix.append(tokens256);
    assert.equal(prefix.keys.length, 1);
    assert.ok(![firstKey, secondKey].includes(prefix.keys[0]));
  });

  it('refuses a token that is no 32-bit integer, and adds none of the call', () => {
    for (const wrong of [1.5, 2 ** 31, -(2 ** 31) - 1, NaN, Infinity]) {
      const prefix = new Prefix(seed);
      assert.throws(() => prefix.append([1, wrong]), { name: 'RangeError', message: /token 1/ });
      assert.equal(prefix.tokenCount, 0);
    }
  });

  it('refuses a block size that the identity does not allow', () => {
    for (const wrong of [0, -128, 1, 127, 129, 128.5, limits.blockTokensMax + 128, NaN]) {
      assert.ok(!isBlockTokens(wrong), String(wrong));
      assert.throws(() => new Prefix(seed, wrong), { name: 'RangeError', message: /block tokens/ });
    }
    assert.ok(isBlockTokens(128) && isBlockTokens(limits.blockTokensMax));
  });

  it('refuses the tip of blocks that it does not have', () => {
    assert.throws(() => new Prefix(seed).tip(1), { name: 'AssertionError' });
    assert.throws(() => new Prefix(seed).tip(-1), { name: 'AssertionError' });
  });
});

describe('tailDigest()', () => {
  it('hashes tip and tokens as a chain does, so that a full block has its key', () => {
    assert.equal(tailDigest(seed, tokens256.subarray(0, 128)), firstKey);
    assert.equal(tailDigest(seed, tokens256), blake3Hex(chainInput(seed, [...tokens256])));
  });

  it('tells tips, tokens and their order apart', () => {
    const digests = [
      tailDigest(seed, []),
      tailDigest(seedOf('other'), []),
      tailDigest(seed, [1]),
      tailDigest(seed, [1, 2]),
      tailDigest(seed, [2, 1]),
      tailDigest(seed, [-1]),
    ];
    assert.equal(new Set(digests).size, digests.length);
  });
});

function keysByRule(tokens: readonly number[], blockTokens: number): string[] {
  const keys: string[] = [];
  for (let end = blockTokens; end <= tokens.length; end += blockTokens) {
    const block = tokens.slice(end - blockTokens, end);
    keys.push(blake3Hex(chainInput(keys.at(-1) ?? seed, block)));
  }
  return keys;
}

/** The previous key in ASCII, then the tokens as little-endian int32. */
function chainInput(previous: string, tokens: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * tokens.length);
  tokens.forEach((token, i) => bytes.writeInt32LE(token, 4 * i));
  return Uint8Array.from(Buffer.concat([Buffer.from(previous, 'latin1'), bytes]));
}
