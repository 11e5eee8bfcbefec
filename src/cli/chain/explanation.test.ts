import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chainOf } from '../../../test/support/chains.ts';
import { explain } from './explanation.ts';
import type { BlockPlace, ObjectCopy } from './chain-look.ts';

const { keys } = chainOf('explanation', 4);
const there: ObjectCopy = { state: 'there', detail: undefined, header: undefined };
const placesOf = (...states: readonly ObjectCopy['state'][]): readonly BlockPlace[] =>
  states.map((state, index) => ({ key: keys[index], local: [], object: { ...there, state } }));

test('what is stored whole and not worth restoring has that reason, and a hole has its own', () => {
  const worth = { isWorthIt: false, prefillMs: 1, bytes: 1 };
  const whole = explain(placesOf('there', 'there'), {}, worth);
  assert.deepEqual([whole.had, whole.reason], [2, 'not-worth-it']);
  assert.equal(explain(placesOf('there'), {}, { ...worth, isWorthIt: true }).reason, undefined);
  assert.equal(explain(placesOf('there', 'absent'), {}, worth).reason, 'unknown');
});

test('blocks that were not asked for share the reason of the one that ended the asking', () => {
  for (const state of ['deadline', 'unavailable'] as const) {
    const { had, reason, runs } = explain(placesOf('there', 'unasked', state), {}, undefined);
    assert.deepEqual([had, reason], [1, state]);
    assert.deepEqual(
      runs.map(({ durability }) => durability),
      ['durable', 'unknown', 'unknown'],
    );
  }
});

test('an object of a newer version is incompatible, and a pending copy on disk is had', () => {
  assert.equal(explain(placesOf('newer'), {}, undefined).reason, 'incompatible');
  const copy = { part: 0, isInUse: true, isPending: true, isIntact: true };
  const local = [
    { ...copy, tier: 'disk' as const, fingerprint: undefined, hasDecodedTokens: false },
  ];
  const [place] = placesOf('absent');
  const { reason, runs } = explain([{ ...place, local }], {}, undefined);
  assert.deepEqual([reason, runs[0].durability], [undefined, 'pending']);
});
