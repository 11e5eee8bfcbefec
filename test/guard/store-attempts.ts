import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import type { Need } from '../../src/daemon/access.ts';
import { chainOf } from '../support/chains.ts';

/** What is stored in the namespace that nobody else may reach. */
export const secretChain = chainOf('guard/secret', 3, 2000);
const intruding = chainOf('guard/intruding', 2, 700);
const [tip] = secretChain.keys;

export const tailTokens = [1, 2, 3];

/** One call of a store, and what it needs of a token. */
export interface Attempt {
  readonly name: string;
  readonly need: Need;
  /** Resolves when it was let through, to what it was given. */
  readonly run: (store: KvStore, namespace: Namespace | undefined) => Promise<unknown>;
}

const keys: readonly BlockKey[] = secretChain.keys;

/** Every call of a store. */
export const attempts: readonly Attempt[] = [
  { name: 'lookup', need: 'read', run: (store, namespace) => store.lookup(keys, { namespace }) },
  {
    name: 'presence',
    need: 'presence',
    run: (store, namespace) => store.contains(keys, { namespace }),
  },
  {
    name: 'load',
    need: 'read',
    run: async (store, namespace) => {
      const borrow = await store.load(keys, { namespace });
      borrow.release();
      return borrow.blocks.length;
    },
  },
  {
    name: 'load a tail',
    need: 'read',
    run: async (store, namespace) => {
      const tail = await store.loadTail({ tip, tokens: tailTokens }, { namespace });
      tail?.release();
      return tail?.payload.length;
    },
  },
  {
    name: 'load a raw tail',
    need: 'read',
    run: async (store, namespace) => {
      const tail = await store.loadRawTail(tip, { namespace });
      tail?.release();
      return tail?.payload.length;
    },
  },
  {
    name: 'prefetch',
    need: 'read',
    run: (store, namespace) => store.prefetch(keys, { namespace }),
  },
  {
    name: 'save',
    need: 'write',
    run: (store, namespace) => store.save(intruding.blocks, { namespace }),
  },
  {
    name: 'save known blocks',
    need: 'write',
    run: (store, namespace) => store.save(secretChain.blocks, { namespace }),
  },
  {
    name: 'save a tail',
    need: 'write',
    run: (store, namespace) =>
      store.saveTail({ tip, tokens: [9], payload: new Uint8Array(9) }, { namespace }),
  },
  {
    name: 'save a raw tail',
    need: 'write',
    run: (store, namespace) =>
      store.saveRawTail(intruding.keys[0], new Uint8Array(9), { namespace }),
  },
  {
    name: 'delete blocks',
    need: 'delete',
    run: (store, namespace) =>
      store.delete({ kind: 'blocks', keys: intruding.keys }, { namespace }),
  },
  {
    name: 'delete a subtree',
    need: 'delete',
    run: (store, namespace) =>
      store.delete({ kind: 'subtree', root: intruding.keys[0] }, { namespace }),
  },
  { name: 'flush', need: 'admin', run: (store, namespace) => store.flush({ namespace }) },
  { name: 'stats', need: 'admin', run: (store, namespace) => store.stats({ namespace }) },
];

/** The call that would leave nothing; kept apart, for it may be made only where it is refused. */
export const deleteAll: Attempt = {
  name: 'delete the namespace',
  need: 'delete',
  run: (store, namespace) => store.delete({ kind: 'namespace' }, { namespace }),
};
