/** Another client of the HTTP benchmark: loads the batch of small calls until its input ends. */
import { HttpClientStore } from '../../src/client/http-client-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeTcpSockets } from '../../src/platform/tcp-node-sockets.ts';
import { batchMemory, batchOf, smallCallsLabel } from './http-batch.ts';

const [port] = process.argv.slice(2);
const platform = { ...nodePlatform(), sockets: nodeTcpSockets };
const store = new HttpClientStore({ platform, host: '127.0.0.1', port: Number(port) });
const keys = batchOf(smallCallsLabel, batchMemory()).map(({ key }) => key);
let isDone = false;
process.stdin.resume();
process.stdin.once('end', () => {
  isDone = true;
});
console.log('loading');
while (!isDone) (await store.load(keys)).release();
await store.close();
