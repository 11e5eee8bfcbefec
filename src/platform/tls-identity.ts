import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** Certificate, with those between it and a root behind it, and key: PEM. */
export interface TlsPem {
  readonly certificate: Uint8Array;
  readonly key: Uint8Array;
}

/** What a server shows of itself. It can be replaced: connections that stand are not touched. */
export class TlsIdentity {
  #pem: TlsPem;
  #expiresAtMs: number;
  readonly #followers = new Set<(pem: TlsPem) => void>();

  /** @throws Error of the system when certificate and key are none, or not of each other. */
  constructor(pem: TlsPem) {
    this.#expiresAtMs = check(pem);
    this.#pem = pem;
  }

  get pem(): TlsPem {
    return this.#pem;
  }

  /** Milliseconds since 1970 at which the certificate is good no more. */
  get expiresAtMs(): number {
    return this.#expiresAtMs;
  }

  /** Shows the new ones from the next connection on. Throws as the constructor does. */
  replace(pem: TlsPem): void {
    this.#expiresAtMs = check(pem);
    this.#pem = pem;
    for (const follow of this.#followers) follow(pem);
  }

  /** Told of every replacement, until what it gives is called. */
  follow(onReplaced: (pem: TlsPem) => void): () => void {
    this.#followers.add(onReplaced);
    return () => this.#followers.delete(onReplaced);
  }
}

function check({ certificate, key }: TlsPem): number {
  createSecureContext({ cert: Buffer.from(certificate), key: Buffer.from(key) });
  return Date.parse(new X509Certificate(certificate).validTo);
}
