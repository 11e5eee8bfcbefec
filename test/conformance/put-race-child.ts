import { createInterface } from 'node:readline';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { virtualHostSettings } from '../support/virtual-host.ts';
import { putOfContender } from './object-store-harness.ts';
import type { PutRaceOrder } from './object-store-harness.ts';

// One contender of races of puts. Of every two lines that it reads the first is an order: it opens
// the store and says `ready`. At the second it puts, closes the store, and prints the outcome.
const platform = nodePlatform();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
for (;;) {
  const { value, done } = await lines.next();
  if (done === true) break;
  const order = JSON.parse(value) as PutRaceOrder;
  const { url, domain } = order;
  const s3 = domain === undefined ? {} : virtualHostSettings(platform, domain);
  const store = openObjectStore(url, platform, { s3 });
  process.stdout.write('ready\n');
  await lines.next();
  // Waiting for a lock would not keep this process alive by itself.
  const alive = setInterval(() => undefined, 1000);
  const outcome = await putOfContender(store, order, order.contender);
  await store.close();
  clearInterval(alive);
  process.stdout.write(`${outcome}\n`);
}
