import { HttpClientStore } from '../../src/client/http-client-store.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeTcpSockets } from '../../src/platform/tcp-node-sockets.ts';
import type { KvStoreHarness, World, WorldStoreOptions } from '../conformance/kv-store-harness.ts';

/** What a server and a client of HTTP need of the machine. */
export const httpPlatform = { ...nodePlatform(), sockets: nodeTcpSockets };

/** A server of the store on a free port of this machine, and a client of it. */
export async function serveOverHttp(
  store: KvStore,
  options: Pick<WorldStoreOptions, 'namespace'> = {},
): Promise<{ readonly server: HttpServer; readonly client: HttpClientStore }> {
  const server = new HttpServer({ store, platform: httpPlatform });
  const { host, port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const { namespace } = options;
  return { server, client: new HttpClientStore({ platform: httpPlatform, host, port, namespace }) };
}

/** The worlds of another harness, whose stores are reached over HTTP. */
export function httpHarness(inner: KvStoreHarness): KvStoreHarness {
  return { ...inner, createWorld: async () => new HttpWorld(await inner.createWorld()) };
}

interface Served {
  readonly store: KvStore;
  readonly server: HttpServer;
  readonly client: HttpClientStore;
}

class HttpWorld implements World {
  readonly bucket: World['bucket'];
  readonly faults: World['faults'];
  readonly #inner: World;
  readonly #served = new Map<KvStore, Served>();

  constructor(inner: World) {
    this.#inner = inner;
    this.bucket = inner.bucket;
    this.faults = inner.faults;
  }

  async open(host: string, options?: WorldStoreOptions): Promise<KvStore> {
    const store = await this.#inner.open(host, options);
    const { server, client } = await serveOverHttp(store, options);
    const close = async (): Promise<void> => {
      await client.close();
      await server.close();
      await store.close();
    };
    const outer = closingWith(client, close);
    this.#served.set(outer, { store, server, client });
    return outer;
  }

  async crash(store: KvStore): Promise<void> {
    const served = this.#served.get(store);
    if (served === undefined) return;
    this.#served.delete(store);
    await this.#inner.crash(served.store);
    await served.server.close();
    await served.client.close();
  }

  wipe(host: string): Promise<void> {
    return this.#inner.wipe(host);
  }

  async dispose(): Promise<void> {
    for (const { server, client } of this.#served.values()) {
      await client.close();
      await server.close();
    }
    await this.#inner.dispose();
  }
}

/** The client, which ends its server and the store behind it when it is closed, once. */
function closingWith(client: HttpClientStore, close: () => Promise<void>): KvStore {
  let closing: Promise<void> | undefined;
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
