import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installCommandOf, tryInstall } from '../../tools/debian.ts';
import { createBucket } from '../../tools/radosgw-setup.ts';
import { cephPackages, missingPrograms, startRadosgw } from '../../tools/radosgw.ts';
import { buildRustWombatKv, missingForRust, rustVersion } from '../../tools/rust-wombatkv.ts';
import type { RustWombatKv } from '../../tools/rust-wombatkv.ts';
import type { BucketAccess } from '../object-store/client-job.ts';
import { Samples } from '../one-host/samples.ts';
import type { ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { PeerClients, bucketSettings, homeSettings, sides } from './peer-places.ts';
import type { Settings, Side } from './peer-places.ts';
import { restMs, restart, restartWiped, restarted, startDaemon } from './peer-restarts.ts';
import type { Daemon, Restarted } from './peer-restarts.ts';
import { Seeds, batchBlockBytes, batchBlocks, measureMode, tailBytes } from './peer-rounds.ts';
import type { Clients, Mode, Plan } from './peer-rounds.ts';
import { daemonTable, embeddedTable } from './rust-tables.ts';

/** The same program in C with the library of the Rust WombatKV and with this one. */
export const rustPeer: Scenario = {
  name: 'rust-peer',
  about:
    'one program in C linked to the Rust WombatKV and to this one, in every mode, on a real S3 server',
  isOptIn: true,
  run,
};

const bucket = 'wombat-peer';
/** Rounds of daemons that start anew: each takes seconds. */
const daemonRestarts = 3;
/** Ways to a daemon. */
const doors = ['shm', 'tcp', 'http'] as const;

async function run(context: BenchContext): Promise<ScenarioResult> {
  if (missingPrograms().length > 0) tryInstall(cephPackages);
  const missing = missingPrograms();
  if (missing.length > 0) {
    return nothing(
      `no S3 server here: ${missing.join(', ')} missing; ${installCommandOf(cephPackages)}`,
    );
  }
  const lacking = missingForRust();
  if (lacking !== undefined) return nothing(`${lacking.what}; ${lacking.toType}`);
  const { progress } = context;
  progress.begin('building the Rust WombatKV');
  const rust = buildRustWombatKv();
  progress.end('built');
  progress.begin('radosgw');
  const server = await startRadosgw();
  const kill = (): void => server.kill();
  // Whoever ends this process from outside ends the server too.
  process.once('exit', kill);
  try {
    await createBucket(server, bucket);
    progress.end('answers');
    const { endpoint, accessKey, secretKey } = server;
    return await measureAll(context, rust, { endpoint, bucket, accessKey, secretKey });
  } finally {
    await server.stop();
    process.off('exit', kill);
  }
}

function nothing(reason: string): ScenarioResult {
  return { tables: [], settings: {}, versions: {}, voidReasons: [reason] };
}

/** What the parts of a run share. */
interface Rig {
  readonly clients: PeerClients;
  readonly rust: RustWombatKv;
  readonly access: BucketAccess;
  readonly directory: string;
  readonly samples: Samples;
  readonly seeds: Seeds;
  /** Fresh processes of each kind. */
  readonly restarts: number;
}

async function measureAll(
  context: BenchContext,
  rust: RustWombatKv,
  access: BucketAccess,
): Promise<ScenarioResult> {
  const { isQuick, progress } = context;
  const directory = join(context.directory, 'rust-peer');
  mkdirSync(directory);
  const rig: Rig = {
    ...{ clients: await PeerClients.build(rust, directory), rust, access, directory },
    ...{
      samples: new Samples(),
      seeds: new Seeds(),
      restarts: context.rounds ?? (isQuick ? 1 : 5),
    },
  };
  progress.begin('beside the Rust WombatKV, embedded');
  await measureEmbedded(rig, embeddedPlan(context));
  progress.end('done');
  await measureDaemons(rig, daemonPlan(context), (mode) =>
    progress.begin(`beside the Rust WombatKV, its daemon by ${mode}`),
  );
  progress.end('done');
  return {
    tables: [embeddedTable(rig.samples), daemonTable(rig.samples)],
    settings: { batchBlocks, batchBlockBytes, tailBytes },
    versions: { rust: rustVersion },
    voidReasons: [],
  };
}

function embeddedPlan({ isQuick, rounds = isQuick ? 1 : 5 }: BenchContext): Plan {
  const rust = { lookups: 2000, gets: 5, smallPuts: 50, smallGets: 1000 };
  return { rounds, puts: rounds, putsAgain: rounds, rust };
}

function daemonPlan({ isQuick, rounds = isQuick ? 1 : 4 }: BenchContext): Plan {
  const rust = { lookups: 100, gets: 3, smallPuts: 3, smallGets: 200 };
  return { rounds, puts: Math.min(rounds, 2), putsAgain: 1, rust };
}

async function measureEmbedded(rig: Rig, plan: Plan): Promise<void> {
  const settingsOf = (side: Side): Settings => ({
    ...homeSettings(join(rig.directory, `embedded-${side}`)),
    ...bucketSettings(rig.access, `embedded-${side}`),
  });
  const last = await measureWith(rig, 'embedded', plan, settingsOf);
  for (let round = 0; round < rig.restarts; round += 1) {
    for (const side of inTurn(round)) {
      const one = { side, seed: last[side], settings: settingsOf(side) };
      await restart(rig.clients, { ...one, name: `embedded ${side} kept` }, rig.samples);
      await restartWiped(rig.clients, { ...one, name: `embedded ${side} wiped` }, rig);
    }
  }
}

/** Daemons in the rig's directory, each in a home of its own below it. */
function daemonIn(rig: Rig, side: Restarted, home: string): Promise<Daemon> {
  const settings = { ...homeSettings(home), ...bucketSettings(rig.access, `daemon-${side}`) };
  return startDaemon(side, { program: rig.rust.daemon, notes: rig.clients.notes }, settings);
}

async function measureDaemons(rig: Rig, plan: Plan, begin: (mode: Mode) => void): Promise<void> {
  const homeOf = (side: Side): string =>
    join(rig.directory, `daemon-${side === 'rust' ? 'rust' : 'own'}`);
  const stops: (() => Promise<unknown>)[] = [];
  let last: Readonly<Record<Side, number>> = { rust: 0, own: 0, durable: 0 };
  try {
    const start = async (side: Restarted): Promise<Daemon> => {
      const daemon = await daemonIn(rig, side, homeOf(side));
      stops.push(() => daemon.stop());
      return daemon;
    };
    const own = await start('own');
    const rust = await start('rust');
    for (const mode of doors) {
      begin(mode);
      last = await measureWith(rig, mode, plan, (side) => ({
        ...homeSettings(homeOf(side)),
        ...(side === 'rust' ? rust : own).settings[mode],
      }));
    }
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
  for (let round = 0; round < Math.min(rig.restarts, daemonRestarts); round += 1) {
    for (const mode of doors) {
      for (const side of inTurn(round)) await restartDaemon(rig, mode, side, last[side]);
    }
  }
}

/** A daemon that starts in an empty home, and a client of it. */
async function restartDaemon(
  rig: Rig,
  mode: (typeof doors)[number],
  side: Restarted,
  seed: number,
): Promise<void> {
  const home = join(rig.directory, 'fresh');
  const daemon = await daemonIn(rig, side, home);
  try {
    const settings = { ...homeSettings(home), ...daemon.settings[mode] };
    await restart(
      rig.clients,
      { side, seed, settings, name: `${mode} ${side} wiped` },
      rig.samples,
    );
  } finally {
    await daemon.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

/** Clients of a mode from their start to their end. */
async function measureWith(
  { clients, samples, seeds }: Rig,
  mode: Mode,
  plan: Plan,
  settingsOf: (side: Side) => Settings,
): Promise<Readonly<Record<Side, number>>> {
  const started = sides.map((side) => [side, clients.start(side, settingsOf(side))] as const);
  try {
    for (const [, client] of started) {
      await client.order('open');
      await client.order(`fill ${batchBlocks} ${batchBlockBytes}`);
    }
    const all = Object.fromEntries(started) as Clients;
    return await measureMode(mode, all, plan, { samples, seeds });
  } finally {
    for (const [, client] of started) await client.stop();
    await sleep(restMs);
  }
}

/** Who begins is another one in each round. */
function inTurn(round: number): readonly Restarted[] {
  return round % 2 === 0 ? restarted : restarted.toReversed();
}
