import { HttpClientStore } from '../../src/client/http-client-store.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { HttpServer } from '../../src/daemon/http-server.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { nodeSockets } from '../../src/platform/node-sockets.ts';
import type { WorldStoreOptions } from '../conformance/kv-store-harness.ts';

/** What a server and a client of HTTP need of the machine. */
export const httpPlatform = { ...nodePlatform(), sockets: nodeSockets };

/** A server of the store on a free port of this machine, and a client of it. */
export async function serveOverHttp(
  store: KvStore,
  options: Pick<WorldStoreOptions, 'namespace'> = {},
): Promise<{ readonly server: HttpServer; readonly client: HttpClientStore }> {
  // What tests open are real stores.
  const server = new HttpServer({ store: store as ServedStore, platform: httpPlatform });
  const { host, port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const { namespace } = options;
  return { server, client: new HttpClientStore({ platform: httpPlatform, host, port, namespace }) };
}
