import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { installCommandOf, tryInstall } from '../../tools/debian.ts';
import { RedisPeer } from '../between-hosts/redis-peer.ts';
import { CClient } from './c-client.ts';

/**
 * A store that an engine could use instead, by clients of bench/one-host/peers.c or bench/python-peers/peers.py, each
 * with blocks of its own.
 */
export interface Peer {
  readonly name: PeerName;
  /** Whether a get shows where the bytes lie, and copies none. */
  readonly isLent: boolean;
  /** Forty blocks of 1 MiB, which are there. */
  readonly batch: CClient;
  /** One block of 4 KiB, and forty, for puts. */
  readonly one: CClient;
  readonly many: CClient;
  /** Four thousand blocks of 4 KiB, and forty of them, which are there. */
  readonly small: CClient;
  readonly few: CClient;
  /** As many keys as the index of WombatKV has. */
  readonly index: CClient;
}

export type PeerName =
  'Redis' | 'files' | 'LMDB' | 'LMCache' | 'Mooncake' | 'Mooncake by shared memory';

/** What was found of them here. */
export interface Peers {
  readonly list: readonly Peer[];
  /** Why there are none, with what to type; empty when there are. */
  readonly missing: string;
  readonly versions: Readonly<Record<string, string>>;
}

export interface PeerSizes {
  readonly known: number;
  readonly batchBlocks: number;
  readonly batchBlockBytes: number;
  readonly smallBlocks: number;
  readonly smallBytes: number;
}

type Stops = (() => Promise<unknown>)[];

const packages = ['redis-server', 'libhiredis-dev', 'liblmdb-dev'];
const memoryFiles = '/dev/shm';
/** Where less is free, a write to LMDB's map could end its process. */
const freeBytesMin = 3 * 1024 ** 3;

/** Starts the peers, after their Debian packages were installed if that needs no password. */
export async function startPeers(
  directory: string,
  sizes: PeerSizes,
  stops: Stops,
): Promise<Peers> {
  const program = buildWithPackages(directory);
  if (program === undefined) {
    return noPeers(`they are not installed. To have them: ${installCommandOf(packages)}`);
  }
  if (freeBytes(memoryFiles) < freeBytesMin) {
    return noPeers(`${memoryFiles} has less than ${freeBytesMin} bytes free`);
  }
  const place = mkdtempSync(join(memoryFiles, 'wombatkv-bench-'));
  const remove = (): void => rmSync(place, { recursive: true, force: true });
  // Whoever ends this process from outside ends what lies in memory too.
  process.once('exit', remove);
  stops.push(async () => {
    process.off('exit', remove);
    remove();
  });
  const server = await RedisPeer.start(directory);
  if (server === undefined) throw new Error('redis-server was there, and is gone');
  stops.push(() => server.stop());
  const placeOf = (name: string): string => {
    mkdirSync(join(place, name));
    return join(place, name);
  };
  const start = (name: PeerName, at: (of: string) => string): Promise<Peer> =>
    startPeer(name, (of) => startClient([program, name.toLowerCase(), at(of)], stops), sizes);
  const list = [
    await start('Redis', () => server.path),
    await start('files', (of) => placeOf(`files-${of}`)),
    await start('LMDB', (of) => placeOf(`lmdb-${of}`)),
  ];
  return { list, missing: '', versions: { redis: server.version } };
}

function noPeers(missing: string): Peers {
  return { list: [], missing, versions: {} };
}

function buildWithPackages(directory: string): string | undefined {
  const build = (): string | undefined =>
    spawnSync('redis-server', ['--version']).status === 0
      ? CClient.buildPeers(directory)
      : undefined;
  const program = build();
  if (program !== undefined) return program;
  tryInstall(packages);
  return build();
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path);
  return bavail * bsize;
}

function startClient(command: readonly [string, ...string[]], stops: Stops): CClient {
  const client = CClient.start(command, {});
  stops.push(() => client.stop());
  return client;
}

/** Clients of one peer; `clientOf` starts the one for what it names. */
export async function startPeer(
  name: PeerName,
  clientOf: (of: string) => CClient,
  sizes: PeerSizes,
): Promise<Peer> {
  const { known, batchBlocks, batchBlockBytes, smallBlocks, smallBytes } = sizes;
  const filled = async (of: string, blocks: number, bytes: number): Promise<CClient> => {
    const client = clientOf(of);
    await client.order(`fill ${blocks} ${bytes}`);
    return client;
  };
  const stored = async (of: string, blocks: number, bytes: number): Promise<CClient> => {
    const client = await filled(of, blocks, bytes);
    await client.order('put 1');
    await client.order('verify');
    return client;
  };
  const index = clientOf('index');
  await index.order(`index ${known}`);
  return {
    name,
    isLent: name === 'LMDB' || name === 'LMCache',
    index,
    batch: await stored('batch', batchBlocks, batchBlockBytes),
    one: await filled('one', 1, smallBytes),
    many: await filled('many', batchBlocks, smallBytes),
    small: await stored('small', smallBlocks, smallBytes),
    few: await stored('few', batchBlocks, smallBytes),
  };
}
