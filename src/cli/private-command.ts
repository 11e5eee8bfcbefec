import { assertDefined } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { isStoreError, messageOf } from '../base/errors.ts';
import type { ServedStore } from '../blocks/served-store.ts';
import { configFromEnvironment } from '../config/environment.ts';
import { doorsFromEnvironment, runtimeDirectoryOf } from '../config/door-settings.ts';
import type { DoorConfig } from '../config/door-settings.ts';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import { ClientAccounts } from '../daemon/client-accounts.ts';
import { countedMemory } from '../daemon/counted-memory.ts';
import { DaemonCounters } from '../daemon/daemon-counters.ts';
import { Daemon } from '../daemon/daemon.ts';
import { FrameTransport } from '../daemon/frame-transport.ts';
import { privateBinder } from '../daemon/private-binder.ts';
import { RelayedStore } from '../daemon/relayed-store.ts';
import { Succession } from '../daemon/succession.ts';
import { credentialsOf, openServedStore } from '../open-store.ts';
import { checksumsFor } from '../platform/checksums.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import { nodeVisits } from '../platform/node-visits.ts';
import { OwningProcess } from '../platform/owning-process.ts';
import type { Platform } from '../platform/platform.ts';
import { processorMs } from '../platform/process-memory.ts';
import { openSharedTier, sharedMemoryRefused } from '../cache/shared-tier.ts';
import { DaemonEvents } from './daemon-events.ts';
import { DaemonMemory } from './daemon-memory.ts';
import { listenForSignals } from './daemon-signals.ts';
import { firstRest } from './first-rest.ts';
import { packageVersion } from './package-version.ts';

/** Where the C library puts the socket between it and this process (capi/src/library/spawn.h). */
const ownerDescriptor = 3;

const exitCodes = { stopped: 0, failed: 1, misused: 2 } as const;

/** Beyond the time for calls and that for uploads: files are closed in much less. */
const endMs = 10_000;

/**
 * Runs the store of one process, which has started this one and owns it: an engine that uses the C
 * library without a daemon. With the address of a daemon elsewhere this process is its client, for an
 * engine that wants TLS or a near-cache, which the library has not. It says `ready` and where its socket is, or `failed` and why, and ends
 * when its owner does. Resolves to the exit code and never rejects.
 */
export async function runPrivateStore(daemonUrl?: string): Promise<number> {
  const platform = nodePlatform();
  const events = new DaemonEvents((line) => process.stdout.write(line), platform.clock);
  process.stdout.on('error', () => undefined);
  let owner: OwningProcess | undefined;
  try {
    owner = OwningProcess.inherited(ownerDescriptor);
    await serveOwner(owner, platform, events, daemonUrl);
    return exitCodes.stopped;
  } catch (error) {
    const message = messageOf(error).replaceAll(/\s*\n\s*/g, ' ');
    events.tell('failed', { message });
    if (owner === undefined) {
      process.stderr.write(`wombatkv: this program is started by libwombatkv: ${message}\n`);
      return exitCodes.misused;
    }
    const code = isStoreError(error)
      ? error.code.toLowerCase().replaceAll('_', ' ')
      : 'unavailable';
    owner.tell(`failed ${code}: ${message}`);
    owner.leave();
    return exitCodes.failed;
  }
}

/** What the process is about, from its start to its end. */
interface PrivateParts {
  readonly owner: OwningProcess;
  /** With native code, where there is some. */
  readonly platform: Platform;
  readonly events: DaemonEvents;
  readonly config: ResolvedStoreConfig;
  readonly doors: DoorConfig;
  /** Undefined: the store is this process's own. */
  readonly daemonUrl: string | undefined;
  readonly memory: DaemonMemory;
  readonly succession: Succession | undefined;
  /** Settles when the process is to end. */
  readonly end: Promise<unknown>;
  /** Ends the time for calls and uploads. */
  readonly hurry: AbortController;
  /** Resolved when the owner knows where the store is. */
  readonly isReady: Deferred<void>;
}

async function serveOwner(
  owner: OwningProcess,
  plain: Platform,
  events: DaemonEvents,
  daemonUrl: string | undefined,
): Promise<void> {
  const { clock, environment, host } = plain;
  const report = (line: string): void => {
    events.tell('settings', { line });
    owner.tell(`note ${line}`);
  };
  const config = configFromEnvironment(environment, host, { mode: 'library', report });
  const doors = doorsFromEnvironment(environment, host.homeDirectory);
  const platform = withNative(plain, config.native);
  const signals = listenForSignals(exitCodes.failed);
  const end = Promise.race([owner.gone, signals.first]);
  // Whatever it hangs in, a process without an owner ends.
  void end.then(() => clock.schedule(2 * doors.drainMs + endMs, () => process.exit(1)));
  const isOwn = daemonUrl === undefined;
  const succession = isOwn ? successionOf(config, platform) : undefined;
  await succession?.ask().catch((error: unknown) => {
    // The new store has another place then, and finds what is uploaded.
    events.error('processes that drain are not asked', { message: messageOf(error) });
  });
  // Who has no native code knows; a file system in memory that is too small, as in containers, nobody looks at.
  if (platform.sharedMemory !== undefined) {
    events.onTell = (event, { why }) => {
      if (event === sharedMemoryRefused) owner.tell(`note wombatkv: ${event}: ${String(why)}`);
    };
  }
  const mayShare = isOwn || doors.nearCacheBytes > 0;
  const memory = await DaemonMemory.prepare(platform, mayShare, events);
  const hurry = new AbortController();
  try {
    const parts = { owner, platform, events, config, doors, memory, succession, end, hurry };
    await serve({ ...parts, daemonUrl, isReady: deferred<void>() });
  } finally {
    await memory.end();
    signals.forget();
  }
}

async function serve(parts: PrivateParts): Promise<void> {
  const { platform, events, config, doors } = parts;
  const { clock } = platform;
  const checksums = checksumsFor(platform.host, config.native);
  const store = await openStoreOf(parts);
  try {
    const counters = new DaemonCounters();
    const memory = countedMemory(platform.memory, counters);
    const service = {
      ...{ store, clock, sockets: nodeSockets, logger: events, checksums },
      ...{ accounts: new ClientAccounts(memory), counters, memory },
      agent: `wombatkv ${await packageVersion(platform.files)}`,
      // A daemon elsewhere decides by its own settings.
      putDurable: parts.daemonUrl === undefined ? config.putDurable : undefined,
    };
    const directory = await runtimeDirectoryOf(doors, platform);
    const door = new FrameTransport(privateBinder(platform, directory), undefined, true);
    const daemon = await Daemon.start(service, [door], doors.drainMs);
    await serveUntilGone(daemon, parts);
  } finally {
    // After a daemon that stopped there is nothing left to do.
    await store.close();
    await checksums.close();
  }
}

function openStoreOf(parts: PrivateParts): Promise<ServedStore> {
  const { platform, events, config, doors, memory, hurry, isReady, daemonUrl } = parts;
  if (daemonUrl !== undefined) return openRelayed(daemonUrl, parts);
  const ready = isReady.promise;
  // What compiles code waits for the owner's first calls.
  const rest = ready.then(() => firstRest({ clock: platform.clock, processorMs }));
  return openServedStore(config, platform, {
    ...{ logger: events, drainMs: doors.drainMs, drainSignal: hurry.signal },
    ...{ sharedDirectory: memory.directory, hasProcess: true, begin: { ready, rest } },
  });
}

/**
 * That of a daemon elsewhere. What a client is made of is loaded for it alone. Its near-cache lies in
 * memory that the owner reads, where there is some, else in that of this process.
 */
async function openRelayed(url: string, parts: PrivateParts): Promise<ServedStore> {
  const { platform, config, doors, memory, events } = parts;
  const { connect, connectKeeping } = await import('../client/connect.ts');
  const { nearCacheBytes, wireCompression } = doors;
  const credentials = await credentialsOf(doors, platform);
  const options = { ...config, ...credentials, wireCompression };
  const directory = nearCacheBytes > 0 ? memory.directory : undefined;
  const shared =
    directory === undefined
      ? undefined
      : await openSharedTier(platform, directory, nearCacheBytes, events);
  if (shared === undefined) {
    return new RelayedStore(await connect(url, { ...options, nearCacheBytes }));
  }
  const { NearMemory } = await import('../client/near-memory.ts');
  const near = new NearMemory(shared, nearCacheBytes, platform.clock);
  try {
    return new RelayedStore(await connectKeeping(url, options, near));
  } catch (error) {
    await near.close();
    throw error;
  }
}

/** Tells the owner where the store is; stops the daemon when the owner has gone. */
async function serveUntilGone(
  daemon: Daemon,
  { owner, events, memory, succession, end, hurry, isReady }: PrivateParts,
): Promise<void> {
  let isDraining = false;
  try {
    await succession?.listen(() => {
      const mustEnd = isDraining || owner.hasGone;
      if (mustEnd) hurry.abort();
      return mustEnd;
    });
    await memory.announce(daemon.addresses);
    const { addresses } = daemon;
    const url = assertDefined(addresses[0], 'the socket of a private store').url;
    events.tell('ready', { addresses });
    owner.tell(`ready ${url.slice('unix:'.length)}`);
    isReady.resolve();
    await end;
  } finally {
    isDraining = true;
    events.tell('draining');
    // It may start another one at once, which asks this one to hurry.
    owner.leave();
    await daemon.stop(hurry.signal);
    await succession?.end();
  }
  events.tell('stopped');
}

/** Without a cache directory there is no place to hand over. */
function successionOf(config: ResolvedStoreConfig, platform: Platform): Succession | undefined {
  const { cacheDirectory, objectStore, keyPrefix } = config;
  if (cacheDirectory === false || objectStore.startsWith('memory:')) return undefined;
  const identity = { url: objectStore, keyPrefix };
  return new Succession({ platform, visits: nodeVisits, cacheDirectory, identity });
}
