import { CommanderError } from 'commander';
import { isStoreError, messageOf } from '../base/errors.ts';
import { deferred } from '../base/deferred.ts';
import { configFromEnvironment } from '../config/environment.ts';
import {
  doorsFromEnvironment,
  parseHostAndPort,
  runtimeDirectoryOf,
} from '../config/door-settings.ts';
import type { DoorConfig } from '../config/door-settings.ts';
import { readToken } from '../client/connect.ts';
import { ClientAccounts } from '../daemon/client-accounts.ts';
import { DaemonCounters } from '../daemon/daemon-counters.ts';
import { Daemon } from '../daemon/daemon.ts';
import { FrameTransport } from '../daemon/frame-transport.ts';
import { HttpTransport } from '../daemon/http-transport.ts';
import { resolveListeners, tcpBinder } from '../daemon/tcp-binder.ts';
import type { Transport } from '../daemon/transport.ts';
import { pathBinder, prefixBinder } from '../daemon/unix-binder.ts';
import { openServedStore } from '../open-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import type { Platform } from '../platform/platform.ts';
import { tellServiceManager } from '../platform/service-manager.ts';
import type { ServiceState } from '../platform/service-manager.ts';
import { nodeTcpSockets } from '../platform/tcp-node-sockets.ts';
import { DaemonEvents } from './daemon-events.ts';
import { parseDaemonFlags } from './daemon-flags.ts';
import type { DaemonFlags } from './daemon-flags.ts';
import { packageVersion } from './package-version.ts';
import { readSettingsFile } from './settings-file.ts';
import type { Output, Terminal } from './terminal.ts';

const exitCodes = { stopped: 0, failed: 1, misused: 2, taken: 3 } as const;

/** Runs the daemon until a signal stops it. Resolves to the exit code and never rejects. */
export async function runDaemon(args: readonly string[]): Promise<number> {
  const terminal = daemonTerminal();
  const real = nodePlatform();
  const events = new DaemonEvents((line) => terminal.results.write(line), real.clock);
  const signals = listenForSignals();
  try {
    const flags = parseDaemonFlags(args, terminal);
    if (flags.tpc === true) events.tell('settings', { line: '--tpc has no effect here' });
    const settings = flags.config === undefined ? {} : await readSettingsFile(real, flags.config);
    // What is set in the environment wins over the file.
    const platform = { ...real, environment: { ...settings, ...withoutEmpty(real) } };
    await serveUntilStopped(flags, platform, events, signals);
    events.tell('stopped');
    return exitCodes.stopped;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.misused;
    terminal.notes.write(`wombatkv-daemon: ${messageOf(error).replaceAll(/\s*\n\s*/g, ' ')}\n`);
    events.tell('failed', { message: messageOf(error) });
    if (isStoreError(error, 'BUSY')) return exitCodes.taken;
    return isStoreError(error, 'INVALID') ? exitCodes.misused : exitCodes.failed;
  } finally {
    signals.forget();
  }
}

async function serveUntilStopped(
  flags: DaemonFlags,
  platform: Platform,
  events: DaemonEvents,
  signals: Signals,
): Promise<void> {
  const { clock, environment, host } = platform;
  const report = (line: string): void => events.tell('settings', { line });
  const config = configFromEnvironment(environment, host, { mode: 'strict', report });
  const doors = doorsFromEnvironment(environment, host.homeDirectory);
  const transports = await transportsOf(flags, doors, platform);
  const agent = `wombatkv ${await packageVersion(platform.files)}`;
  const { objectStore, cacheDirectory } = config;
  events.tell('starting', { agent, pid: host.processId, objectStore, cacheDirectory });
  const store = await openServedStore(config, platform, { logger: events, drainMs: doors.drainMs });
  const service = {
    ...{ store, clock, sockets: nodeSockets, logger: events, agent },
    ...{ accounts: new ClientAccounts(), counters: new DaemonCounters() },
  };
  let daemon: Daemon;
  try {
    daemon = await Daemon.start(service, transports, doors.drainMs);
  } catch (error) {
    await store.close();
    throw error;
  }
  const tellManager = (state: ServiceState): void => {
    const fault = tellServiceManager(platform, config.native, state);
    // Who waits for the word would take a daemon that works for one that hangs.
    if (fault !== undefined) events.error('service-manager', { message: fault });
  };
  events.tell('ready', { addresses: daemon.addresses });
  tellManager('READY=1');
  const signal = await signals.first;
  events.tell('draining', { signal });
  tellManager('STOPPING=1');
  await daemon.stop();
}

/** Every door that flags and settings name. */
async function transportsOf(
  flags: DaemonFlags,
  doors: DoorConfig,
  platform: Platform,
): Promise<readonly Transport[]> {
  const token = doors.tokenFile === undefined ? undefined : await readToken(doors.tokenFile);
  const tcp = [...flags.tcp, ...doors.tcpListeners.map(parseHostAndPort)];
  const http = [...flags.http, ...doors.httpListeners.map(parseHostAndPort)];
  const hasNone = flags.prefix.length + flags.unix.length + tcp.length + http.length === 0;
  const prefixes = hasNone ? ['default'] : flags.prefix;
  const directory = await runtimeDirectoryOf(doors, platform);
  const isOpenToAll = flags.insecure === true || token !== undefined;
  const tcpAddresses = await resolveListeners(nodeSockets, tcp, isOpenToAll);
  const httpAddresses = await resolveListeners(nodeSockets, http, isOpenToAll);
  const httpOptions = { sockets: nodeTcpSockets, addresses: httpAddresses, token };
  return [
    // The file of a Unix socket is this user's alone, which is what a token would prove.
    ...prefixes.map(
      (prefix) => new FrameTransport(prefixBinder(platform, directory, prefix), undefined),
    ),
    ...flags.unix.map((path) => new FrameTransport(pathBinder(platform, path), undefined)),
    ...tcpAddresses.map((address) => new FrameTransport(tcpBinder(address), token)),
    ...(httpAddresses.length === 0 ? [] : [new HttpTransport(httpOptions)]),
  ];
}

function withoutEmpty({ environment }: Platform): Platform['environment'] {
  return Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
}

/** Plain outputs. That nobody reads them any more is no reason to end. */
function daemonTerminal(): Terminal {
  const output = (stream: NodeJS.WriteStream): Output => {
    stream.on('error', () => undefined);
    const write = (text: string): void => void stream.write(text);
    return { isTerminal: false, columns: 100, write, style: (_style, text) => text };
  };
  return { results: output(process.stdout), notes: output(process.stderr) };
}

interface Signals {
  /** The first SIGTERM or SIGINT. After it another one ends the process at once. */
  readonly first: Promise<NodeJS.Signals>;
  forget(): void;
}

function listenForSignals(): Signals {
  const first = deferred<NodeJS.Signals>();
  let count = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    if (count > 1) process.exit(exitCodes.failed);
    first.resolve(signal);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return {
    first: first.promise,
    forget: () => {
      process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
    },
  };
}
