import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseNamespace } from '../blocks/namespace.ts';
import type { PayloadKind } from '../blocks/payload-kind.ts';
import { factsOf, keyOf, tenant } from '../../test/support/cached-payloads.ts';
import { CacheEntry } from './cache-entry.ts';
import type { PayloadFacts } from './cache-entry.ts';
import { EntryIndex } from './entry-index.ts';

const other = parseNamespace('other');
const kinds: readonly PayloadKind[] = ['block', 'tail', 'raw-tail'];

function entryOf(name: string, changes: Partial<PayloadFacts> = {}): CacheEntry {
  const origin = { sequence: 1, saveId: 1, saveIndex: 0, isPending: false };
  return new CacheEntry(factsOf(name, new Uint8Array(0), changes), origin);
}

function tailOf(name: string, tip: string, changes: Partial<PayloadFacts> = {}): CacheEntry {
  return entryOf(name, { kind: 'tail', parent: keyOf(tip), ...changes });
}

describe('EntryIndex', () => {
  it('finds an entry by namespace, kind and key, and by nothing less', () => {
    const index = new EntryIndex();
    const entries = [tenant, other].flatMap((namespace) =>
      kinds.map((kind) => entryOf('same', { namespace, kind, parent: keyOf('tip') })),
    );
    for (const entry of entries) assert.equal(index.put(entry), undefined);
    assert.equal(index.size, 6);
    for (const entry of entries) assert.equal(index.find(entry.facts), entry);
    assert.equal(index.find(entryOf('another').facts), undefined);
    assert.equal(
      index.find({ ...entries[0].facts, namespace: parseNamespace('third') }),
      undefined,
    );
  });

  it('keeps names apart that objects of JavaScript know already', () => {
    const index = new EntryIndex();
    const names = ['__proto__', 'constructor', 'toString'].map(parseNamespace);
    for (const namespace of names) assert.equal(index.put(entryOf('a', { namespace })), undefined);
    assert.equal(index.size, 3);
  });

  it('puts an entry in the place of another, and tells which', () => {
    const index = new EntryIndex();
    const [first, second] = [entryOf('a'), entryOf('a')];
    index.put(first);
    assert.equal(index.put(second), first);
    assert.equal(index.find(first.facts), second);
    assert.equal(index.size, 1);
  });

  it('takes out the entry that is in its place, and no other', () => {
    const index = new EntryIndex();
    const [first, second] = [entryOf('a'), entryOf('a')];
    index.put(first);
    index.put(second);
    index.remove(first);
    assert.equal(index.find(second.facts), second);
    index.remove(second);
    index.remove(second);
    assert.equal(index.find(second.facts), undefined);
    assert.equal(index.size, 0);
  });

  it('lists the entries of a kind in a namespace', () => {
    const index = new EntryIndex();
    const blocks = ['a', 'b'].map((name) => entryOf(name));
    for (const entry of blocks) index.put(entry);
    index.put(entryOf('a', { namespace: other }));
    index.put(entryOf('c', { kind: 'raw-tail' }));
    assert.deepEqual([...index.of(tenant, 'block')], blocks);
    assert.deepEqual([...index.of(tenant, 'tail')], []);
    assert.deepEqual([...index.of(parseNamespace('third'), 'block')], []);
  });

  it('leads from a tip to its tails, and to nothing else', () => {
    const index = new EntryIndex();
    const tails = [tailOf('a', 'tip'), tailOf('b', 'tip')];
    for (const tail of tails) index.put(tail);
    index.put(tailOf('c', 'another tip'));
    index.put(tailOf('d', 'tip', { namespace: other }));
    index.put(entryOf('block', { parent: keyOf('tip') }));
    index.put(entryOf('tip', { kind: 'raw-tail' }));
    assert.deepEqual([...index.tailsOf(tenant, keyOf('tip'))], tails);
    assert.deepEqual([...index.tailsOf(tenant, keyOf('nobody'))], []);
    assert.deepEqual([...index.tailsOf(parseNamespace('third'), keyOf('tip'))], []);
    index.remove(tails[0]);
    assert.deepEqual([...index.tailsOf(tenant, keyOf('tip'))], [tails[1]]);
  });

  it('leads to the tail that took the place of another, and not to that', () => {
    const index = new EntryIndex();
    const [first, second] = [tailOf('a', 'tip'), tailOf('a', 'tip')];
    index.put(first);
    index.put(second);
    index.remove(first);
    assert.deepEqual([...index.tailsOf(tenant, keyOf('tip'))], [second]);
  });

  it('agrees with a list of entries, whatever happens', () => {
    const step = fc.record({
      isPut: fc.boolean(),
      kind: fc.constantFrom(...kinds),
      name: fc.constantFrom('a', 'b', 'c'),
      tip: fc.constantFrom('x', 'y'),
      namespace: fc.constantFrom(tenant, other),
    });
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const index = new EntryIndex();
        let model: CacheEntry[] = [];
        for (const { isPut, kind, name, tip, namespace } of steps) {
          const entry = entryOf(name, { kind, namespace, parent: keyOf(tip) });
          const { key } = entry.facts;
          const isSame = ({ facts }: CacheEntry): boolean =>
            facts.namespace === namespace && facts.kind === kind && facts.key === key;
          const present = model.find(isSame);
          model = model.filter((one) => !isSame(one));
          if (isPut) {
            assert.equal(index.put(entry), present);
            model.push(entry);
          } else if (present !== undefined) index.remove(present);
        }
        assert.equal(index.size, model.length);
        for (const namespace of [tenant, other]) {
          const own = model.filter(({ facts }) => facts.namespace === namespace);
          for (const kind of kinds) {
            const expected = own.filter(({ facts }) => facts.kind === kind);
            assert.deepEqual(new Set(index.of(namespace, kind)), new Set(expected));
          }
          for (const tip of ['x', 'y'].map(keyOf)) {
            const isTail = ({ facts }: CacheEntry): boolean =>
              facts.kind === 'tail' && facts.parent === tip;
            assert.deepEqual(new Set(index.tailsOf(namespace, tip)), new Set(own.filter(isTail)));
          }
        }
      }),
    );
  });
});
