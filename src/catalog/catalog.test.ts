import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import type { CatalogSnapshot } from '../format/catalog-snapshot.ts';
import { Catalog } from './catalog.ts';
import type { CatalogId, CorruptObject } from './catalog.ts';

function damagedObject(etag: string): CorruptObject {
  return { format: 'v2', etag };
}

function idOf(name: string | number, changes: Partial<CatalogId> = {}): CatalogId {
  return { namespace: tenant, kind: 'block', key: keyOf(name), ...changes };
}

/** A catalog, its clock, and what it believes of one id: presence, absence, corrupt tag. */
function freshCatalog(): {
  catalog: Catalog;
  clock: ManualClock;
  beliefs: (id: CatalogId) => readonly unknown[];
} {
  const clock = new ManualClock();
  const catalog = new Catalog(clock, nodePlatform().random);
  const beliefs = (id: CatalogId): readonly unknown[] => [
    catalog.presence(id),
    catalog.isAbsent(id),
    catalog.corruptObject(id)?.etag,
  ];
  return { catalog, clock, beliefs };
}

const nothing = [undefined, false, undefined];
const id = idOf('a');

describe('Catalog', () => {
  it('knows nothing at first', () => {
    assert.deepEqual(freshCatalog().beliefs(id), nothing);
  });

  it('believes the last answer of the object store', () => {
    const { catalog, beliefs } = freshCatalog();
    catalog.confirm(id);
    assert.deepEqual(beliefs(id), ['confirmed', false, undefined]);
    catalog.deny(id);
    assert.deepEqual(beliefs(id), [undefined, true, undefined]);
    catalog.confirm(id);
    assert.deepEqual(beliefs(id), ['confirmed', false, undefined]);
    catalog.condemn(id, damagedObject('tag'));
    assert.deepEqual(beliefs(id), [undefined, false, 'tag']);
    catalog.deny(id);
    assert.deepEqual(beliefs(id), [undefined, true, undefined]);
    catalog.condemn(id, damagedObject('tag'));
    catalog.confirm(id);
    assert.deepEqual(beliefs(id), ['confirmed', false, undefined]);
  });

  it('remembers what was dropped, or was there and is gone, until it is seen again', () => {
    const { catalog } = freshCatalog();
    catalog.deny(id);
    assert.equal(catalog.absenceReason(id), 'unknown');
    catalog.noteEvicted(id);
    assert.equal(catalog.absenceReason(id), 'evicted');
    catalog.confirm(id);
    assert.equal(catalog.absenceReason(id), 'unknown');
    catalog.deny(id);
    assert.equal(catalog.absenceReason(id), 'evicted');
    catalog.noteRemoved(id);
    assert.equal(catalog.absenceReason(id), 'unknown');
    // A list that names it may be old.
    const listed = idOf('listed');
    catalog.hope(listed);
    catalog.deny(listed);
    assert.equal(catalog.absenceReason(listed), 'unknown');
  });

  it('hopes for what a list names, until an answer tells', () => {
    const { catalog, beliefs } = freshCatalog();
    catalog.hope(id);
    assert.deepEqual(beliefs(id), ['listed', false, undefined]);
    catalog.confirm(id);
    catalog.hope(id);
    assert.equal(catalog.presence(id), 'confirmed');
    catalog.deny(id);
    assert.deepEqual(beliefs(id), [undefined, true, undefined]);
  });

  it('does not hope against a denial that is less than a second old', () => {
    const { catalog, clock, beliefs } = freshCatalog();
    catalog.deny(id);
    clock.advance(limits.negativeMs - 1);
    catalog.hope(id);
    assert.deepEqual(beliefs(id), [undefined, true, undefined]);
    clock.advance(1);
    catalog.hope(id);
    assert.deepEqual(beliefs(id), ['listed', false, undefined]);
  });

  it('does not hope for a corrupt object while it is remembered', () => {
    const { catalog, clock, beliefs } = freshCatalog();
    catalog.condemn(id, damagedObject('tag'));
    clock.advance(limits.corruptMs - 1);
    catalog.hope(id);
    assert.deepEqual(beliefs(id), [undefined, false, 'tag']);
    clock.advance(1);
    catalog.hope(id);
    assert.deepEqual(beliefs(id), ['listed', false, undefined]);
  });

  it('forgets a denial after a second, and counts from the last one', () => {
    const { catalog, clock } = freshCatalog();
    catalog.deny(id);
    clock.advance(limits.negativeMs - 1);
    assert.equal(catalog.isAbsent(id), true);
    catalog.deny(id);
    clock.advance(limits.negativeMs - 1);
    assert.equal(catalog.isAbsent(id), true);
    clock.advance(1);
    assert.equal(catalog.isAbsent(id), false);
  });

  it('remembers the last corrupt tag of a key, for ten minutes', () => {
    const { catalog, clock } = freshCatalog();
    catalog.condemn(id, damagedObject('first'));
    clock.advance(limits.corruptMs / 2);
    catalog.condemn(id, damagedObject('second'));
    clock.advance(limits.corruptMs - 1);
    assert.equal(catalog.corruptObject(id)?.etag, 'second');
    clock.advance(1);
    assert.equal(catalog.corruptObject(id)?.etag, undefined);
    assert.equal(limits.corruptMs, 10 * 60_000);
  });

  it('does not forget with time what it was told to be there', () => {
    const { catalog, clock } = freshCatalog();
    catalog.confirm(id);
    catalog.hope(idOf('b'));
    clock.advance(24 * 3600_000);
    assert.equal(catalog.presence(id), 'confirmed');
    assert.equal(catalog.presence(idOf('b')), 'listed');
  });

  it('forgets what it is told to forget', () => {
    const { catalog, beliefs } = freshCatalog();
    for (const learn of [
      () => catalog.confirm(id),
      () => catalog.hope(id),
      () => catalog.deny(id),
      () => catalog.condemn(id, damagedObject('tag')),
    ]) {
      learn();
      assert.notDeepEqual(beliefs(id), nothing);
      catalog.forget(id);
      assert.deepEqual(beliefs(id), nothing);
    }
  });

  it('keeps kinds, namespaces and keys apart', () => {
    const { catalog, beliefs } = freshCatalog();
    const others = [
      idOf('b'),
      idOf('a', { kind: 'tail' }),
      idOf('a', { kind: 'raw-tail' }),
      idOf('a', { namespace: parseNamespace('tenant2') }),
    ];
    catalog.confirm(id);
    for (const other of others) assert.deepEqual(beliefs(other), nothing);
    for (const other of others) catalog.deny(other);
    assert.deepEqual(beliefs(id), ['confirmed', false, undefined]);
    for (const other of others) catalog.condemn(other, damagedObject('tag'));
    for (const other of others) catalog.forget(other);
    assert.deepEqual(beliefs(id), ['confirmed', false, undefined]);
  });
});

describe('the bounds of a catalog', () => {
  /** Keys that are cheap to make by the million. */
  function numbered(index: number): CatalogId {
    return idOf('', { key: `${index}`.padStart(64, '0') as CatalogId['key'] });
  }

  it('forgets the namespace that it has known for longest', () => {
    const { catalog } = freshCatalog();
    const names = limits.catalogNamespacesMax + 2;
    for (let index = 0; index < names; index += 1) {
      catalog.confirm(idOf('a', { namespace: parseNamespace(`n${index}`) }));
    }
    const presenceIn = (index: number): unknown =>
      catalog.presence(idOf('a', { namespace: parseNamespace(`n${index}`) }));
    // The namespace that came first is forgotten; under a new number it knows nothing of before.
    assert.equal(presenceIn(0), undefined);
    assert.equal(presenceIn(2), 'confirmed');
    assert.equal(presenceIn(names - 1), 'confirmed');
    catalog.hope(idOf('b', { namespace: parseNamespace('n0') }));
    assert.equal(presenceIn(0), undefined);
    assert.ok(catalog.known.keys > limits.catalogNamespacesMax);
  });

  it('forgets the oldest denials', () => {
    const { catalog } = freshCatalog();
    for (let index = 0; index <= limits.negativeKeysMax; index += 1) catalog.deny(numbered(index));
    assert.equal(catalog.isAbsent(numbered(0)), false);
    assert.equal(catalog.isAbsent(numbered(1)), true);
    assert.equal(catalog.isAbsent(numbered(limits.negativeKeysMax)), true);
  });

  it('forgets the oldest corrupt objects', () => {
    const { catalog } = freshCatalog();
    for (let index = 0; index <= limits.corruptKeysMax; index += 1) {
      catalog.condemn(numbered(index), damagedObject('tag'));
    }
    assert.equal(catalog.corruptObject(numbered(0))?.etag, undefined);
    assert.equal(catalog.corruptObject(numbered(1))?.etag, 'tag');
  });

  it('recalls as listed what an earlier one believed, of every namespace and kind', () => {
    const { catalog } = freshCatalog();
    const other = parseNamespace('other');
    const ids = [
      ...Array.from({ length: 300 }, (_, index) => idOf(index)),
      idOf('tail', { kind: 'tail' }),
      idOf('a', { namespace: other }),
    ];
    for (const one of ids) catalog.confirm(one);
    const next = freshCatalog().catalog;
    assert(next.recall(catalog.snapshot));
    assert.equal(next.known.keys, ids.length);
    for (const one of ids) assert.equal(next.presence(one), 'listed');
    for (const absent of [idOf('tail'), idOf(1, { namespace: other }), idOf('a')]) {
      assert.equal(next.presence(absent), undefined);
    }
    // It learns on: new namespaces get numbers of their own, and answers count.
    const third = idOf('a', { namespace: parseNamespace('third') });
    next.confirm(third);
    next.confirm(idOf(0));
    next.deny(idOf(1));
    const beliefs = [third, idOf(0), idOf(1), idOf(2)].map((one) => next.presence(one));
    assert.deepEqual(beliefs, ['confirmed', 'confirmed', undefined, 'listed']);
  });

  it('recalls nothing of what can be no table of its size', () => {
    const { catalog } = freshCatalog();
    catalog.confirm(id);
    const { mix, shards, owners } = catalog.snapshot;
    const full = new Int32Array(shards[0].length).fill(1);
    const nobodys = new Int32Array(shards[0].length).fill(1 << 24);
    const wrong: readonly CatalogSnapshot[] = [
      { mix: mix.slice(1), shards, owners },
      { mix, shards: shards.slice(1), owners },
      { mix, shards: [full, ...shards.slice(1)], owners },
      { mix, shards: [nobodys, ...shards.slice(1)], owners },
      { mix, shards: [new Int32Array(60), ...shards.slice(1)], owners },
      { mix, shards: [new Int32Array(2 ** 24), ...shards.slice(1)], owners },
      { mix, shards, owners: [{ ...owners[0], number: 2 ** 22 }] },
    ];
    for (const [index, snapshot] of wrong.entries()) {
      const next = freshCatalog().catalog;
      assert(!next.recall(snapshot), `snapshot ${index}`);
      assert.deepEqual([next.known.keys, next.presence(id)], [0, undefined]);
    }
  });
});
