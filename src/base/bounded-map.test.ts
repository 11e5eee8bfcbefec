import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AssertionError } from './assert.ts';
import { BoundedMap } from './bounded-map.ts';

describe('BoundedMap', () => {
  it('forgets what was put in first when it is full', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('c', 3);
    assert.deepEqual([map.get('a'), map.get('b'), map.get('c'), map.size], [undefined, 2, 3, 2]);
  });

  it('takes an entry that is put in again for the newest', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.set('a', 4);
    map.set('c', 3);
    assert.deepEqual([map.get('a'), map.get('b'), map.get('c')], [4, undefined, 3]);
  });

  it('does not take reading for putting in', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.get('a');
    map.set('c', 3);
    assert.equal(map.get('a'), undefined);
  });

  it('has room again for what was deleted, and minds no unknown key', () => {
    const map = new BoundedMap<string, number>(2);
    map.set('a', 1);
    map.set('b', 2);
    map.delete('a');
    map.delete('never');
    map.set('c', 3);
    assert.deepEqual([map.get('b'), map.get('c'), map.size], [2, 3, 2]);
  });

  it('holds at least one entry', () => {
    assert.throws(() => new BoundedMap(0), AssertionError);
    const map = new BoundedMap<string, number>(1);
    map.set('a', 1);
    map.set('b', 2);
    assert.deepEqual([map.get('a'), map.get('b')], [undefined, 2]);
  });

  it('keeps values that say nothing', () => {
    const map = new BoundedMap<string, number | undefined>(2);
    map.set('a', undefined);
    map.set('b', 0);
    assert.equal(map.size, 2);
    assert.equal(map.get('b'), 0);
  });

  it('agrees with a list of the newest entries, whatever happens', () => {
    const operation = fc.record({
      kind: fc.constantFrom('set', 'set', 'delete'),
      key: fc.integer({ min: 0, max: 7 }),
      value: fc.nat(),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(operation), (sizeMax, operations) => {
        const map = new BoundedMap<number, number>(sizeMax);
        let model: [number, number][] = [];
        for (const { kind, key, value } of operations) {
          model = model.filter(([other]) => other !== key);
          if (kind === 'delete') map.delete(key);
          else {
            map.set(key, value);
            model.push([key, value]);
          }
          model = model.slice(-sizeMax);
          assert.equal(map.size, model.length);
          for (let other = 0; other < 8; other += 1) {
            assert.equal(map.get(other), model.find(([own]) => own === other)?.[1]);
          }
        }
      }),
    );
  });
});
