import { connect } from '../../src/client/connect.ts';
import { chainOf } from '../support/chains.ts';

/**
 * A reader for tests that kill it: borrows blocks of the chains again and again, compares every byte,
 * holds them for a while, and compares again. Tells the parent of the first wrong byte, and now and
 * then how many borrows it had. Arguments: the address, the number of chains, their length, bytes.
 */
const [url, chains, length, bytes] = process.argv.slice(2);
const known = Array.from({ length: Number(chains) }, (_, i) =>
  chainOf(`shared-${i}`, Number(length), Number(bytes)),
);

const store = await connect(url);
let borrows = 0;
let shared = 0;
process.send?.('ready');
for (;;) {
  const chain = known[Math.floor(Math.random() * known.length)];
  const borrow = await store.load(chain.keys);
  for (let look = 0; look < 2; look += 1) {
    const wrong = borrow.blocks.findIndex(
      ({ payload }, i) => Buffer.compare(payload, chain.blocks[i].payload) !== 0,
    );
    if (wrong >= 0) process.send?.(`wrong bytes in block ${wrong} of ${chain.keys[0]}`);
    if (look === 0) await new Promise((done) => setTimeout(done, Math.random() * 2));
  }
  borrows += 1;
  if (borrow.blocks.some(({ payload }) => payload.buffer.byteLength > 1024 * 1024)) shared += 1;
  borrow.release();
  if (borrows % 20 === 0) process.send?.(`borrows ${borrows} ${shared}`);
}
