import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { connect } from '../../src/client/connect.ts';
import type { ConnectOptions } from '../../src/client/connect.ts';
import { Access } from '../../src/daemon/access.ts';
import { ClientAccounts } from '../../src/daemon/client-accounts.ts';
import { DaemonCounters } from '../../src/daemon/daemon-counters.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import type { DaemonService } from '../../src/daemon/daemon-service.ts';
import { FrameTransport } from '../../src/daemon/frame-transport.ts';
import { HttpTransport } from '../../src/daemon/http-transport.ts';
import { tcpBinder } from '../../src/daemon/tcp-binder.ts';
import type { Transport } from '../../src/daemon/transport.ts';
import { pathBinder } from '../../src/daemon/unix-binder.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import { processMemory } from '../../src/platform/payload-memory.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { WireCodec } from '../../src/wire/wire-codec.ts';
import { WireDoor } from '../../src/wire/wire-link.ts';
import type { KvStoreHarness, World, WorldStoreOptions } from '../conformance/kv-store-harness.ts';
import { inProcessHarness } from './in-process-world.ts';
import type { BucketOpener } from './in-process-world.ts';
import { patience } from './patience.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

/**
 * The doors of {@link startDaemon}. `shm` is a Unix socket of a daemon that shares its memory with its
 * clients.
 */
export type DoorKind = 'shm' | 'unix' | 'tcp' | 'http';

/** A budget whose index is small: a world is made for every case. */
const sharedBytes = 64 * 1024 * 1024;

/** A daemon in this process, over real sockets. */
export async function startDaemon(
  store: ServedStore,
  door: Transport,
  clock: Clock = nodePlatform().clock,
  more: Partial<Pick<DaemonService, 'wire' | 'counters'>> = {},
): Promise<Daemon> {
  const service = {
    ...{ store, clock, sockets: nodeSockets, logger: silentLogger, agent: 'wombatkv test' },
    ...{ accounts: new ClientAccounts(processMemory), counters: new DaemonCounters() },
    ...{ memory: processMemory, putDurable: false },
    ...more,
  };
  return Daemon.start(service, [door], 10_000);
}

/** Everybody may do everything. */
const openAccess = new Access(undefined);

/** Compression as a daemon has it that compresses whatever a client lets it. */
export function compressingDoor(): WireDoor {
  return new WireDoor(new WireCodec('auto'), 'on');
}

/** A door at a fresh Unix socket in the directory, or at a free port. */
export function doorOf(kind: DoorKind, directory: string, name: string): Transport {
  const address = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
  if (kind === 'http') return new HttpTransport({ addresses: [address], access: openAccess });
  const path = `${directory}/${name}.sock`;
  const binder = kind === 'tcp' ? tcpBinder(address) : pathBinder(nodePlatform(), path);
  return new FrameTransport(binder, openAccess);
}

/**
 * Worlds in which every store stands behind a daemon and is used through a client: the daemon is in
 * this process, its sockets are real. A crash takes the daemon's platform away and its sockets. The
 * options are those of every client.
 */
export function daemonHarness(
  openBucket: BucketOpener,
  kind: DoorKind,
  options: ConnectOptions = {},
): KvStoreHarness & { close(): Promise<void> } {
  const open: WorldDoors['open'] = (directory, name) => doorOf(kind, directory, name);
  const isCompressing = options.wireCompression === 'on';
  const doors = { open, options, isShared: kind === 'shm', isCompressing };
  return doorHarness(openBucket, Promise.resolve(doors));
}

/** The same with doors of any make. */
export function doorHarness(
  openBucket: BucketOpener,
  doors: Promise<WorldDoors>,
): KvStoreHarness & { close(): Promise<void> } {
  const inner = inProcessHarness(openBucket);
  return {
    concurrency: inner.concurrency,
    // What is behind the door tries more of them.
    sequences: 8,
    createWorld: async () => {
      const directory = await makeTemporaryDirectory('daemon');
      return new DaemonWorld(await inner.createWorld(), directory, await doors);
    },
    close: () => inner.close(),
  };
}

/** How the stores of a world are served, and what clients say to come in. */
export interface WorldDoors {
  /** A fresh door; a socket has that name in the directory. */
  readonly open: (directory: string, name: string) => Transport;
  readonly options: ConnectOptions;
  /** True where daemons share their memory with clients. */
  readonly isShared?: boolean;
  /** True where daemons compress whatever a client lets them. */
  readonly isCompressing?: boolean;
}

interface ServedHost {
  readonly store: ServedStore;
  readonly daemon: Daemon;
  readonly client: KvStore;
}

class DaemonWorld implements World {
  readonly bucket: World['bucket'];
  readonly faults: World['faults'];
  readonly #inner: World;
  readonly #directory: TemporaryDirectory;
  readonly #doors: WorldDoors;
  readonly #hosts = new Map<KvStore, ServedHost>();
  #sockets = 0;

  constructor(inner: World, directory: TemporaryDirectory, doors: WorldDoors) {
    this.#inner = inner;
    this.#directory = directory;
    this.#doors = doors;
    this.bucket = inner.bucket;
    this.faults = inner.faults;
  }

  async open(host: string, options: WorldStoreOptions = {}): Promise<KvStore> {
    this.#sockets += 1;
    const name = `${this.#sockets}`;
    const { isShared = false } = this.#doors;
    const sharedDirectory = join(this.#directory.path, `memory-${name}`);
    const memory = isShared ? { sharedDirectory, memoryBytes: sharedBytes } : {};
    // The stores of the inner world are real ones.
    const store = (await this.#inner.open(host, { ...memory, ...options })) as ServedStore;
    const door = this.#doors.open(this.#directory.path, name);
    const wire = this.#doors.isCompressing === true ? compressingDoor() : undefined;
    const daemon = await startDaemon(store, door, undefined, { wire });
    const { url } = daemon.addresses[0];
    if (isShared) await writeFile(announcementOf(url.slice('unix:'.length)), sharedDirectory);
    const address = isShared ? url.replace('unix:', 'shm:') : url;
    const client = await connect(address, { ...patience, ...this.#doors.options, ...options });
    const served = { store, daemon, client };
    const handle = closingBoth(served);
    this.#hosts.set(handle, served);
    return handle;
  }

  async crash(handle: KvStore): Promise<void> {
    const served = this.#hosts.get(handle);
    if (served === undefined) return;
    this.#hosts.delete(handle);
    await this.#inner.crash(served.store);
    await served.client.close();
    // Its doors close; the store behind them does not answer any more.
    void served.daemon.abandon();
  }

  wipe(host: string): Promise<void> {
    return this.#inner.wipe(host);
  }

  async dispose(): Promise<void> {
    for (const handle of [...this.#hosts.keys()]) await this.crash(handle);
    await this.#inner.dispose();
    await this.#directory.remove();
  }
}

/** The client, whose close() stops the daemon too: for the suite they are one store. */
function closingBoth({ client, daemon }: ServedHost): KvStore {
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    await client.close();
    await daemon.stop();
  };
  return {
    lookup: (keys, options) => client.lookup(keys, options),
    contains: (keys, options) => client.contains(keys, options),
    load: (keys, options) => client.load(keys, options),
    save: (blocks, options) => client.save(blocks, options),
    loadTail: (query, options) => client.loadTail(query, options),
    saveTail: (tail, options) => client.saveTail(tail, options),
    loadRawTail: (tip, options) => client.loadRawTail(tip, options),
    saveRawTail: (tip, payload, options) => client.saveRawTail(tip, payload, options),
    prefetch: (keys, options) => client.prefetch(keys, options),
    flush: (options) => client.flush(options),
    delete: (selection, options) => client.delete(selection, options),
    stats: (options) => client.stats(options),
    close: () => (closing ??= close()),
  };
}
