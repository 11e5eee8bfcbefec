import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import { CClient } from './c-client.ts';
import { putSettings, startDaemon } from './daemon-place.ts';
import type { Stops } from './daemon-place.ts';
import type { Peer, Peers } from './peers.ts';
import { growingRounds, phaseOf, putRows } from './puts.ts';
import type { PutRounds } from './puts.ts';
import { medianOf } from '../statistics.ts';
import type { Samples } from './samples.ts';

/** Clients in C whose blocks are filled and not stored. */
export interface PutClients {
  /** Forty blocks of 1 MiB, one of 4 KiB, forty of 4 KiB: of one daemon. */
  readonly batch: CClient;
  readonly one: CClient;
  readonly many: CClient;
  /** Forty blocks of 1 MiB in a store of its own process. */
  readonly own: CClient;
}

const mib = 1024 * 1024;
const batchBlocks = 40;
const batchBytes = batchBlocks * mib;
const smallBytes = 4096;
/** Puts of 4 KiB that are timed together, as calls of one block and of forty. */
const smallPuts = 1000;

/** Clients of a daemon of their own, and one whose store is its own. */
export async function startPutClients(directory: string, stops: Stops): Promise<PutClients> {
  const program = await CClient.build(directory);
  const { environment } = await startDaemon(
    ...([directory, 'c-puts', stops, putSettings(directory, 'c-puts')] as const),
  );
  const home = join(directory, 'own');
  mkdirSync(home);
  const own = {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run'), WMBT_KV_NODE: process.execPath },
    ...{
      WMBT_KV_PUFFER_DIR: join(home, 'cache'),
      ...putSettings(directory, 'own'),
    },
  };
  const filled = async (
    settings: Readonly<Record<string, string>>,
    blocks: number,
    bytes: number,
  ): Promise<CClient> => {
    const client = CClient.start([program], settings);
    stops.push(() => client.stop());
    await client.order(`fill ${blocks} ${bytes}`);
    return client;
  };
  return {
    batch: await filled(environment, batchBlocks, mib),
    one: await filled(environment, 1, smallBytes),
    many: await filled(environment, batchBlocks, smallBytes),
    own: await filled(own, batchBlocks, mib),
  };
}

/** Puts of a client in C, and of its peers in the same rounds. */
export async function measurePutsInC(
  clients: PutClients,
  { list }: Peers,
  { rounds, restMs }: PutRounds,
  samples: Samples,
): Promise<void> {
  const { batch, one, many, own } = clients;
  for (let round = 0; round < growingRounds + 1 + rounds; round += 1) {
    await measureBatch(clients, list, round, samples);
    await sleep(restMs);
    samples.keep('rested', batchBytes / (await batch.order('copy 1'))[0]);
    samples.keep('again', (await batch.order('again 9'))[0] / 1000);
  }
  for (let round = 0; round <= rounds; round += 1) {
    const keep = (what: string, [, , mean]: readonly number[], blocks: number): void => {
      if (round > 0) samples.keep(what, Math.round((blocks * 1e9) / mean));
    };
    for (const peer of list) await measureSmallOf(peer, keep);
    keep('put one', await one.order(`put ${smallPuts}`), 1);
    await one.order('settle');
    await sleep(restMs);
    keep('put many', await many.order(`put ${smallPuts / batchBlocks}`), batchBlocks);
    await many.order('settle');
    await sleep(restMs);
    // A store of one's own and a daemon, with batches that both have in memory.
    const get = (await batch.order('get 2000'))[0] / 1000;
    const ownGet = (await own.order('get 2000'))[0] / 1000;
    if (round > 0) samples.keep('daemon get', get);
    if (round > 0) samples.keep('own get', ownGet);
  }
}

/** A batch in each; what is put comes back as it was, and is uploaded, before the next one. */
async function measureBatch(
  { batch, own }: PutClients,
  peers: readonly Peer[],
  round: number,
  samples: Samples,
): Promise<void> {
  const phase = phaseOf(round);
  const keep = (prefix: string, [ns]: readonly number[]): void => {
    if (phase !== undefined) samples.keep(`${prefix}${phase}`, batchBytes / ns);
  };
  samples.keep('M', batchBytes / (await batch.order('copy 9'))[0]);
  for (const peer of peers) {
    if (phase === 'warm') await peer.batch.order('drop');
    keep(`${peer.name} `, await peer.batch.order('put 1'));
    await peer.batch.order('verify');
  }
  keep('', await batch.order('put 1'));
  await batch.order('settle');
  keep('own ', await own.order('put 1'));
  await own.order('settle');
}

async function measureSmallOf(
  { name, one, many }: Peer,
  keep: (what: string, times: readonly number[], blocks: number) => void,
): Promise<void> {
  keep(`${name} put one`, await one.order(`put ${smallPuts}`), 1);
  await one.order('verify');
  await one.order('drop');
  keep(`${name} put many`, await many.order(`put ${smallPuts / batchBlocks}`), batchBlocks);
  await many.order('verify');
  await many.order('drop');
}

/** The client's own rows; those of its peers are in a table of theirs. */
export function putTable(samples: Samples): Table {
  const beside = (what: string): { what: string; value: readonly number[] } => ({
    what: 'a store of its own',
    value: samples.of(what),
  });
  const [warm, ...others] = putRows(samples, { one: 100_000, many: 500_000 });
  const rows = [
    warm,
    rowOf({
      ...{ what: 'the same, against one copy after a rest', unit: 'GB/s' },
      ...{ samples: samples.of('warm') },
      against: { what: 'one memcpy', value: medianOf(samples.of('rested')) },
    }),
    ...others,
    rowOf({
      ...{ what: 'get of 40 × 1 MiB, daemon', unit: 'µs', samples: samples.of('daemon get') },
      ...{ against: beside('own get'), bar: atMost(1.2) },
    }),
    rowOf({
      ...{ what: 'put of 40 × 1 MiB, daemon', unit: 'GB/s', samples: samples.of('warm') },
      ...{ against: beside('own warm'), ratio: 'speed-up', bar: atMost(1.2) },
    }),
  ];
  return { name: 'one-host-puts-in-c', title: 'One host: puts of a client in C', rows, notes };
}

const notes = [
  'Through `wmbt_kv_put_kv_blocks`, accepted when it returns. M copies the batch within the client, nine times one ' +
    'behind the other; a put comes after a rest of a second and a half in which others used the caches, and so does the ' +
    'one memcpy of the second row. After each put ' +
    'its blocks are read back and compared, uploads end, and the log gets what came before, all outside the time. ' +
    'Small puts are means of 1,000 blocks. The last two rows are of the daemon and of a store that ' +
    'the library starts for the process alone, in turns: how much longer the daemon takes.',
];
