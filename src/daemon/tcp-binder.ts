import { messageOf, StoreError } from '../base/errors.ts';
import type { SocketAddress, Sockets } from '../platform/sockets.ts';
import { bindingFailure } from './frame-transport.ts';
import type { SocketBinder } from './frame-transport.ts';

/** Takes a TCP port on one numeric address. */
export function tcpBinder(address: SocketAddress & { readonly kind: 'tcp' }): SocketBinder {
  return async ({ sockets }, receiverOf) => {
    const { host, port } = address;
    const shown = host.includes(':') ? `[${host}]` : host;
    const listener = await sockets.listen(address, receiverOf).catch((error: unknown) => {
      throw bindingFailure(`tcp://${shown}:${port}`, error);
    });
    const bound = listener.address.kind === 'tcp' ? listener.address.port : port;
    return { listener, address: { transport: 'tcp', url: `tcp://${shown}:${bound}` } };
  };
}

/**
 * A binder for every address of every host that is named.
 *
 * @throws StoreError `INVALID` for a name that is none, and for an address beyond this host unless
 * `isOpenToAll`: whoever reaches it could read and write everything.
 */
export async function openTcpBinders(
  sockets: Sockets,
  addresses: readonly { readonly host: string; readonly port: number }[],
  isOpenToAll: boolean,
): Promise<readonly SocketBinder[]> {
  const binders: SocketBinder[] = [];
  for (const { host, port } of addresses) {
    for (const numeric of await resolveHost(sockets, host)) {
      if (!isOpenToAll && !isLoopback(numeric)) {
        throw new StoreError(
          'INVALID',
          `${host}:${port} can be reached from other hosts, which needs a token ` +
            '(WMBT_KV_TOKEN_FILE) or --insecure',
        );
      }
      binders.push(tcpBinder({ kind: 'tcp', host: numeric, port }));
    }
  }
  return binders;
}

async function resolveHost(sockets: Sockets, host: string): Promise<readonly string[]> {
  try {
    return [...new Set(await sockets.resolve(host))];
  } catch (cause) {
    throw new StoreError('INVALID', `${host} is no host: ${messageOf(cause)}`, { cause });
  }
}

/** True for an address that only this host reaches. */
export function isLoopback(address: string): boolean {
  return (
    /^127\.\d+\.\d+\.\d+$/.test(address) || address === '::1' || /^::ffff:127\./i.test(address)
  );
}
