import { silentLogger } from '../../src/base/logger.ts';
import type { Logger } from '../../src/base/logger.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import type { StoreConfig } from '../../src/config/store-config.ts';
import { parseTokenFile } from '../../src/config/token-file.ts';
import { Access } from '../../src/daemon/access.ts';
import { ClientAccounts } from '../../src/daemon/client-accounts.ts';
import type { ClientLimits } from '../../src/daemon/client-accounts.ts';
import { countedMemory } from '../../src/daemon/counted-memory.ts';
import { DaemonCounters } from '../../src/daemon/daemon-counters.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import { FrameTransport } from '../../src/daemon/frame-transport.ts';
import type { HttpLimits } from '../../src/daemon/http-limits.ts';
import { HttpTransport } from '../../src/daemon/http-transport.ts';
import { tcpBinder } from '../../src/daemon/tcp-binder.ts';
import { pathBinder } from '../../src/daemon/unix-binder.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import type { PayloadMemory } from '../../src/platform/payload-memory.ts';
import type { TlsIdentity } from '../../src/platform/tls-identity.ts';
import type { WireDoor } from '../../src/wire/wire-link.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { patience } from './patience.ts';
import { rawTranscoder } from './raw-transcoder.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

export type DoorName = 'unix' | 'tcp' | 'tls' | 'http' | 'https';

export interface GuardedOptions {
  /** A file of tokens; none: nobody needs one. */
  readonly tokens?: string | undefined;
  /** With it there are doors for TLS too. */
  readonly identity?: TlsIdentity | undefined;
  readonly clientLimits?: Partial<ClientLimits> | undefined;
  readonly httpLimits?: Partial<HttpLimits> | undefined;
  readonly logger?: Logger | undefined;
  /** Compression over TCP and HTTP, which the daemon closes. */
  readonly wire?: WireDoor | undefined;
  /** Where the doors, and the store, take memory; the machine's when absent. */
  readonly memory?: PayloadMemory | undefined;
  /** Settings of the store, beside its bucket and its cache directory. */
  readonly config?: StoreConfig | undefined;
  /** By which the doors measure limits of time; the machine's when absent. */
  readonly clock?: Clock | undefined;
}

/** A daemon in this process with a door of every kind, around a store whose bucket is in memory. */
export interface GuardedDaemon {
  readonly store: ServedStore;
  readonly daemon: Daemon;
  readonly access: Access;
  readonly accounts: ClientAccounts;
  readonly counters: DaemonCounters;
  /** The addresses, by kind. */
  readonly urls: Readonly<Partial<Record<DoorName, string>>>;
  close(): Promise<void>;
}

export async function openGuardedDaemon(options: GuardedOptions = {}): Promise<GuardedDaemon> {
  const { tokens, identity, clientLimits, httpLimits, logger = silentLogger, wire } = options;
  const directory = await makeTemporaryDirectory('guard');
  const machine = nodePlatform();
  const { clock = machine.clock, memory = machine.memory } = options;
  const platform = { ...machine, memory };
  const cacheDirectory = `${directory.path}/cache`;
  const config = { ...patience, ...options.config, objectStore: 'memory:', cacheDirectory };
  const store = await assembleStore({
    ...{ platform, logger, objects: new MemoryObjectStore(platform.clock) },
    ...{ transcoder: rawTranscoder, settings: resolveStoreConfig(config, platform.host) },
  });
  const access = new Access(tokens === undefined ? undefined : parseTokenFile(tokens));
  const counters = new DaemonCounters();
  const counted = countedMemory(memory, counters);
  const accounts = new ClientAccounts(counted, clientLimits);
  const service = {
    ...{ store, clock, sockets: nodeSockets, logger, agent: 'wombatkv test' },
    ...{ accounts, counters, wire, memory: counted },
  };
  const free = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  const http = { addresses: [free], access, limits: httpLimits };
  const secure =
    identity === undefined
      ? []
      : [
          new FrameTransport(tcpBinder(free, identity), access),
          new HttpTransport({ ...http, identity }),
        ];
  const transports = [
    new FrameTransport(
      pathBinder(platform, `${directory.path}/d.sock`),
      access,
      wire !== undefined,
    ),
    new FrameTransport(tcpBinder(free), access),
    new HttpTransport(http),
    ...secure,
  ];
  const daemon = await Daemon.start(service, transports, 2000);
  const byScheme = daemon.addresses.map(
    ({ url }) => [url.slice(0, url.indexOf(':')), url] as const,
  );
  return {
    ...{ store, daemon, access, accounts, counters },
    urls: Object.fromEntries(byScheme),
    async close() {
      await daemon.stop();
      await directory.remove();
    },
  };
}

/** The address of that kind. */
export function urlOf({ urls }: GuardedDaemon, door: DoorName): string {
  const url = urls[door];
  if (url === undefined) throw new RangeError(`no door of kind ${door}`);
  return url;
}
