import type { TlsIdentity } from '../platform/tls-identity.ts';
import { tlsSockets } from '../platform/tls-sockets.ts';
import type { Access } from './access.ts';
import type { DaemonService } from './daemon-service.ts';
import { bindingFailure } from './frame-transport.ts';
import { bearerRule } from './http-access.ts';
import { refusalAnswer } from './http-answer.ts';
import { answerBytes } from './http-answer-writer.ts';
import type { HttpLimits } from './http-limits.ts';
import { HttpServer } from './http-server.ts';
import type { HttpServerOptions } from './http-server.ts';
import { shownHost } from './tcp-binder.ts';
import type { TcpAddress } from './tcp-binder.ts';
import type { BoundAddress, OpenTransport, Transport } from './transport.ts';

export interface HttpTransportOptions {
  /** Where it listens. One server has them all, so that its limits hold for all together. */
  readonly addresses: readonly TcpAddress[];
  /** Who may do what. */
  readonly access: Access;
  /** What it shows of itself where it speaks TLS, which it does when there is one. */
  readonly identity?: TlsIdentity | undefined;
  /** What `/metrics` tells beside the store and this server. */
  readonly moreMetrics?: HttpServerOptions['moreMetrics'];
  /** Bounds other than the usual ones. */
  readonly limits?: Partial<HttpLimits> | undefined;
}

/** The resources of docs/HTTP.md on TCP ports. */
export class HttpTransport implements Transport {
  readonly #options: HttpTransportOptions;

  constructor(options: HttpTransportOptions) {
    this.#options = options;
  }

  async open(service: DaemonService): Promise<OpenTransport> {
    const { store, clock, memory, sockets: plain, checksums, wire, counters } = service;
    const { addresses, access, identity, limits, moreMetrics } = this.#options;
    const plainAnswer = plainPortAnswer(clock.wallMs());
    const sockets = identity === undefined ? plain : tlsSockets({ identity, plainAnswer });
    const authorize = bearerRule(access);
    const platform = { clock, memory, sockets };
    const shared = { store, checksums, wire, counters };
    const server = new HttpServer({ ...shared, platform, authorize, limits, moreMetrics });
    const scheme = identity === undefined ? 'http' : 'https';
    const opened: BoundAddress[] = [];
    try {
      for (const { host, port } of addresses) {
        const url = `${scheme}://${shownHost(host)}`;
        const bound = await server.listen({ host, port }).catch((error: unknown) => {
          throw bindingFailure(`${url}:${port}`, error);
        });
        opened.push({ transport: 'http', url: `${url}:${bound.port}` });
      }
    } catch (error) {
      await server.close();
      throw error;
    }
    return {
      addresses: opened,
      drain: () => server.drain(),
      close: () => server.close(),
    };
  }
}

/** What a client is told that does not speak TLS where it should: it does not hear anything else. */
function plainPortAnswer(wallMs: number): Uint8Array {
  const answer = refusalAnswer(400, 'this port speaks TLS: connect to it with https://');
  return answerBytes(answer, { method: undefined, isLast: true, wallMs });
}
