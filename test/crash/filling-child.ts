/*
 * A client that saves one chain after another over shared memory until it is killed, and tells which were
 * accepted. Its blocks are so long that they are put into memory that the daemon lends.
 */
import { connect } from '../../src/client.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { chainOf } from '../support/chains.ts';
import { filledBlocks, filledBytes } from './filling.ts';

const [url, name] = process.argv.slice(2);
const store = await connect(url);
process.send?.({ event: 'connected' });
for (let count = 0; ; count += 1) {
  const chain = chainOf(`${name}/${count}`, filledBlocks, filledBytes);
  try {
    await store.save(chain.blocks, { deadlineMs: 150 });
    process.send?.({ event: 'accepted', count });
  } catch (error) {
    // It was stopped for longer than the call may take, or the backlog is full.
    const isExpected = isStoreError(error, 'ABORTED') || isStoreError(error, 'BUSY');
    if (!isExpected && !isStoreError(error, 'UNAVAILABLE')) throw error;
    process.send?.({ event: 'refused', count });
  }
}
