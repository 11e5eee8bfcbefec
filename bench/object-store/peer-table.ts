import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildRustWombatKv, rustVersion } from '../../tools/rust-wombatkv.ts';
import { chainOf } from '../chain.ts';
import type { ChainShape } from '../chain.ts';
import { mib } from '../measured-limits.ts';
import { atLeast, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import { medianOf } from '../statistics.ts';
import type { RestoreResult, SaveJobResult } from './client-job.ts';
import { ClientProcess } from './client-process.ts';
import { chainName } from './place.ts';
import type { Place } from './place.ts';
import { runRustPeer } from './rust-peer.ts';
import type { RustResult } from './rust-peer.ts';

const speedUpMin = 1.5;
const blocks = 40;

/** One round: both sides put a batch of their own making and get it back on an empty cache. */
interface PeerRound {
  readonly save: SaveJobResult;
  readonly restore: RestoreResult;
  readonly rustPut: RustResult;
  readonly rustGet: RustResult;
}

/** The Rust WombatKV on the same bucket in the same run. */
export async function peerTable(context: BenchContext, near: Place): Promise<Table> {
  const { progress } = context;
  progress.begin('building the Rust WombatKV');
  const { program } = buildRustWombatKv();
  progress.end('built');
  progress.begin('beside the Rust WombatKV');
  const client = new ClientProcess();
  const rounds: PeerRound[] = [];
  try {
    const count = context.rounds ?? (context.isQuick ? 2 : 7);
    // The first round warms both sides up and does not count.
    for (let round = 0; round <= count; round += 1) {
      const shape = { seed: `peer ${round}`, blocks, blockBytes: mib, isHalfEmpty: true };
      const directory = join(context.directory, `peer-${round}`);
      rounds.push(await runRound({ near, client, program }, shape, directory));
      rmSync(directory, { recursive: true });
    }
  } finally {
    await client.stop();
  }
  progress.end('done');
  const shape = { seed: '', blocks, blockBytes: mib };
  const rows = rowsOf(rounds.slice(1), chainName(shape));
  return { name: 'object-store-peers', title: 'Beside the Rust WombatKV', rows, notes };
}

const notes = [
  `${rustVersion}, embedded, through its C functions in a Rust program; its puts return when S3 has confirmed, so ` +
    'they stand against durable saves. Half of every block is random, half zeros; both sides compress by their own ' +
    'defaults. The same bucket, other keys, loopback; an empty cache in each round. Opening is not in the figures, ' +
    'except where it says so: the Rust library reads its index then, this one asks nothing.',
];

async function runRound(
  sides: { readonly near: Place; readonly client: ClientProcess; readonly program: string },
  shape: ChainShape,
  directory: string,
): Promise<PeerRound> {
  const { access } = sides.near;
  mkdirSync(directory, { recursive: true });
  const chain = chainOf(shape);
  const [keysPath, payloadsPath] = [join(directory, 'keys'), join(directory, 'payloads')];
  writeFileSync(keysPath, chain.map(({ key }) => `${key}\n`).join(''));
  writeFileSync(payloadsPath, Buffer.concat(chain.map(({ payload }) => payload)));
  const rust = (verb: 'put' | 'get'): Promise<RustResult> => {
    const cacheDirectory = join(directory, `rust-${verb}`);
    return runRustPeer(sides.program, { verb, access, cacheDirectory, keysPath, payloadsPath });
  };
  const cache = (name: string): string => join(directory, name);
  const job = { access, shape, rest: 'until idle' } as const;
  const rustPut = await rust('put');
  const save = await sides.client.run({ ...job, kind: 'save', cacheDirectory: cache('save') });
  const rustGet = await rust('get');
  const restoreJob = { ...job, kind: 'restore', cacheDirectory: cache('restore') } as const;
  const restore = await sides.client.run(restoreJob);
  return { save, restore, rustPut, rustGet };
}

function rowsOf(rounds: readonly PeerRound[], batch: string): Row[] {
  const row = (
    what: string,
    ours: (round: PeerRound) => number,
    theirs: (round: PeerRound) => number,
    hasBar: boolean,
  ): Row =>
    rowOf({
      ...{ what: `${batch}: ${what}`, unit: 'ms', samples: rounds.map(ours) },
      against: { what: 'Rust', value: medianOf(rounds.map(theirs)) },
      ...{ ratio: 'speed-up', ...(hasBar ? { bar: atLeast(speedUpMin) } : {}) },
    });
  return [
    row(
      'durable put',
      ({ save }) => save.durableMs,
      ({ rustPut }) => rustPut.ms,
      true,
    ),
    row(
      'cold restore',
      ({ restore }) => restore.loadMs,
      ({ rustGet }) => rustGet.ms,
      true,
    ),
    row(
      'opening, lookup and cold restore',
      ({ restore }) => restore.openMs + restore.lookupMs + restore.loadMs,
      ({ rustGet }) => rustGet.openMs + rustGet.ms,
      false,
    ),
  ];
}
