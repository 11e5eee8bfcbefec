import { CommanderError } from 'commander';
import { isStoreError, messageOf } from '../base/errors.ts';
import type { StoreStats } from '../blocks/kv-store.ts';
import { configFromEnvironment } from '../config/environment.ts';
import { doorsFromEnvironment } from '../config/door-settings.ts';
import { ClientAccounts } from '../daemon/client-accounts.ts';
import { countedMemory } from '../daemon/counted-memory.ts';
import { DaemonCounters } from '../daemon/daemon-counters.ts';
import type { DaemonService } from '../daemon/daemon-service.ts';
import { Daemon } from '../daemon/daemon.ts';
import { CallMeter } from '../daemon/call-meter.ts';
import { MeteredStore } from '../daemon/metered-store.ts';
import { renderDaemonMetrics } from '../daemon/metrics-daemon.ts';
import { ReloadedFiles } from '../daemon/reloaded-files.ts';
import { openSecurity } from '../daemon/security.ts';
import { RequestMeter, TimedObjectStore } from '../daemon/timed-object-store.ts';
import type { Transport } from '../daemon/transport.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import { openServedStore } from '../open-store.ts';
import { withNative } from '../platform/native.ts';
import { checksumsFor } from '../platform/checksums.ts';
import { wireDoorOf } from '../wire/wire-link.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import type { Platform } from '../platform/platform.ts';
import { transportsOf } from './daemon-doors.ts';
import { DaemonEvents } from './daemon-events.ts';
import { DaemonMemory } from './daemon-memory.ts';
import { parseDaemonFlags } from './daemon-flags.ts';
import type { DaemonFlags } from './daemon-flags.ts';
import { listenForSignals } from './daemon-signals.ts';
import type { Signals } from './daemon-signals.ts';
import { packageVersion } from './package-version.ts';
import { pricesOf } from './prices.ts';
import { renderProcessMetrics } from './process-metrics.ts';
import { notifyServiceManager } from './service-manager.ts';
import type { ServiceState } from '../platform/service-manager.ts';
import { readSettingsFile } from './settings-file.ts';
import type { Output, Terminal } from './terminal.ts';

const exitCodes = { stopped: 0, failed: 1, misused: 2, taken: 3 } as const;

/** Runs the daemon until a signal stops it. Resolves to the exit code and never rejects. */
export async function runDaemon(args: readonly string[]): Promise<number> {
  const terminal = daemonTerminal();
  const real = nodePlatform();
  const events = new DaemonEvents((line) => terminal.results.write(line), real.clock);
  const signals = listenForSignals(exitCodes.failed);
  try {
    const flags = parseDaemonFlags(args, terminal);
    if (flags.tpc === true) events.tell('settings', { line: '--tpc has no effect here' });
    const settings = flags.config === undefined ? {} : await readSettingsFile(real, flags.config);
    // What is set in the environment wins over the file, and flags win over both.
    const environment = { ...settings, ...withoutEmpty(real), ...flags.set };
    const platform = { ...real, environment };
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
  const reloaded = new ReloadedFiles(platform, events);
  const checksums = checksumsFor(host, config.native);
  try {
    const security = await openSecurity(doors, platform.files, reloaded, events);
    const version = await packageVersion(platform.files);
    const agent = `wombatkv ${version}`;
    const { objectStore, cacheDirectory } = config;
    const counters = new DaemonCounters();
    const intake = countedMemory(platform.memory, counters);
    const accounts = new ClientAccounts(intake);
    const wire = wireDoorOf(doors.wireCompression, config.native);
    const meter = new CallMeter(clock);
    const requests = new RequestMeter(clock);
    const moreMetrics = (stats: StoreStats): string => {
      const prices = pricesOf(objectStore, flags);
      const certificateExpiresAtMs = security.identity?.expiresAtMs;
      const facts = { version, counters, accounts, prices, certificateExpiresAtMs, wire };
      const ofDaemon = renderDaemonMetrics(facts, stats) + renderProcessMetrics(clock.wallMs());
      return meter.render() + requests.render() + ofDaemon;
    };
    const parts = { flags, doors, platform, security, events, moreMetrics };
    const transports = await transportsOf(parts);
    events.tell('starting', { agent, pid: host.processId, objectStore, cacheDirectory });
    const native = withNative(platform, config.native);
    const memory = await DaemonMemory.prepare(native, security.access.isOpen, events);
    const { directory: sharedDirectory } = memory;
    const wrapObjects = (objects: ObjectStore): ObjectStore =>
      new TimedObjectStore(objects, requests);
    const life = { drainMs: doors.drainMs, hasProcess: true };
    const options = { logger: events, ...life, wrapObjects, sharedDirectory };
    try {
      const store = new MeteredStore(await openServedStore(config, platform, options), meter);
      const service = {
        ...{ store, clock, sockets: nodeSockets, logger: events, agent },
        ...{ accounts, counters, checksums, wire, memory: intake, putDurable: config.putDurable },
      };
      const daemon = await startOrClose(service, transports, doors.drainMs);
      signals.onReload(() => void reloaded.reload());
      await memory.announce(daemon.addresses);
      const tellManager = (state: ServiceState): Promise<void> =>
        notifyServiceManager(platform, config.native, state, events);
      await serve(daemon, { events, signals, tellManager });
    } finally {
      await memory.end();
    }
  } finally {
    reloaded.stop();
    await checksums.close();
  }
}

/** Says that the daemon serves, until a signal stops it. */
async function serve(
  daemon: Daemon,
  told: {
    readonly events: DaemonEvents;
    readonly signals: Signals;
    readonly tellManager: (state: ServiceState) => Promise<void>;
  },
): Promise<void> {
  const { events, signals, tellManager } = told;
  events.tell('ready', { addresses: daemon.addresses });
  await tellManager('READY=1');
  const signal = await signals.first;
  events.tell('draining', { signal });
  const stopping = tellManager('STOPPING=1');
  await daemon.stop();
  await stopping;
}

/** The store is closed where the doors cannot be opened. */
async function startOrClose(
  service: DaemonService,
  transports: readonly Transport[],
  drainMs: number,
): Promise<Daemon> {
  try {
    return await Daemon.start(service, transports, drainMs);
  } catch (error) {
    await service.store.close();
    throw error;
  }
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
