import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { BlockToSave, KvStore, SaveOptions } from '../../src/blocks/kv-store.ts';
import { openStore } from '../../src/open-store.ts';
import { RelayedStore } from '../../src/daemon/relayed-store.ts';

function key(number: number): BlockKey {
  return parseBlockKey(String(number).padStart(64, '0'));
}

function block(number: number): BlockToSave {
  return { key: key(number), payload: Uint8Array.from([number, 1, 2]) };
}

function leftOut(number: number): { readonly key: BlockKey; readonly payload: undefined } {
  return { key: key(number), payload: undefined };
}

/** What reaches the client of a save: keys and parent. */
type Heard = readonly [keys: readonly number[], parent: number | undefined];

/** A real store behind the one under test, and what it is asked to save. */
async function open(): Promise<{
  readonly store: RelayedStore;
  readonly inner: KvStore;
  readonly heard: Heard[];
}> {
  const inner = await openStore({ objectStore: 'memory:', cacheDirectory: false });
  const heard: Heard[] = [];
  const save = inner.save.bind(inner);
  inner.save = (blocks: readonly BlockToSave[], options?: SaveOptions) => {
    const parent = options?.parent;
    heard.push([
      blocks.map((one) => Number(one.key)),
      parent === undefined ? parent : Number(parent),
    ]);
    return save(blocks, options);
  };
  return { store: new RelayedStore(inner), inner, heard };
}

describe('a store that is relayed', () => {
  it('wants what the daemon does not have, and a key that stands twice once', async () => {
    const { store, inner } = await open();
    await inner.save([block(2)]);
    const wanted = await store.wants([key(1), key(2), key(1), key(3)]);
    assert.deepEqual(wanted, [true, false, false, true]);
    await store.close();
  });

  it('saves neighbours together, from the last to the first, each with its parent', async () => {
    const { store, inner, heard } = await open();
    await inner.save([block(3)]);
    heard.length = 0;
    const blocks = [block(1), block(2), leftOut(3), block(4), leftOut(1)];
    const saved = await store.saveWanted(blocks, { parent: key(9) });
    assert.deepEqual(heard, [
      [[4], 3],
      [[1, 2], 9],
    ]);
    assert.deepEqual(saved, { saved: 3, known: 2, savedBytes: 9 });
    assert.deepEqual(await inner.lookup([1, 2, 3, 4].map(key)), { matched: 4, reason: undefined });
    await store.close();
  });

  it('asks for a payload that was left out and is gone, and saves nothing', async () => {
    const { store, inner, heard } = await open();
    assert.equal(await store.saveWanted([block(1), leftOut(2)]), 'payload-needed');
    assert.deepEqual(heard, []);
    assert.deepEqual(await inner.contains([key(1)]), [false]);
    await store.close();
  });

  it('asks for all payloads of a durable save, for the daemon alone can wait for them', async () => {
    const { store, inner } = await open();
    await inner.save([block(1)]);
    const durable = { durable: true };
    assert.equal(await store.saveWanted([leftOut(1), block(2)], durable), 'payload-needed');
    const saved = await store.saveWanted([block(1), block(2)], durable);
    assert.deepEqual(saved, { saved: 1, known: 1, savedBytes: 3 });
    await store.close();
  });
});
