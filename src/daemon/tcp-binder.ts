import { concatBytes } from '../base/bytes.ts';
import { messageOf, StoreError } from '../base/errors.ts';
import { encodeFrame } from '../protocol/frame.ts';
import { encodeFailure } from '../protocol/session-messages.ts';
import type { SocketAddress, Sockets } from '../platform/sockets.ts';
import type { TlsIdentity } from '../platform/tls-identity.ts';
import { tlsSockets } from '../platform/tls-sockets.ts';
import { bindingFailure } from './frame-transport.ts';
import type { SocketBinder } from './frame-transport.ts';

/** A TCP port on one numeric address. */
export type TcpAddress = SocketAddress & { readonly kind: 'tcp' };

/** What a client is told that does not speak TLS where it should: it does not hear anything else. */
const plainAnswer = concatBytes(
  encodeFrame(
    'error',
    0,
    encodeFailure({ code: 'INVALID', message: 'this port speaks TLS: connect to it with tls://' }),
  ),
);

/** Takes a TCP port on one numeric address; with an identity it speaks TLS. */
export function tcpBinder(address: TcpAddress, identity?: TlsIdentity): SocketBinder {
  const scheme = identity === undefined ? 'tcp' : 'tls';
  return async (service, receiverOf) => {
    const sockets =
      identity === undefined ? service.sockets : tlsSockets({ identity, plainAnswer });
    const { host, port } = address;
    const shown = shownHost(host);
    const listener = await sockets.listen(address, receiverOf).catch((error: unknown) => {
      throw bindingFailure(`${scheme}://${shown}:${port}`, error);
    });
    const bound = listener.address.kind === 'tcp' ? listener.address.port : port;
    return { listener, address: { transport: 'tcp', url: `${scheme}://${shown}:${bound}` } };
  };
}

/** The host as it stands in a URL. */
export function shownHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/**
 * Every numeric address of every host that is named, for TCP and for HTTP.
 *
 * @throws StoreError `INVALID` for a name that is none, and for an address beyond this host unless
 * `isOpenToAll`: whoever reaches it could read and write everything.
 */
export async function resolveListeners(
  sockets: Sockets,
  addresses: readonly { readonly host: string; readonly port: number }[],
  isOpenToAll: boolean,
): Promise<readonly TcpAddress[]> {
  const found: TcpAddress[] = [];
  for (const { host, port } of addresses) {
    for (const numeric of await resolveHost(sockets, host)) {
      if (!isOpenToAll && !isLoopback(numeric)) {
        throw new StoreError(
          'INVALID',
          `${host}:${port} can be reached from other hosts, which needs a token ` +
            '(WMBT_KV_TOKEN_FILE) or --insecure',
        );
      }
      found.push({ kind: 'tcp', host: numeric, port });
    }
  }
  return found;
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
