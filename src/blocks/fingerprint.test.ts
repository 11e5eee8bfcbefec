import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fingerprintOf, fingerprintText, llamaSeedInput } from './fingerprint.ts';
import type { FingerprintIngredients } from './fingerprint.ts';
import { seedOf } from './prefix.ts';

/** Every kind of ingredient, and runs of layers of different lengths. */
const rich: FingerprintIngredients = {
  modelBlake3: '0123456789abcdef'.repeat(4),
  engine: 'llama.cpp',
  release: 'v0.5.0',
  stateVersion: 3,
  keyRows: [
    { type: 8, byteLength: 272 },
    { type: 8, byteLength: 272 },
    { type: 1, byteLength: 512 },
    { type: 8, byteLength: 272 },
  ],
  valueRows: new Array(4).fill({ type: 1, byteLength: 512 }),
  isValueTransposed: true,
  attentionRotation: 'on',
  ropeOverrides: { freq_base: 10_000.5, scaling: 'yarn' },
  loraAdapters: [
    { blake3: 'aa'.repeat(32), scale: 1 },
    { blake3: 'bb'.repeat(32), scale: -0.25 },
  ],
  slidingWindow: { tokens: 4096 },
};

const plain: FingerprintIngredients = {
  ...rich,
  keyRows: [{ type: 1, byteLength: 512 }],
  valueRows: [{ type: 1, byteLength: 512 }],
  isValueTransposed: false,
  attentionRotation: 'not-applicable',
  ropeOverrides: {},
  loraAdapters: [],
  slidingWindow: {},
};

/** What every program that drives the same engine must hash. */
const richText = `wombatkv-fingerprint-1
attention.rotation=on
engine=llama.cpp
k.rows=8:272x2,1:512x1,8:272x1
lora.0=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa*1
lora.1=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb*-0.25
model.blake3=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
release=v0.5.0
rope.freq_base=10000.5
rope.scaling=yarn
state.version=3
swa.tokens=4096
v.rows=1:512x4
v.transposed=1
`;

const plainText = `wombatkv-fingerprint-1
attention.rotation=not-applicable
engine=llama.cpp
k.rows=1:512x1
model.blake3=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
release=v0.5.0
state.version=3
v.rows=1:512x1
v.transposed=0
`;

describe('fingerprintText()', () => {
  it('is a heading and lines sorted by name', () => {
    assert.equal(fingerprintText(rich), richText);
    assert.equal(fingerprintText(plain), plainText);
  });

  it('does not depend on the order in which named values are given', () => {
    const ropeOverrides = { scaling: 'yarn', freq_base: 10_000.5 };
    assert.equal(fingerprintText({ ...rich, ropeOverrides }), richText);
  });
});

describe('fingerprintOf()', () => {
  /** Digests of the texts above, by another implementation of BLAKE3 than the one under test. */
  it('is the BLAKE3 digest of the text', () => {
    assert.equal(
      fingerprintOf(rich),
      '013bd6c119f64f5e91692ab7d5f05eb3a948e4f116c389100a9592bea2626a21',
    );
    assert.equal(
      fingerprintOf(plain),
      '6b0534aa3f2ceb7a24326bf3881eb0006bd26caf4710675a820f2d756e9fac44',
    );
  });

  it('changes with every ingredient', () => {
    const changes: readonly Partial<FingerprintIngredients>[] = [
      { modelBlake3: 'cd'.repeat(32) },
      { engine: 'other' },
      { release: 'v0.5.1' },
      { stateVersion: 4 },
      { keyRows: rich.keyRows.slice(1) },
      { keyRows: rich.keyRows.toReversed() },
      { keyRows: [...rich.keyRows.slice(0, 3), { type: 8, byteLength: 273 }] },
      { valueRows: [...rich.valueRows.slice(0, 3), { type: 0, byteLength: 512 }] },
      { isValueTransposed: false },
      { attentionRotation: 'off' },
      { attentionRotation: 'not-applicable' },
      { ropeOverrides: {} },
      { ropeOverrides: { freq_base: 10_000.5, scaling: 'linear' } },
      { ropeOverrides: { freq_base: 10_000, scaling: 'yarn' } },
      { loraAdapters: [] },
      { loraAdapters: rich.loraAdapters.toReversed() },
      { loraAdapters: rich.loraAdapters.slice(0, 1) },
      { loraAdapters: rich.loraAdapters.map(({ blake3 }) => ({ blake3, scale: 1 })) },
      { slidingWindow: {} },
      { slidingWindow: { tokens: 4097 } },
    ];
    const all = [rich, ...changes.map((change) => ({ ...rich, ...change }))].map(fingerprintOf);
    assert.equal(new Set(all).size, all.length);
  });

  it('tells keys from values, and an override from a window of the same name', () => {
    const exchanged = { ...rich, keyRows: rich.valueRows, valueRows: rich.keyRows };
    assert.notEqual(fingerprintOf(exchanged), fingerprintOf(rich));
    const named = { ...plain, ropeOverrides: { x: 1 } };
    assert.notEqual(fingerprintOf(named), fingerprintOf({ ...plain, slidingWindow: { x: 1 } }));
  });

  it('fails closed: what is malformed is refused by name', () => {
    const wrong: readonly [RegExp, Partial<FingerprintIngredients>][] = [
      [/modelBlake3/, { modelBlake3: '' }],
      [/modelBlake3/, { modelBlake3: 'AB'.repeat(32) }],
      [/engine/, { engine: '' }],
      [/release/, { release: 'v0.5.0\nstate.version=9' }],
      [/release/, { release: 'v 1' }],
      [/stateVersion/, { stateVersion: NaN }],
      [/stateVersion/, { stateVersion: -1 }],
      [/keyRows has no layer/, { keyRows: [] }],
      [/valueRows\[1\].type/, { valueRows: [rich.valueRows[0], { type: 0.5, byteLength: 1 }] }],
      [/keyRows\[0\].byteLength/, { keyRows: [{ type: 1, byteLength: Infinity }] }],
      [/rope/, { ropeOverrides: { 'a\nb': 1 } }],
      [/rope.a/, { ropeOverrides: { a: '' } }],
      [/rope.a/, { ropeOverrides: { a: undefined as never } }],
      [/rope.a/, { ropeOverrides: { a: NaN } }],
      [/isValueTransposed/, { isValueTransposed: 1 as never }],
      [/attentionRotation/, { attentionRotation: 'maybe' as never }],
      [/swa/, { slidingWindow: { a: 'é' } }],
      [/loraAdapters\[0\].blake3/, { loraAdapters: [{ blake3: 'x', scale: 1 }] }],
      [/loraAdapters\[0\].scale/, { loraAdapters: [{ blake3: 'aa'.repeat(32), scale: NaN }] }],
    ];
    for (const [message, change] of wrong) {
      assert.throws(() => fingerprintOf({ ...rich, ...change }), { name: 'RangeError', message });
    }
  });

  it('fails closed: what is left out is refused', () => {
    for (const name of Object.keys(rich)) {
      assert.throws(() => fingerprintOf({ ...rich, [name]: undefined } as never), Error, name);
    }
  });
});

describe('llamaSeedInput()', () => {
  it('names fingerprint and block size, so that chains of other sizes share no key', () => {
    const fingerprint = fingerprintOf(plain);
    assert.equal(llamaSeedInput(fingerprint, 128), `WMBTBLK1|${fingerprint}|llama-v1|b128`);
    const seeds = [128, 256, 8192].map((size) => seedOf(llamaSeedInput(fingerprint, size)));
    assert.equal(new Set(seeds).size, 3);
  });
});
