import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { chainOf } from '../../test/support/chains.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { LeftKeys } from './left-keys.ts';

const team = parseNamespace('team');
const other = parseNamespace('other');
const [a, b, c] = chainOf('left keys', 3).keys;

describe('keys that were left in a ring', () => {
  it('are known until the store has taken their entry, over the end of positions', () => {
    const left = new LeftKeys();
    const beforeEnd = 2 ** 32 - 8;
    left.add(team, [a], beforeEnd);
    left.add(team, [b], 8);
    left.forget(beforeEnd - 1);
    assert.deepEqual([left.has(team, a), left.has(team, b)], [true, true]);
    left.forget(beforeEnd);
    assert.deepEqual([left.has(team, a), left.has(team, b)], [false, true]);
    left.forget(8);
    assert.equal(left.has(team, b), false);
  });

  it('are those of one namespace', () => {
    const left = new LeftKeys();
    left.add(team, [a], 10);
    assert.equal(left.has(other, a), false);
    left.add(other, [a], 20);
    left.forget(10);
    assert.deepEqual([left.has(team, a), left.has(other, a)], [false, true]);
  });

  it('that were left twice are known until both entries are taken', () => {
    const left = new LeftKeys();
    left.add(team, [a, b], 10);
    left.add(team, [b, c], 20);
    left.forget(10);
    assert.deepEqual(
      [left.has(team, a), left.has(team, b), left.has(team, c)],
      [false, true, true],
    );
    left.forget(20);
    assert.deepEqual([left.has(team, b), left.has(team, c)], [false, false]);
  });
});
