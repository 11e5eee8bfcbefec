import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { openStore } from '../../src/index.ts';
import { chainOf } from '../chain.ts';
import { ratesOf, timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import { CClient } from './c-client.ts';
import { putSettings, startDaemon } from './daemon-place.ts';
import type { DaemonPlace, Stops } from './daemon-place.ts';
import type { PutRounds } from './puts.ts';
import { Samples } from './samples.ts';

const mib = 1024 * 1024;
const batchBlocks = 40;
const batchBytes = batchBlocks * mib;
const smallBytes = 4096;
/** Calls of one block, and of forty, that are timed together. */
const calls = { one: 400, many: 20 } as const;
const roundsMax = 5;
/** Every batch of all rounds fits, and half of it is free. */
const memoryBytes = 1024 * mib;

/** Clients of a daemon that shares no memory with them, and the same store in the process itself. */
export async function measureUnixSocket(
  { limits }: BenchContext,
  directory: string,
  { rounds }: PutRounds,
): Promise<Table> {
  const stops: Stops = [];
  const samples = new Samples();
  try {
    const settings = putSettings(directory, 'socket', memoryBytes);
    const daemon = await startDaemon(directory, 'socket', stops, settings);
    // Whoever finds no announcement of its memory takes the socket alone.
    rmSync(announcementOf(daemon.socketPath));
    const inC = await startClients(directory, daemon, stops);
    const store = await connect(`unix:${daemon.socketPath}`);
    stops.push(() => store.close());
    const own = await openStore({
      objectStore: `file://${encodeURI(join(directory, 'in-process-objects'))}`,
      cacheDirectory: join(directory, 'in-process-cache'),
      memoryBytes,
    });
    stops.push(() => own.close());
    for (let round = 0; round <= Math.min(rounds, roundsMax); round += 1) {
      const keep: Samples['keep'] = (what, value) => {
        if (round > 0) samples.keep(what, value);
      };
      await measureInC(inC, keep);
      await measureInNode(store, `socket ${round}`, keep);
      await measureBatch(own, `own ${round}`, (what, ms) => keep(`own ${what}`, ms));
    }
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
  return tableOf(samples, limits.copyRate);
}

interface ClientsInC {
  /** Forty blocks of 1 MiB, one of 4 KiB, forty of those. */
  readonly batch: CClient;
  readonly one: CClient;
  readonly many: CClient;
}

async function startClients(
  directory: string,
  { environment }: DaemonPlace,
  stops: Stops,
): Promise<ClientsInC> {
  const program = await CClient.build(directory);
  const filled = async (blocks: number, bytes: number): Promise<CClient> => {
    const client = CClient.start([program], environment);
    stops.push(() => client.stop());
    await client.order(`fill ${blocks} ${bytes}`);
    return client;
  };
  return {
    batch: await filled(batchBlocks, mib),
    one: await filled(1, smallBytes),
    many: await filled(batchBlocks, smallBytes),
  };
}

/** Of each client; what was put comes back as it was, and is uploaded, before the next one. */
async function measureInC({ batch, one, many }: ClientsInC, keep: Samples['keep']): Promise<void> {
  const rate = (ns: number, blocks: number): number => Math.round((blocks * 1e9) / ns);
  keep('C put one', rate((await one.order(`put ${calls.one}`))[2], 1));
  await one.order('settle');
  keep('C one', rate((await one.order(`one ${calls.one}`))[0], 1));
  keep('C put many', rate((await many.order(`put ${calls.many}`))[2], batchBlocks));
  await many.order('settle');
  keep('C many', rate((await many.order(`get ${calls.many}`))[2], batchBlocks));
  await batch.order('put 1');
  await batch.order('settle');
  keep('C out', batchBytes / (await batch.order('out 5'))[0]);
  keep('C M', batchBytes / (await batch.order('copy 5'))[0]);
  await batch.order('drop');
}

async function measureInNode(store: KvStore, seed: string, keep: Samples['keep']): Promise<void> {
  for (const [what, count] of [
    ['one', 1],
    ['many', batchBlocks],
  ] as const) {
    const chains = Array.from({ length: calls[what] }, (_, call) =>
      chainOf({ seed: `${seed} ${what} ${call}`, blocks: count, blockBytes: smallBytes }),
    );
    const rateOf = async (
      task: (chain: readonly BlockToSave[]) => Promise<void>,
    ): Promise<number> => {
      const ms = await timed(async () => {
        for (const chain of chains) await task(chain);
      });
      return Math.round((chains.length * count * 1000) / ms);
    };
    keep(`put ${what}`, await rateOf(async (chain) => void (await store.save(chain))));
    await store.flush();
    keep(what, await rateOf((chain) => load(store, chain)));
  }
  await measureBatch(store, seed, (what, ms) => keep(what, ms));
}

/** Milliseconds of a save of a batch that is new, and of a load; a load warms up before it. */
async function measureBatch(
  store: KvStore,
  seed: string,
  keep: (what: 'put' | 'get', ms: number) => void,
): Promise<void> {
  const chain = chainOf({ seed, blocks: batchBlocks, blockBytes: mib });
  keep('put', await timed(() => store.save(chain)));
  await store.flush();
  await load(store, chain);
  keep('get', await timed(() => load(store, chain)));
  await store.delete({ kind: 'blocks', keys: chain.map(({ key }) => key) });
}

async function load(store: KvStore, chain: readonly BlockToSave[]): Promise<void> {
  const borrow = await store.load(chain.map(({ key }) => key));
  borrow.release();
  if (borrow.blocks.length !== chain.length) throw new Error(`a load stopped: ${borrow.reason}`);
}

/** Of bars.md, by client. */
const bars = {
  C: { one: 1_000_000, many: 3_000_000, putOne: 100_000, putMany: 500_000 },
  Node: { one: 200_000, many: 200_000, putOne: 30_000, putMany: 30_000 },
} as const;

function tableOf(samples: Samples, copyRate: number): Table {
  const small = (client: keyof typeof bars): readonly Row[] => {
    const prefix = client === 'C' ? 'C ' : '';
    const row = (what: string, kept: string, bar: number): Row =>
      rowOf({
        ...{ what: `${client}: ${what}`, unit: 'count' },
        ...{ samples: samples.of(`${prefix}${kept}`), bar: atLeast(bar) },
      });
    const { one, many, putOne, putMany } = bars[client];
    return [
      row('gets of 4 KiB a second, one in a call', 'one', one),
      row('gets of 4 KiB a second, 40 in a call', 'many', many),
      row('puts of 4 KiB a second, one in a call', 'put one', putOne),
      row('puts of 4 KiB a second, 40 in a call', 'put many', putMany),
    ];
  };
  const out = { unit: 'GB/s' as const, bar: atLeast(0.9) };
  const batch = `${batchBlocks} × 1 MiB`;
  const beside = (what: 'get' | 'put'): Row =>
    rowOf({
      ...{ what: `Node: ${what} of ${batch}, daemon`, unit: 'ms', samples: samples.of(what) },
      against: { what: 'in process', value: samples.of(`own ${what}`) },
      bar: atMost(1.2),
    });
  const rows = [
    ...small('C'),
    rowOf({
      ...{ ...out, what: `C: get of ${batch}, copied out`, samples: samples.of('C out') },
      against: { what: 'M', value: samples.of('C M') },
    }),
    ...small('Node'),
    rowOf({
      ...{ ...out, what: `Node: get of ${batch}, in memory of its own` },
      ...{
        samples: ratesOf(samples.of('get'), batchBytes),
        against: { what: 'M', value: copyRate },
      },
    }),
    ...[beside('get'), beside('put')],
  ];
  return { name: 'one-host-unix', title: 'One host: over the Unix socket alone', rows, notes };
}

const notes = [
  'The same daemon with its memory not announced, so that clients find a socket and nothing else: every call is one. The bars are those of ' +
    'shared memory, and for bytes that a socket copies twice they are out of reach. In process: a store that the ' +
    'benchmark opens itself, whose gets lend memory. Uploads have ended before what comes next is timed.',
];
