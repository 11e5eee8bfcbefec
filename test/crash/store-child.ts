import { blake3Hex } from '../../src/base/blake3.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { chainOf } from '../support/chains.ts';

/** What a process with a store is told to do, about the chain of that name and length. */
export type StoreOrder =
  | {
      readonly kind: 'save';
      readonly name: string;
      readonly count: number;
      readonly durable: boolean;
    }
  | { readonly kind: 'load' | 'lookup'; readonly name: string; readonly count: number }
  | { readonly kind: 'pending' | 'flush' | 'close' };

/** What it answers: digests of what it loaded, a number, or how it failed. */
export interface StoreAnswer {
  readonly digests?: readonly string[];
  readonly count?: number;
  readonly failure?: string;
}

const store = await openStore(JSON.parse(process.argv[2] ?? '') as StoreConfig);
process.on('message', (order: StoreOrder) => {
  obey(order).then(tell, (error: unknown) => tell({ failure: String(error) }));
});
process.on('disconnect', () => process.exit());
tell({});

async function obey(order: StoreOrder): Promise<StoreAnswer> {
  switch (order.kind) {
    case 'save': {
      const { blocks } = chainOf(order.name, order.count);
      return { count: (await store.save(blocks, { durable: order.durable })).saved };
    }
    case 'load': {
      const borrow = await store.load(chainOf(order.name, order.count).keys);
      const digests = borrow.blocks.map(({ payload }) => blake3Hex(payload));
      borrow.release();
      return { digests };
    }
    case 'lookup':
      return { count: (await store.lookup(chainOf(order.name, order.count).keys)).matched };
    case 'pending':
      return { count: (await store.stats()).pending };
    case 'flush':
      await store.flush();
      return {};
    case 'close':
      await store.close();
      return {};
    default:
      return order satisfies never;
  }
}

function tell(answer: StoreAnswer): void {
  process.send?.(answer);
}
