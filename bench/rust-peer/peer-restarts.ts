import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';
import type { Samples } from '../one-host/samples.ts';
import { homeSettings } from './peer-places.ts';
import type { PeerClients, Settings, Side } from './peer-places.ts';
import { batchBlockBytes, batchBlocks } from './peer-rounds.ts';
import type { Mode } from './peer-rounds.ts';
import { RustDaemon } from './rust-daemon.ts';

/** Sides whose restarts differ: what is durable is the same for ours. */
export type Restarted = Exclude<Side, 'durable'>;
export const restarted: readonly Restarted[] = ['rust', 'own'];

/** A store that a client has started goes on for a while when the client has ended. */
export const restMs = 1000;

/** Daemons of either kind, and how a client comes to each. */
export interface Daemon {
  readonly settings: Readonly<Record<Exclude<Mode, 'embedded'>, Settings>>;
  stop(): Promise<unknown>;
}

/** What a fresh process of an engine does: opens its store, looks the blocks up, gets and compares them. */
export interface Restart {
  readonly side: Restarted;
  readonly settings: Settings;
  readonly seed: number;
  /** The start of the names of the samples: of opening, lookup, get, and blocks found. */
  readonly name: string;
}

export async function restart(
  clients: PeerClients,
  { side, settings, seed, name }: Restart,
  samples: Samples,
): Promise<void> {
  const client = clients.start(side, settings);
  try {
    await client.order(`fill ${batchBlocks} ${batchBlockBytes}`);
    await client.order(`name ${seed}`);
    const [open] = await client.order('open');
    const [lookup, found] = await client.order('found');
    const [get] = await client.order('verify');
    samples.keep(`${name} get`, get);
    samples.keep(`${name} whole`, open + lookup + get);
    samples.keep(`${name} found`, found);
  } finally {
    await client.stop();
    await sleep(restMs);
  }
}

/** The same in an empty home, which is removed. */
export async function restartWiped(
  clients: PeerClients,
  { settings, ...parts }: Restart,
  place: { readonly directory: string; readonly samples: Samples },
): Promise<void> {
  const home = join(place.directory, 'wiped');
  const all = { ...settings, ...homeSettings(home) };
  await restart(clients, { ...parts, settings: all }, place.samples);
  rmSync(home, { recursive: true, force: true });
}

/** Our daemon with a door of each kind. */
export async function startOwnDaemon(environment: Settings): Promise<Daemon> {
  const words = ['--prefix', 'peer', '--tcp', '127.0.0.1:0', '--http', '127.0.0.1:0'];
  const daemon = new DaemonProcess(words, environment);
  const urls = await daemon.ready();
  const addressOf = (scheme: string): string => {
    const url = urls.find((one) => one.startsWith(`${scheme}:`)) ?? '';
    return url.replace(/^\w+:\/\/|\/$/g, '');
  };
  return {
    settings: {
      shm: { WMBT_KV_REMOTE_PREFIX: 'peer' },
      tcp: { WMBT_KV_TCP_ADDR: addressOf('tcp') },
      http: { WMBT_KV_HTTP_ADDR: addressOf('http') },
    },
    stop: () => daemon.stop(),
  };
}

/** A daemon of the side in that home. */
export function startDaemon(
  side: Restarted,
  { program, notes }: { readonly program: string; readonly notes: number },
  environment: Settings,
): Promise<Daemon> {
  return side === 'rust'
    ? RustDaemon.start(program, environment, notes)
    : startOwnDaemon(environment);
}
