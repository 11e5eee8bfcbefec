import { StoreError } from '../base/errors.ts';
import type { DaemonService } from './daemon-service.ts';
import { bindingFailure } from './frame-transport.ts';
import { isSameSecret } from './greeting.ts';
import type { HttpAccess, HttpDenial } from './http-access.ts';
import { HttpServer } from './http-server.ts';
import { shownHost } from './tcp-binder.ts';
import type { TcpAddress } from './tcp-binder.ts';
import type { BoundAddress, OpenTransport, Transport } from './transport.ts';

export interface HttpTransportOptions {
  /** Where it listens. One server has them all, so that its limits hold for all together. */
  readonly addresses: readonly TcpAddress[];
  /** What clients must give; undefined: nothing. */
  readonly token: string | undefined;
}

/** The resources of docs/HTTP.md on TCP ports. */
export class HttpTransport implements Transport {
  readonly #options: HttpTransportOptions;

  /** @throws StoreError `INVALID` for a token that no header can carry. */
  constructor(options: HttpTransportOptions) {
    if (options.token !== undefined && !/^[\x21-\x7e]+$/.test(options.token)) {
      throw new StoreError(
        'INVALID',
        'over HTTP a token (WMBT_KV_TOKEN_FILE) must be of ASCII letters, digits and signs',
      );
    }
    this.#options = options;
  }

  async open({ store, clock, sockets, checksums }: DaemonService): Promise<OpenTransport> {
    const { addresses, token } = this.#options;
    const authorize = token === undefined ? undefined : bearerRule(token);
    const server = new HttpServer({ store, checksums, platform: { clock, sockets }, authorize });
    const opened: BoundAddress[] = [];
    try {
      for (const { host, port } of addresses) {
        const url = `http://${shownHost(host)}`;
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

/** Lets in who gives the token as `Authorization: Bearer`. */
function bearerRule(token: string): (access: HttpAccess) => HttpDenial | undefined {
  return ({ authorization }) => {
    const [, given] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
    if (given === undefined) {
      return { status: 401, reason: 'this daemon asks for a token, as Authorization: Bearer' };
    }
    if (isSameSecret(given, token)) return undefined;
    return { status: 401, reason: 'the token is not the one of this daemon' };
  };
}
