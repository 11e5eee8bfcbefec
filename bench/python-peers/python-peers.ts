import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../tools/project.ts';
import { installPythonPeers } from '../../tools/python-peers.ts';
import { CClient } from '../one-host/c-client.ts';
import type { Stops } from '../one-host/daemon-place.ts';
import { peerRows } from '../one-host/peer-table.ts';
import { startPeer } from '../one-host/peers.ts';
import type { PeerName, PeerSizes, Peers } from '../one-host/peers.ts';
import { measurePutsInC, startPutClients } from '../one-host/puts-in-c.ts';
import { usualRestMs } from '../one-host/puts.ts';
import { measureReadsInC, startReadClients } from '../one-host/reads-in-c.ts';
import { Samples } from '../one-host/samples.ts';
import type { ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';

/** What engines in Python use on one host, beside this client in C. */
export const pythonPeers: Scenario = {
  name: 'python-peers',
  about: 'LMCache and Mooncake on one host, which pip installs the first time (6.2 GB)',
  isOptIn: true,
  run,
};

/** What peers.py calls each. */
const kinds: readonly (readonly [PeerName, string])[] = [
  ['LMCache', 'lmcache'],
  ['Mooncake', 'mooncake'],
  ['Mooncake by shared memory', 'mooncake-shared'],
];
const batch = { batchBlocks: 40, batchBlockBytes: 1024 * 1024 };
const small = { smallBlocks: 4000, smallBytes: 4096 };

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { isQuick, progress, platform } = context;
  progress.begin('LMCache and Mooncake, installed by pip');
  const installed = installPythonPeers();
  if ('missing' in installed) {
    return { tables: [], settings: {}, versions: {}, voidReasons: [installed.missing] };
  }
  const directory = join(context.directory, 'python-peers');
  mkdirSync(directory);
  const rounds = context.rounds ?? (isQuick ? 1 : 7);
  const known = isQuick ? 20_000 : 100_000;
  const stops: Stops = [];
  try {
    const sizes = { known, ...batch, ...small };
    const peers = await startPeers(installed.python, directory, sizes, stops);
    const samples = new Samples();
    progress.begin('LMCache and Mooncake, lookups and gets');
    const { rig } = await startReadClients(platform, directory, known, stops);
    for (let round = 0; round <= rounds; round += 1) {
      await measureReadsInC(rig, peers, round > 0, samples);
    }
    progress.begin('LMCache and Mooncake, puts');
    const puts = await startPutClients(directory, stops);
    await measurePutsInC(puts, peers, { rounds, restMs: isQuick ? 0 : usualRestMs }, samples);
    progress.end('done');
    const { versions } = installed;
    return { tables: [tableOf(peers, samples)], settings: sizes, versions, voidReasons: [] };
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function startPeers(
  python: string,
  directory: string,
  sizes: PeerSizes,
  stops: Stops,
): Promise<Peers> {
  const program = join(projectRoot(), 'bench', 'python-peers', 'peers.py');
  const list = [];
  for (const [name, kind] of kinds) {
    const clientOf = (): CClient => {
      const client = CClient.start([python, program, kind, directory], { HOME: directory });
      stops.push(() => client.stop());
      return client;
    };
    list.push(await startPeer(name, clientOf, sizes));
  }
  return { list, missing: '', versions: {} };
}

function tableOf({ list }: Peers, samples: Samples): Table {
  const title = 'One host: LMCache and Mooncake';
  return { name: 'python-peers', title, rows: peerRows(list, samples), notes };
}

const notes = [
  'Programs in Python (bench/python-peers/peers.py), one thread each, in the same rounds as the client in C of a ' +
    'WombatKV daemon; a ratio says how many times as fast as the peer WombatKV is. The cost of Python is in their ' +
    'figures, as it is for an engine that uses them; names and keys are made before the clock runs. What comes back is ' +
    'compared, outside the time. Neither computes a checksum, uploads anything or survives its process.',
  'LMCache is its memory backend in the engine’s own process, which it replaces by a server of its own where several ' +
    'engines share: a get gives references to tensors, and its memory was touched when it was opened. Mooncake has a master of its own, and the segment lies in the ' +
    'process of the client, or in another one that it reaches over shared memory, where the payloads of the client lie ' +
    'already; its gets end with the bytes in the client’s buffers.',
];
