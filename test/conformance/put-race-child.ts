import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { putOfContender } from './object-store-harness.ts';
import type { PutRaceOrder } from './object-store-harness.ts';

// One contender of a race of puts: opens the store by its URL, says `ready`, puts when it reads a
// line, and prints the outcome.
const order = JSON.parse(process.argv[2] ?? '') as PutRaceOrder;
const store = openObjectStore(order.url, nodePlatform());
const input = createInterface({ input: process.stdin });
process.stdout.write('ready\n');
await once(input, 'line');
// Waiting for a lock would not keep this process alive by itself.
const alive = setInterval(() => undefined, 1000);
const outcome = await putOfContender(store, order, order.contender);
await store.close();
clearInterval(alive);
process.stdout.write(`${outcome}\n`);
