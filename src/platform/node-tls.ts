import { createServer as createPlainServer, isIP } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:tls';
import type { ConnectionOptions, TLSSocket } from 'node:tls';
import { messageOf, StoreError, systemErrorCode } from '../base/errors.ts';
import type { TlsIdentity, TlsPem } from './tls-identity.ts';

/** Time for a peer to come to terms about encryption. */
const handshakeMs = 5000;

/** Peers that may be at that at once; further ones are dropped. */
const handshakesMax = 256;

/** The first byte of what a TLS client sends. */
const handshakeByte = 0x16;

export interface TlsListenOptions {
  readonly host: string;
  readonly port: number;
  readonly backlog: number;
  readonly identity: TlsIdentity;
  /** Sent to a peer that does not speak TLS, in the words that it speaks; then it is closed. */
  readonly plainAnswer: Uint8Array;
}

/** A listener for TLS. Rejects with the system's error when the address cannot be bound. */
export async function listenTls(
  options: TlsListenOptions,
  accept: (socket: TLSSocket) => void,
): Promise<{ readonly address: AddressInfo; close(): void }> {
  const { identity, host, port, backlog } = options;
  const secure = createServer({
    ...contextOf(identity.pem),
    // Whoever takes a connection says whether it ends with its peer's side.
    ...{ handshakeTimeout: handshakeMs, allowHalfOpen: true },
  });
  const unfollow = identity.follow((pem) => secure.setSecureContext(contextOf(pem)));
  /** Peers that have said nothing yet or are being refused, and how many are at the handshake. */
  const door = new Set<Socket>();
  let handshakes = 0;
  secure.on('secureConnection', (socket: TLSSocket) => {
    handshakes -= 1;
    socket.setNoDelay(true);
    accept(socket);
  });
  // A peer that does not come to terms is dropped by Node, with the alert that says why.
  secure.on('tlsClientError', (_error, socket) => {
    handshakes -= 1;
    socket.destroy();
  });
  const server = createPlainServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    socket.on('error', () => undefined);
    if (door.size + handshakes >= handshakesMax) {
      socket.destroy();
      return;
    }
    door.add(socket);
    const timer = setTimeout(() => socket.destroy(), handshakeMs);
    socket.once('close', () => {
      clearTimeout(timer);
      door.delete(socket);
    });
    socket.once('data', (first: Buffer) => {
      clearTimeout(timer);
      if (first[0] !== handshakeByte) {
        refusePlain(socket, options.plainAnswer);
        return;
      }
      door.delete(socket);
      socket.pause();
      socket.unshift(first);
      handshakes += 1;
      secure.emit('connection', socket);
    });
  });
  await listening(server, { host, port, backlog });
  return {
    address: addressOf(server),
    close: () => {
      unfollow();
      for (const socket of door) socket.destroy();
      server.close();
    },
  };
}

/** What a client of TLS goes by. */
export interface TlsConnectOptions {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** Certificates that are trusted, PEM; those of Node when absent. */
  readonly authority: Uint8Array | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told when somebody listens at the address, before both have come to terms. */
  readonly onReached?: (() => void) | undefined;
}

/**
 * A connection whose other end has shown a certificate for that host by someone trusted. Rejects with
 * `UNAVAILABLE` and what is wrong, or with `ABORTED` when the signal fires.
 */
export function connectTls(options: TlsConnectOptions): Promise<TLSSocket> {
  const { host, port, timeoutMs, authority, signal, onReached } = options;
  return new Promise((resolve, reject) => {
    const trusted = authority === undefined ? {} : { ca: Buffer.from(authority) };
    // Half-open is an option of it that its types leave out.
    const asked: ConnectionOptions & { readonly allowHalfOpen: boolean } = {
      ...{ host, port, allowHalfOpen: true, ...trusted },
      // By the name a proxy in front chooses among certificates; an address is none.
      ...(isIP(host) === 0 ? { servername: host } : {}),
    };
    const socket = connect(asked);
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const fail = (error: StoreError): void => {
      settle();
      // What else goes wrong with it is nobody's business.
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const shown = shownAddress(options);
    const timer = setTimeout(() => {
      const message = `no connection to ${shown}: none within ${timeoutMs} ms`;
      fail(new StoreError('UNAVAILABLE', message));
    }, timeoutMs);
    const onAbort = (): void => {
      fail(new StoreError('ABORTED', `no connection to ${shown}: aborted`));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const onError = (error: Error): void => fail(connectFailure(shown, error));
    const onEnd = (): void => fail(new StoreError('UNAVAILABLE', `${shown} closed the connection`));
    if (onReached !== undefined) socket.once('connect', onReached);
    socket.once('error', onError);
    socket.once('close', onEnd);
    socket.once('secureConnect', () => {
      settle();
      socket.removeListener('error', onError);
      socket.removeListener('close', onEnd);
      socket.setNoDelay(true);
      resolve(socket);
    });
    if (signal?.aborted === true) onAbort();
  });
}

/** What the codes of certificates that are not believed mean to the one who has to mend it. */
const certificateFaults: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is by nobody who is trusted here',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is by nobody who is trusted here',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is by nobody who is trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is by nobody who is trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is by nobody who is trusted here',
  CERT_SIGNATURE_FAILURE: 'its certificate is by nobody who is trusted here',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
};

function connectFailure(shown: string, cause: Error): StoreError {
  const fault = certificateFaults[systemErrorCode(cause) ?? ''];
  const why = fault === undefined ? messageOf(cause) : `${fault} (${messageOf(cause).trim()})`;
  return new StoreError('UNAVAILABLE', `no connection to ${shown}: ${why}`, { cause });
}

function shownAddress({ host, port }: TlsConnectOptions): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function contextOf({ certificate, key }: TlsPem): { readonly cert: Buffer; readonly key: Buffer } {
  return { cert: Buffer.from(certificate), key: Buffer.from(key) };
}

function refusePlain(socket: Socket, answer: Uint8Array): void {
  // What it goes on to say is read and dropped, so that it gets to read the answer.
  socket.resume();
  socket.end(answer);
  const timer = setTimeout(() => socket.destroy(), handshakeMs);
  socket.once('close', () => clearTimeout(timer));
}

function listening(
  server: Server,
  where: { readonly host: string; readonly port: number; readonly backlog: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where, exclusive: true }, () => {
      server.removeListener('error', reject);
      // What goes wrong with one connection ends neither the listener nor the process.
      server.on('error', () => undefined);
      resolve();
    });
  });
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address !== null && typeof address !== 'string') return address;
  throw new StoreError('UNAVAILABLE', 'the listener has no address');
}
