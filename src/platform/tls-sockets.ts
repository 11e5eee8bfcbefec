import { rootCertificates } from 'node:tls';
import { NodeConnection } from './node-connection.ts';
import { addressText, nodeSockets } from './node-sockets.ts';
import { connectTls, listenTls } from './node-tls.ts';
import type { Sockets } from './sockets.ts';
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

/** Certificates, PEM, that are trusted besides those of Node. */
export function authorityBeside(certificates: string): Uint8Array {
  return Buffer.from([...rootCertificates, certificates].join('\n'));
}

/**
 * Streams over TLS at the addresses of TCP. Bytes are copied once more than over plain sockets: what
 * was decrypted lies in memory of Node's.
 */
export function tlsSockets(parts: Partial<TlsServing & TlsTrust>): Sockets {
  return {
    resolve: (host) => nodeSockets.resolve(host),
    async connect(address, options, receiverOf) {
      if (address.kind !== 'tcp') return nodeSockets.connect(address, options, receiverOf);
      const { host, port } = address;
      const { authority } = parts;
      const socket = await connectTls({ ...options, host, port, authority });
      return NodeConnection.copying(socket, addressText(address), receiverOf);
    },
    async listen(address, receiverOf) {
      if (address.kind !== 'tcp') return nodeSockets.listen(address, receiverOf);
      const { host, port } = address;
      const serving = servingOf(parts);
      const options = { host, port, backlog, ...serving };
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

function servingOf({ identity, plainAnswer }: Partial<TlsServing>): TlsServing {
  if (identity !== undefined && plainAnswer !== undefined) return { identity, plainAnswer };
  throw new RangeError('listening for TLS needs a certificate');
}
