/**
 * A process with some clients that load or save without pause: address, `load` or `save`, seed, the
 * number of clients, and the shape of the chain. Says `loading` when they do. When its input ends it prints
 * the bytes that they moved and in how many milliseconds.
 */
import { connect } from '../../src/client.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf } from '../chain.ts';

const [url, verb, seed, count, blocks, blockBytes] = process.argv.slice(2);
const shape = { blocks: Number(blocks), blockBytes: Number(blockBytes) };
let isDone = false;
let moved = 0;
process.stdin.resume();
process.stdin.once('end', () => {
  isDone = true;
});
const stores = await Promise.all(Array.from({ length: Number(count) }, () => connect(url)));
const startMs = performance.now();
console.log('loading');
await Promise.all(
  stores.map((store, index) => (verb === 'load' ? load(store) : save(store, index))),
);
console.log(JSON.stringify({ bytes: moved, ms: performance.now() - startMs }));
await Promise.all(stores.map((store) => store.close()));

async function load(store: KvStore): Promise<void> {
  const keys = chainOf({ seed, ...shape }).map(({ key }) => key);
  while (!isDone) {
    const borrow = await store.load(keys);
    moved += borrow.blocks.reduce((sum, { payload }) => sum + payload.length, 0);
    borrow.release();
  }
}

async function save(store: KvStore, index: number): Promise<void> {
  const payloads = chainOf({ seed, ...shape });
  for (let turn = 0; !isDone; turn += 1) {
    const { savedBytes } = await store.save(
      chainOf({ seed: `${seed}/${index}/${turn}`, blocks: shape.blocks, blockBytes: 1 }).map(
        ({ key, tokens, position }, at) => ({
          key,
          tokens,
          position,
          payload: payloads[at].payload,
        }),
      ),
    );
    moved += savedBytes;
  }
}
