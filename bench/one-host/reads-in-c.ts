import { withNative } from '../../src/platform/native.ts';
import type { Platform } from '../../src/platform/platform.ts';
import { CClient } from './c-client.ts';
import { startDaemon } from './daemon-place.ts';
import type { DaemonPlace, Stops } from './daemon-place.ts';
import { shareManyBlocks } from './index-memory.ts';
import { measurePeerReads } from './peer-reads.ts';
import type { Peers } from './peers.ts';
import type { Samples } from './samples.ts';

const mib = 1024 * 1024;
const batchBlocks = 40;
const batchBytes = batchBlocks * mib;
const smallBlocks = 4000;
const smallBytes = 4096;
/** Lookups and gets whose system calls are counted. */
export const countedCalls = 1000;

/** Clients in C of daemons that have what they look up and get. */
export interface ReadClients {
  /** Its daemon's memory is one of many blocks. */
  readonly index: CClient;
  /** Forty blocks of 1 MiB. */
  readonly batch: CClient;
  /** Four thousand blocks of 4 KiB, and forty of them. */
  readonly small: CClient;
  readonly few: CClient;
}

/**
 * Starts the daemons, one whose memory has `known` blocks, and the clients. `countCalls` gives the system calls of
 * lookups and gets; `many` is the daemon of many blocks.
 */
export async function startReadClients(
  platform: Platform,
  directory: string,
  known: number,
  stops: Stops,
): Promise<{ rig: ReadClients; many: DaemonPlace; countCalls: () => Promise<number | undefined> }> {
  const program = await CClient.build(directory);
  const many = await startDaemon(directory, 'many', stops);
  stops.push(await shareManyBlocks(withNative(platform, 'auto'), many.socketPath, known));
  const usual = await startDaemon(directory, 'usual', stops);
  let shown = 0;
  const clientOf = async ({ environment }: DaemonPlace, order: string): Promise<CClient> => {
    const client = CClient.start([program], environment);
    stops.push(() => client.stop());
    [shown] = await client.order(order);
    return client;
  };
  const index = await clientOf(many, `hashes ${known}`);
  if (shown < 0.999 * known) throw new RangeError(`of ${known} blocks ${shown} are found`);
  const rig = {
    index,
    batch: await clientOf(usual, `blocks ${batchBlocks} ${mib}`),
    small: await clientOf(usual, `blocks ${smallBlocks} ${smallBytes}`),
    few: await clientOf(usual, `blocks ${batchBlocks} ${smallBytes}`),
  };
  const countCalls = (): Promise<number | undefined> => {
    const orders = [`hashes ${known}`, `marked ${countedCalls}`];
    return CClient.countCalls(program, many.environment, orders, directory);
  };
  return { rig, many, countCalls };
}

/** One round of what WombatKV and its peers do with what is stored. */
export async function measureReadsInC(
  rig: ReadClients,
  { list }: Peers,
  isCounted: boolean,
  samples: Samples,
): Promise<void> {
  const keep: Samples['keep'] = (what, value) => {
    if (isCounted) samples.keep(what, value);
  };
  const [lookup, slowLookup] = await rig.index.order('lookup 5000');
  keep('lookup', lookup / 1000);
  keep('lookup p99', slowLookup / 1000);
  const [get, slowGet] = await rig.batch.order('get 5000');
  keep('get', get / 1000);
  keep('get p99', slowGet / 1000);
  keep('touch', (await rig.batch.order('touch 50'))[0] / 1000);
  keep('copy', batchBytes / (await rig.batch.order('copy 9'))[0]);
  keep('out', batchBytes / (await rig.batch.order('out 9'))[0]);
  keep('one', Math.round(1e9 / (await rig.small.order('one 200000'))[0]));
  keep('few', Math.round((batchBlocks * 1e9) / (await rig.few.order('get 20000'))[0]));
  for (const peer of list) await measurePeerReads(peer, batchBlocks, batchBytes, keep);
}
