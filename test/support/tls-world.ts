import { silentLogger } from '../../src/base/logger.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { connect } from '../../src/client/connect.ts';
import { Access } from '../../src/daemon/access.ts';
import { ClientAccounts } from '../../src/daemon/client-accounts.ts';
import { DaemonCounters } from '../../src/daemon/daemon-counters.ts';
import { Daemon } from '../../src/daemon/daemon.ts';
import { FrameTransport } from '../../src/daemon/frame-transport.ts';
import { HttpTransport } from '../../src/daemon/http-transport.ts';
import { tcpBinder } from '../../src/daemon/tcp-binder.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import { TlsIdentity } from '../../src/platform/tls-identity.ts';
import type { KvStoreHarness, World, WorldStoreOptions } from '../conformance/kv-store-harness.ts';
import { CertificateMaker, pemOf } from './certificates.ts';
import { inProcessHarness } from './in-process-world.ts';
import type { BucketOpener } from './in-process-world.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';

/** What worlds with TLS share: a certificate for this host, and a file with its authority. */
export interface TlsParts {
  readonly identity: TlsIdentity;
  readonly caFile: string;
  remove(): Promise<void>;
}

export async function makeTlsParts(): Promise<TlsParts> {
  const directory = await makeTemporaryDirectory('tls-world');
  const maker = new CertificateMaker(directory.path);
  const authority = await maker.authority('ca');
  const signed = await maker.signed('daemon', authority, { names: 'IP:127.0.0.1' });
  return {
    identity: new TlsIdentity(await pemOf(signed)),
    caFile: authority.certFile,
    remove: () => directory.remove(),
  };
}

/** Worlds whose stores stand behind a daemon and are used over TLS, with a token. */
export function tlsHarness(
  openBucket: BucketOpener,
  door: 'tls' | 'https',
): KvStoreHarness & { close(): Promise<void> } {
  const inner = inProcessHarness(openBucket);
  const parts = makeTlsParts();
  return {
    concurrency: inner.concurrency,
    createWorld: async () => new TlsWorld(await inner.createWorld(), door, await parts),
    close: async () => {
      await inner.close();
      await (await parts).remove();
    },
  };
}

interface Served {
  readonly store: ServedStore;
  readonly daemon: Daemon;
  readonly client: KvStore;
}

const token = 'conformance-token';

class TlsWorld implements World {
  readonly bucket: World['bucket'];
  readonly faults: World['faults'];
  readonly #inner: World;
  readonly #door: 'tls' | 'https';
  readonly #parts: TlsParts;
  readonly #served = new Map<KvStore, Served>();

  constructor(inner: World, door: 'tls' | 'https', parts: TlsParts) {
    this.#inner = inner;
    this.#door = door;
    this.#parts = parts;
    this.bucket = inner.bucket;
    this.faults = inner.faults;
  }

  async open(host: string, options: WorldStoreOptions = {}): Promise<KvStore> {
    // The stores of the inner world are real ones.
    const store = (await this.#inner.open(host, options)) as ServedStore;
    const daemon = await this.#serve(store);
    const { caFile: tlsCaFile } = this.#parts;
    const client = await connect(daemon.addresses[0].url, { ...options, token, tlsCaFile });
    const served = { store, daemon, client };
    const handle = closingBoth(served);
    this.#served.set(handle, served);
    return handle;
  }

  async crash(handle: KvStore): Promise<void> {
    const served = this.#served.get(handle);
    if (served === undefined) return;
    this.#served.delete(handle);
    await this.#inner.crash(served.store);
    await served.client.close();
    // Its doors close; the store behind them does not answer any more.
    void served.daemon.abandon();
  }

  wipe(host: string): Promise<void> {
    return this.#inner.wipe(host);
  }

  async dispose(): Promise<void> {
    for (const handle of [...this.#served.keys()]) await this.crash(handle);
    await this.#inner.dispose();
  }

  #serve(store: ServedStore): Promise<Daemon> {
    const { identity } = this.#parts;
    const everything = new Set(['read', 'write', 'delete', 'admin'] as const);
    const access = new Access([{ token, name: 'all', verbs: everything, namespaces: 'all' }]);
    const free = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
    const service = {
      ...{ store, clock: nodePlatform().clock, sockets: nodeSockets, logger: silentLogger },
      ...{ accounts: new ClientAccounts(), counters: new DaemonCounters(), agent: 'test' },
    };
    const transport =
      this.#door === 'tls'
        ? new FrameTransport(tcpBinder(free, identity), access)
        : new HttpTransport({ addresses: [free], access, identity });
    return Daemon.start(service, [transport], 10_000);
  }
}

/** The client, whose close() stops the daemon too: for the suite they are one store. */
function closingBoth({ client, daemon }: Served): KvStore {
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
