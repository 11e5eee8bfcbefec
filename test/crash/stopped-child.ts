/*
 * A client that makes one call for each order that it gets, and tells what became of it. It is stopped in the middle of
 * one, by the system.
 */
import { isStoreError } from '../../src/base/errors.ts';
import { connect } from '../../src/client.ts';
import { chainOf } from '../support/chains.ts';
import { stoppedBlocks, stoppedBytes } from './stopping.ts';
import type { Order } from './stopping.ts';

const [url, name] = process.argv.slice(2);
const store = await connect(url);
process.on('message', (order: Order) => {
  void obey(order);
});
process.on('disconnect', () => process.exit(0));
process.send?.({ event: 'connected' });

async function obey({ id, verb, chain }: Order): Promise<void> {
  const { keys, blocks } = chainOf(chain, stoppedBlocks, stoppedBytes);
  try {
    if (verb === 'save') await store.save(blocks);
    else {
      const borrow = await store.load(keys);
      const isRight = borrow.blocks.every(({ payload }, at) =>
        Buffer.from(payload).equals(blocks[at].payload),
      );
      const count = borrow.blocks.length;
      borrow.release();
      if (!isRight || count !== keys.length) throw new Error(`${name}: ${count} blocks came`);
    }
    process.send?.({ event: 'done', id });
  } catch (error) {
    // It was stopped for longer than the call may take.
    const isExpected = ['UNAVAILABLE', 'ABORTED', 'BUSY'] as const;
    if (!isExpected.some((code) => isStoreError(error, code))) throw error;
    process.send?.({ event: 'refused', id });
  }
}
