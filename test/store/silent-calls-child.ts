import { connect } from '../../src/client/connect.ts';
import { chainOf } from '../support/chains.ts';
import { forbidCalls } from '../support/forbidden-calls.ts';
import { patience } from '../support/patience.ts';

/**
 * Looks a chain up and loads it, over and over, and ends with 0. Arguments: the address of a daemon whose memory is its
 * own alone, how often, and what becomes of the calls that it makes meanwhile: `forbid`, it is killed by one; `mark`, it
 * asks for its parent's number before and after, which a trace shows.
 */
const [url, count, manner] = process.argv.slice(2);
const blocks = 80;
/** Times as many come first, until what is to be compiled and mapped is. */
const warmUpFactor = 3;

const store = await connect(url, patience);
const { keys, blocks: chain } = chainOf('silent', blocks, 4096);
await store.save(chain);
await store.flush();
await lookUpAndLoad(warmUpFactor * Number(count));
const exit = manner === 'forbid' ? forbidCalls() : undefined;
let marks = process.ppid;
await lookUpAndLoad(Number(count));
marks -= process.ppid;
exit?.(0);
if (marks !== 0) throw new Error('the parent has ended');
await store.close();

async function lookUpAndLoad(times: number): Promise<void> {
  for (let call = 0; call < times; call += 1) {
    const { matched } = await store.lookup(keys);
    const borrow = await store.load(keys);
    borrow.release();
    if (matched !== blocks || borrow.blocks.length !== blocks) {
      throw new Error(`${matched} blocks are found and ${borrow.blocks.length} come`);
    }
  }
}
