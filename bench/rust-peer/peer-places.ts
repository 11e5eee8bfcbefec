import { spawnSync } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { cachedLibrary } from '../../tools/capi-build.ts';
import { projectRoot } from '../../tools/project.ts';
import type { RustWombatKv } from '../../tools/rust-wombatkv.ts';
import type { BucketAccess } from '../object-store/client-job.ts';
import { CClient } from '../one-host/c-client.ts';

/** Whose library: the Rust one, this one, or this one with puts that return when they are durable. */
export const sides = ['rust', 'own', 'durable'] as const;
export type Side = (typeof sides)[number];

export type Settings = Readonly<Record<string, string>>;

/** A client that has not ended after so long hangs. */
const clientMs = 600_000;

/** Everything that clients and daemons of a side are told alike: the bucket, below a prefix of the side's own. */
export function bucketSettings(access: BucketAccess, prefix: string): Settings {
  return {
    WMBT_KV_S3_ENDPOINT: access.endpoint,
    WMBT_KV_BUCKET: access.bucket,
    WMBT_KV_S3_ACCESS_KEY: access.accessKey,
    WMBT_KV_S3_SECRET_KEY: access.secretKey,
    WMBT_KV_S3_PREFIX: prefix,
    WMBT_KV_QUIET_BANNER: '1',
  };
}

/** bench/rust-peer/client.c, linked to either library; what they write to standard error goes to a file. */
export class PeerClients {
  readonly #programs: Readonly<Record<Side, string>>;
  readonly #directory: string;
  /** What either side says while it works; the Rust one says much. */
  readonly notes: number;

  private constructor(programs: Readonly<Record<Side, string>>, directory: string) {
    this.#programs = programs;
    this.#directory = directory;
    this.notes = openSync(join(directory, 'notes.txt'), 'a');
  }

  static async build(rust: RustWombatKv, directory: string): Promise<PeerClients> {
    const { prefix } = await cachedLibrary({ compiler: 'cc', flavour: 'plain' });
    const theirs = link(join(directory, 'client-of-rust'), rust.libraryDirectory);
    const ours = link(join(directory, 'client-of-ours'), join(prefix, 'lib'));
    return new PeerClients({ rust: theirs, own: ours, durable: ours }, directory);
  }

  /** Where the notes lie, for a message. */
  get notesPath(): string {
    return join(this.#directory, 'notes.txt');
  }

  start(side: Side, settings: Settings): CClient {
    const durable: Settings = side === 'durable' ? { WMBT_KV_PUT_DURABLE: 'on' } : {};
    const options = { notes: this.notes, timeoutMs: clientMs };
    return CClient.start([this.#programs[side]], { ...settings, ...durable }, options);
  }
}

/** A home, and the places in it that either side is told of. */
export function homeSettings(home: string): Settings {
  mkdirSync(home, { recursive: true });
  return {
    HOME: home,
    WMBT_KV_NODE: process.execPath,
    WMBT_KV_RUNTIME_DIR: join(home, 'run'),
    WMBT_KV_PUFFER_DIR: join(home, 'cache'),
  };
}

function link(program: string, libraryDirectory: string): string {
  const source = join(projectRoot(), 'bench/rust-peer/client.c');
  const flags = [`-L${libraryDirectory}`, `-Wl,-rpath,${libraryDirectory}`, '-lwombatkv'];
  const { status } = spawnSync('cc', ['-O2', source, ...flags, '-o', program], {
    stdio: 'inherit',
  });
  if (status !== 0) throw new Error(`${program} cannot be linked to ${libraryDirectory}`);
  return program;
}
