/*
 * A client that saves one chain after another over shared memory until it is killed, and tells of each that was accepted
 * before it saves the next. What it says is written at once: nothing of it waits in this process.
 */
import { writeSync } from 'node:fs';
import { connect } from '../../src/client.ts';
import { leftChain } from './left-chains.ts';

const [url, name, kind] = process.argv.slice(2);
const store = await connect(url);
for (let count = 0; ; count += 1) {
  await store.save(leftChain(name, kind, count).blocks);
  writeSync(1, `accepted ${count}\n`);
  // The store has time to make a ring, to lend memory, and to take what was left; short saves follow each other closely.
  const restMs = kind === 'lent' ? 40 : count % 16 === 0 ? 15 : 0;
  if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs));
}
