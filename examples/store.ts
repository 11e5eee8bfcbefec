/**
 * Save KV state under the keys of its tokens, and load it again. An engine does this around its
 * prefill: it loads the longest stored beginning of a prompt, computes the rest, and saves that.
 *
 *     node dist/examples/store.js
 */
import { openStore, Prefix, seedOf } from '../src/index.ts';

// This store ends with the program. Without arguments it is ~/.wombatkv, which does not.
const store = await openStore({ objectStore: 'memory:', cacheDirectory: false });

// 300 tokens are two blocks of 128, each with a key of its own, and a tail of 44.
const prefix = new Prefix(seedOf('everything that the KV values depend on'));
prefix.append(Array.from({ length: 300 }, (_, index) => index));
const kvOf = (tokens: number): Uint8Array => new Uint8Array(tokens * 1024).fill(7);

const blocks = prefix.keys.map((key) => ({ key, payload: kvOf(128), tokens: 128 }));
const { saved } = await store.save(blocks);
await store.saveTail({ tip: prefix.tip(), tokens: prefix.tokens(256), payload: kvOf(44) });
console.log(`saved ${saved} blocks and a tail`);

// Another prompt that begins alike finds what it shares.
const { matched } = await store.lookup(prefix.keys);
const borrow = await store.load(prefix.keys.slice(0, matched));
const tail = await store.loadTail({ tip: prefix.tip(matched), tokens: prefix.tokens(256) });
for (const { key, payload, tier } of borrow.blocks) {
  console.log(`${key.slice(0, 8)}: ${payload.length} bytes from ${tier}`);
}
console.log(`the tail covers ${tail?.tokens} more tokens`);

// Payloads are on loan until they are released.
borrow.release();
tail?.release();
await store.close();
