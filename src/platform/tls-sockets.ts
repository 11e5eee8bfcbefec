import { StoreError } from '../base/errors.ts';
import { NodeConnection } from './node-connection.ts';
import { addressText, nodeSockets } from './node-sockets.ts';
import { connectTls, listenTls } from './node-tls.ts';
import type { Sockets } from './sockets.ts';
import { attachCopying } from './tcp-node-sockets.ts';
import type { TcpSockets } from './tcp-sockets.ts';
import type { TlsIdentity } from './tls-identity.ts';

/** Connections that wait to be taken, in the system. */
const backlog = 511;

/** What a listener needs beside its address. */
export interface TlsServing {
  readonly identity: TlsIdentity;
  /** What peers that do not speak TLS are sent. */
  readonly plainAnswer: Uint8Array;
}

/** How a client judges whom it talks to: certificates that are trusted, PEM, or those of Node. */
export interface TlsTrust {
  readonly authority: Uint8Array | undefined;
}

/**
 * Streams over TLS at the addresses of TCP. Bytes are copied once more than over plain sockets: what
 * was decrypted lies in memory of Node's.
 */
export function tlsSockets(parts: Partial<TlsServing & TlsTrust>): Sockets {
  return {
    resolve: (host) => nodeSockets.resolve(host),
    async connect(address, timeoutMs, receiverOf) {
      if (address.kind !== 'tcp') return nodeSockets.connect(address, timeoutMs, receiverOf);
      const { host, port } = address;
      const { authority } = parts;
      const options = { host, port, timeoutMs, authority, allowHalfOpen: false };
      return NodeConnection.copying(await connectTls(options), addressText(address), receiverOf);
    },
    async listen(address, receiverOf) {
      if (address.kind !== 'tcp') return nodeSockets.listen(address, receiverOf);
      const { host, port } = address;
      const serving = servingOf(parts);
      const options = { host, port, backlog, ...serving, allowHalfOpen: false };
      const listener = await listenTls(options, (socket) => {
        const { remoteAddress = '', remotePort = 0 } = socket;
        const peer = addressText({ kind: 'tcp', host: remoteAddress, port: remotePort });
        NodeConnection.copying(socket, peer, receiverOf);
      });
      return {
        address: { kind: 'tcp', host, port: listener.address.port },
        close: () => Promise.resolve(listener.close()),
      };
    },
  };
}

/** The same for HTTP. */
export function tlsTcpSockets(parts: Partial<TlsServing & TlsTrust>): TcpSockets {
  return {
    async connect(options, receiver) {
      const { authority } = parts;
      const socket = await connectTls({ ...options, authority, allowHalfOpen: true });
      return attachCopying(socket, `${options.host}:${options.port}`, () => receiver);
    },
    async listen(options, accept) {
      const { host, port } = options;
      const serving = servingOf(parts);
      const tls = { ...options, ...serving, allowHalfOpen: true };
      const listener = await listenTls(tls, (socket) => {
        const peer = `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
        attachCopying(socket, peer, accept);
      }).catch((cause: unknown) => {
        const why = cause instanceof Error ? cause.message : String(cause);
        const message = `cannot listen on ${host}:${port}: ${why}`;
        throw new StoreError('UNAVAILABLE', message, { cause });
      });
      const { address, port: bound } = listener.address;
      return { host: address, port: bound, close: () => Promise.resolve(listener.close()) };
    },
  };
}

function servingOf({ identity, plainAnswer }: Partial<TlsServing>): TlsServing {
  if (identity !== undefined && plainAnswer !== undefined) return { identity, plainAnswer };
  throw new RangeError('listening for TLS needs a certificate');
}
