/**
 * A process with some clients that load or save without pause: address, `load` or `save`, seed, the
 * number of clients, and the shape of the chain. Says `loading` when they do. When its input ends it prints
 * the bytes that they moved and in how many milliseconds.
 */
import { isStoreError } from '../../src/base/errors.ts';
import { connect } from '../../src/client.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf } from '../chain.ts';

const [url, verb, seed, count, blocks, blockBytes] = process.argv.slice(2);
const shape = { blocks: Number(blocks), blockBytes: Number(blockBytes) };
const keys = chainOf({ seed, ...shape }).map(({ key }) => key);
let isDone = false;
let moved = 0;
process.stdin.resume();
process.stdin.once('end', () => {
  isDone = true;
});
const stores = await Promise.all(Array.from({ length: Number(count) }, () => connect(url)));
// Their memory is warm when they are measured.
if (verb === 'load') await Promise.all(stores.map(loadOnce));
const startMs = performance.now();
console.log('loading');
await Promise.all(
  stores.map((store, index) => (verb === 'load' ? load(store) : save(store, index))),
);
console.log(JSON.stringify({ bytes: moved, ms: performance.now() - startMs }));
await Promise.all(stores.map((store) => store.close()));

async function load(store: KvStore): Promise<void> {
  while (!isDone) {
    // What others add while this one waits would be lost in one expression with the wait.
    const bytes = await loadOnce(store);
    moved += bytes;
  }
}

/** Gives the bytes that came; none when so many answers are under way that the daemon refuses another one. */
async function loadOnce(store: KvStore): Promise<number> {
  const borrow = await store.load(keys).catch((error: unknown) => {
    if (isStoreError(error, 'BUSY')) return undefined;
    throw error;
  });
  if (borrow === undefined) return 0;
  const bytes = borrow.blocks.reduce((sum, { payload }) => sum + payload.length, 0);
  borrow.release();
  return bytes;
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
