import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { medianOf } from '../statistics.ts';
import { CClient } from './c-client.ts';
import { measureBatchSizes } from './batch-sizes.ts';
import { putSettings, startDaemon } from './daemon-place.ts';
import type { Stops } from './daemon-place.ts';
import { knownMemoryBytes, measureKnownReads } from './known-reads.ts';
import type { KnownRig } from './known-reads.ts';
import { countNodeCalls, nodeCallsRow } from './node-calls.ts';
import { measureNodeReads } from './node-reads.ts';
import { peerTable } from './peer-table.ts';
import { startPeers } from './peers.ts';
import { measurePutsInC, putTable, startPutClients } from './puts-in-c.ts';
import { countedCalls, measureReadsInC, startReadClients } from './reads-in-c.ts';
import { measurePuts, usualRestMs } from './puts.ts';
import { Samples } from './samples.ts';
import { measureUnixSocket } from './unix-socket.ts';

/** Clients beside a daemon, in C and in Node, and what an engine could use instead. */
export const oneHost: Scenario = {
  name: 'one-host',
  about: 'clients in C and Node of a daemon on their host, beside Redis, plain files and LMDB',
  run,
};

const mib = 1024 * 1024;
const batchBlocks = 40;
const batchBytes = batchBlocks * mib;
const smallBlocks = 4000;
const smallBytes = 4096;
const knownBlocks = 2000;

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { platform, isQuick, progress, directory } = context;
  const place = join(directory, 'one-host');
  mkdirSync(place);
  const known = isQuick ? 20_000 : 500_000;
  const rounds = context.rounds ?? (isQuick ? 2 : 9);
  const turns = { rounds, restMs: isQuick ? 0 : usualRestMs };
  const stops: Stops = [];
  try {
    progress.begin('one host, Redis, plain files and LMDB');
    const batch = { batchBlocks, batchBlockBytes: mib };
    const peers = await startPeers(place, { known, ...batch, smallBlocks, smallBytes }, stops);
    progress.begin(`one host, an index of ${known} blocks`);
    const { rig, many, countCalls } = await startReadClients(platform, place, known, stops);
    progress.begin('one host, a client in C and its peers');
    const samples = new Samples();
    for (let round = 0; round <= rounds; round += 1) {
      await measureReadsInC(rig, peers, round > 0, samples);
    }
    const table = tableOf(samples, known, await countCalls());
    progress.begin('one host, puts of a client in C and its peers');
    const puts = await startPutClients(place, stops);
    await measurePutsInC(puts, peers, turns, samples);
    progress.begin('one host, a client in Node');
    const home = await startDaemon(place, 'puts', stops, putSettings(place, 'puts'));
    const node = await measureNodeReads(many.socketPath, home.socketPath, { known, ...turns });
    const nodeCalls = countNodeCalls(home.socketPath, countedCalls, place);
    const nodePuts = await measurePuts(home.socketPath, turns);
    progress.begin('one host, other sizes of blocks');
    const bySize = await measureBatchSizes(place, isQuick, turns);
    progress.begin('one host, the Unix socket alone');
    const socket = await measureUnixSocket(context, place, turns);
    progress.begin('one host, blocks that are known in the bucket');
    const knownReads = await measureKnownReads(await knownRig(place, stops), rounds, samples);
    progress.end('done');
    const settings = { known, batchBlocks, smallBlocks, countedCalls };
    const { versions } = peers;
    const tables = [
      ...[table, putTable(samples), bySize, peerTable(peers, samples)],
      { ...node, rows: [...node.rows, ...nodeCallsRow(nodeCalls, countedCalls)] },
      ...[nodePuts, socket, knownReads],
    ];
    return { tables, settings, versions, voidReasons: [] };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

/** A daemon that has put blocks away, and clients that put them. */
async function knownRig(directory: string, stops: (() => Promise<unknown>)[]): Promise<KnownRig> {
  const program = await CClient.build(directory);
  const { environment, socketPath } = await startDaemon(
    ...([directory, 'known', stops, knownSettings(directory)] as const),
  );
  const clientOf = async (order: string): Promise<CClient> => {
    const client = CClient.start([program], environment);
    stops.push(() => client.stop());
    await client.order(order);
    return client;
  };
  const client = await clientOf(`blocks ${knownBlocks} ${smallBytes}`);
  const evicting = await clientOf('fill 16 1048576');
  return { socketPath, client, evicting, blocks: knownBlocks };
}

function knownSettings(directory: string): Readonly<Record<string, string>> {
  return {
    ...putSettings(directory, 'known'),
    WMBT_KV_PUFFER_RAM_BYTES: String(knownMemoryBytes),
  };
}

function tableOf(samples: Samples, known: number, calls: number | undefined): Table {
  const of = samples.of.bind(samples);
  const copyRate = medianOf(of('copy'));
  const get = `get of ${batchBlocks} × 1 MiB, borrowed and released`;
  const lookup = `lookup of 80, other ones each time, of ${known.toLocaleString('en-US')}`;
  const micro = { unit: 'µs' as const };
  const rows: Row[] = [
    rowOf({ what: `${lookup}: p50`, ...micro, samples: of('lookup'), bar: atMost(5) }),
    rowOf({ what: `${lookup}: p99`, ...micro, samples: of('lookup p99') }),
    rowOf({
      ...{ what: `${get}: p50`, ...micro, samples: of('get'), ratio: 'speed-up' },
      against: { what: 'M, the batch', value: batchBytes / copyRate / 1000 },
      ...{ bar: atMost(20), barOn: 'measured' },
    }),
    rowOf({ what: `${get}: p99`, ...micro, samples: of('get p99') }),
    rowOf({
      ...{ what: 'the same, copied out', unit: 'GB/s', samples: of('out') },
      ...{ against: { what: 'M', value: copyRate }, bar: atLeast(0.9) },
    }),
    rowOf({
      ...{ what: 'gets of 4 KiB a second, one in a call', unit: 'count' },
      ...{ samples: of('one'), bar: atLeast(1_000_000) },
    }),
    rowOf({
      ...{ what: 'gets of 4 KiB a second, 40 in a call', unit: 'count' },
      ...{ samples: of('few'), bar: atLeast(3_000_000) },
    }),
  ];
  const shownCalls = countedCalls.toLocaleString('en-US');
  const what = `system calls in ${shownCalls} lookups of 80 and as many gets`;
  if (calls !== undefined) {
    rows.push(rowOf({ what, unit: 'count', samples: [calls], bar: atMost(0) }));
  }
  return { name: 'one-host', title: 'One host: a client in C', rows, notes };
}

const notes = [
  'One thread, linked to the shared library as an engine is; p50 and p99 are of single calls, by the clock ' +
    'around each, and the samples are those of rounds in turns. The hashes of a lookup are text that was just ' +
    'written, as an engine has it. The index of many blocks is that of the memory tier itself, in a process that ' +
    'published them without saving them; the other blocks were put through a daemon. M copies the same bytes ' +
    'from memory of the client’s own. System calls are counted by strace; a test lets the ' +
    'system kill a process that makes one.',
  'The Rust version stands in tables of its own.',
];
