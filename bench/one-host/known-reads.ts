import { connect } from '../../src/client.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { chainOf } from '../chain.ts';
import { atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import type { CClient } from './c-client.ts';
import type { Samples } from './samples.ts';

const mib = 1024 * 1024;
const chainBlocks = 80;
const lookupsInC = 5000;
const lookupsInNode = 500;
const evictingBatches = 4;
/** Bytes of that daemon's memory. */
export const knownMemoryBytes = 32 * mib;

/** A daemon with so little memory that none of the blocks is left in it, and who has put them. */
export interface KnownRig {
  readonly socketPath: string;
  /** Its blocks are put, and it is told `known`. */
  readonly client: CClient;
  /** Puts batches that take the daemon's memory. */
  readonly evicting: CClient;
  readonly blocks: number;
}

/** Lookups of blocks that a daemon knows in the bucket and has let go of, by clients that read its memory and one that asks. */
export async function measureKnownReads(
  { socketPath, client, evicting, blocks }: KnownRig,
  rounds: number,
  samples: Samples,
): Promise<Table> {
  const store = await connect(`shm:${socketPath}`);
  const asking = await connect(`unix:${socketPath}`);
  try {
    const chain = chainOf({ seed: 'known', blocks, blockBytes: 4096 });
    await store.save(chain);
    await store.flush();
    await client.order('settle');
    await evicting.order(`put ${evictingBatches}`);
    await evicting.order('settle');
    const keys = chain.map(({ key }) => key);
    await requireNotInMemory(asking, keys);
    for (let round = 0; round <= rounds; round += 1) {
      const [inC] = await client.order(`known ${lookupsInC}`);
      const inNode = await lookUp(store, keys);
      const asked = await lookUp(asking, keys);
      if (round === 0) continue;
      samples.keep('known in C', inC / 1000);
      samples.keep('known in Node', inNode);
      samples.keep('known asked', asked);
    }
  } finally {
    await store.close();
    await asking.close();
  }
  return tableOf(samples, 2 * blocks);
}

/** A load brings one of them into memory, so that one alone is asked for. */
async function requireNotInMemory(store: KvStore, [first]: readonly BlockKey[]): Promise<void> {
  const borrow = await store.load([first]);
  const tier = borrow.blocks[0]?.tier;
  borrow.release();
  if (tier === undefined || tier === 'memory') throw new Error(`a block lies in tier ${tier}`);
}

/** The median of a lookup in microseconds, of other keys each time. */
async function lookUp(store: KvStore, keys: readonly BlockKey[]): Promise<number> {
  const times: number[] = [];
  for (let call = 0; call < lookupsInNode; call += 1) {
    const chain = Array.from(
      { length: chainBlocks },
      () => keys[1 + Math.floor(Math.random() * (keys.length - 1))],
    );
    const startMs = performance.now();
    const { matched } = await store.lookup(chain);
    times.push((performance.now() - startMs) * 1000);
    if (matched !== chainBlocks) throw new Error(`${matched} of ${chainBlocks} blocks are found`);
  }
  return medianOf(times);
}

function tableOf(samples: Samples, known: number): Table {
  const what = `lookup of 80 of ${known.toLocaleString('en-US')} known in the bucket: p50`;
  const asked = medianOf(samples.of('known asked'));
  const against = { what: 'asking the daemon, from Node', value: asked };
  const common = { unit: 'µs' as const, ratio: 'speed-up' as const, against };
  const rows = [
    rowOf({
      ...{ what: `C, ${what}`, samples: samples.of('known in C'), bar: atMost(5) },
      ...{ ...common, barOn: 'measured' },
    }),
    rowOf({
      ...{ what: `Node, ${what}`, samples: samples.of('known in Node'), bar: atMost(40) },
      ...{ ...common, barOn: 'measured' },
    }),
  ];
  return { name: 'one-host-known', title: 'One host: blocks known in the bucket', rows, notes };
}

const notes = [
  'The blocks of 4 KiB were put by clients, are in the bucket, and no longer in the memory of the daemon, which has ' +
    `${knownMemoryBytes / mib} MiB. Other ones each time, one call after the other.`,
];
