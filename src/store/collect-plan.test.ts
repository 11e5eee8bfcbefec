import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockKey } from '../blocks/block-key.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { blockObjectKey } from '../format/object-keys.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import { seededRandom } from '../../test/support/random.ts';
import type { SeededRandom } from '../../test/support/random.ts';
import { Inventory } from './collect-inventory.ts';
import type { StoredObject } from './collect-inventory.ts';
import { planRemoval } from './collect-plan.ts';
import { SmallestFirst } from './collect-queue.ts';
import { RecentUses } from './collect-uses.ts';

const namespaces = ['one', 'two', 'three'].map(parseNamespace);

// Goal: a plan never removes a block before what hangs on it, and always the leaf used least
// recently. Method: forests at random, parents in circles included, against a plain search for the
// next victim in all of them.
test('a plan takes the leaf used least recently, again and again', async () => {
  for (let seed = 0; seed < 200; seed += 1) {
    const random = seededRandom(`plan-${seed}`);
    const { inventory, objects } = forestOf(random);
    const kept = new Set(objects.filter(() => random.below(20) === 0));
    const targetBytes = random.below(inventory.bytes);
    const opened: string[] = [];
    const plan = await planRemoval(inventory, {
      ...{ budgetBytes: targetBytes, targetBytes, youngSinceMs: Infinity },
      isKept: (object) => kept.has(object),
      open: async (one) => {
        opened.push(one.namespace);
        await one.link(noPause);
      },
      pause: noPause,
    });
    assert.equal(new Set(opened).size, opened.length, 'each namespace is opened once');
    for (const { namespace } of objects) {
      if (opened.includes(namespace)) continue;
      opened.push(namespace);
      await inventory.namespaces.get(namespace)?.link(noPause);
    }
    const expected = planSlowly(objects, kept, inventory.bytes - targetBytes);
    assert.deepEqual(
      plan.map(({ usedMs }) => usedMs),
      expected.map(({ usedMs }) => usedMs),
      `seed ${seed}`,
    );
  }
});

test('namespaces that were all used later are not opened', async () => {
  const inventory = new Inventory('p', true);
  namespaces.forEach((namespace, at) => {
    for (let index = 0; index < 4; index += 1)
      addBlock(inventory, namespace, index, at * 100 + index);
  });
  const opened: string[] = [];
  await planRemoval(inventory, {
    ...{ budgetBytes: 700, targetBytes: 700, youngSinceMs: Infinity },
    isKept: () => false,
    open: async (one) => {
      opened.push(one.namespace);
      await one.link(noPause);
    },
    pause: noPause,
  });
  assert.deepEqual(opened, ['one', 'two']);
});

test('the queue gives the smallest first', () => {
  const random = seededRandom('queue');
  const queue = new SmallestFirst<number>();
  const waiting: number[] = [];
  for (let step = 0; step < 5000; step += 1) {
    if (random.below(5) < 3) {
      const number = random.below(1000);
      queue.push(number, number);
      waiting.push(number);
    } else {
      waiting.sort((a, b) => a - b);
      assert.equal(queue.pop(), waiting.shift());
    }
  }
});

test('uses are remembered by namespace and kind, the latest ones at least', () => {
  const uses = new RecentUses(10);
  const [one, two] = namespaces;
  const keys = Array.from({ length: 30 }, (_, index) => keyOf(index));
  uses.note({ namespace: one, kind: 'block', keys: keys.slice(0, 10), atMs: 1 });
  uses.note({ namespace: one, kind: 'tail', keys: [keys[0]], atMs: 2 });
  assert.equal(uses.lastMs(one, 'block', keys[0]), 1);
  assert.equal(uses.lastMs(one, 'block', keys[9]), 1 - 9 / 1024, 'the end counts as used before');
  assert.equal(uses.lastMs(one, 'tail', keys[0]), 2);
  assert.equal(uses.lastMs(one, 'raw-tail', keys[0]), -Infinity);
  assert.equal(uses.lastMs(two, 'block', keys[0]), -Infinity);
  uses.note({ namespace: one, kind: 'block', keys: [keys[9]], atMs: 3 });
  assert.equal(uses.lastMs(one, 'block', keys[9]), 3);
  uses.note({ namespace: two, kind: 'block', keys, atMs: 4 });
  for (const key of keys.slice(20)) assert.equal(Math.ceil(uses.lastMs(two, 'block', key)), 4);
  assert.equal(uses.lastMs(one, 'block', keys[0]), -Infinity, 'what is older was forgotten');
});

const noPause = async (): Promise<void> => undefined;

/** Blocks of several namespaces, each used at a moment of its own. */
function forestOf(random: SeededRandom): { inventory: Inventory; objects: StoredObject[] } {
  const inventory = new Inventory('p', true);
  const objects: StoredObject[] = [];
  const moments = Array.from({ length: 60 }, (_, index) => ({ index, rank: random.word() }));
  moments.sort((a, b) => a.rank - b.rank);
  moments.forEach(({ index: usedMs }, index) => {
    const namespace = namespaces[random.below(namespaces.length)];
    objects.push(addBlock(inventory, namespace, index, usedMs, 1 + random.below(200)));
  });
  for (const object of objects) {
    if (random.below(5) > 0) object.parent = keyOf(random.below(60));
  }
  return { inventory, objects };
}

// oxlint-disable-next-line max-params -- one line for each block
function addBlock(
  inventory: Inventory,
  namespace: (typeof namespaces)[number],
  index: number,
  modifiedMs: number,
  byteLength = 100,
): StoredObject {
  const key = parseObjectKey(blockObjectKey('p', namespace, keyOf(index)));
  inventory.add({ key, byteLength, etag: '', modifiedMs }, () => -Infinity);
  const object = inventory.namespaces.get(namespace)?.blocks.get(keyOf(index));
  assert.ok(object !== undefined);
  return object;
}

function keyOf(index: number): BlockKey {
  return parseBlockKey(index.toString(16).padStart(64, '0'));
}

/** The same by looking at everything before each step. */
function planSlowly(
  objects: readonly StoredObject[],
  kept: ReadonlySet<StoredObject>,
  bytesToFree: number,
): readonly StoredObject[] {
  const plan: StoredObject[] = [];
  const left = new Set(objects);
  let bytes = 0;
  while (bytes < bytesToFree) {
    const held = new Set([...left].map(({ above }) => above));
    const leaves = [...left].filter((object) => !held.has(object) && !kept.has(object));
    const next = leaves.sort((a, b) => a.usedMs - b.usedMs).at(0);
    if (next === undefined) break;
    plan.push(next);
    left.delete(next);
    bytes += next.byteLength;
  }
  return plan;
}
