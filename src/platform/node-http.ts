import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { HttpExchange } from './http-exchange.ts';
import type { Http, HttpOrigin, HttpOriginOptions, HttpRequest, HttpResponse } from './http.ts';

/** A name that does not resolve or a host that does not answer is known to be gone by then. */
const connectMsMax = 5000;

/** How long an idle connection is kept: shorter than the 5 s after which common servers close it. */
const keepAliveMs = 4000;

/** HTTP by undici, which is loaded when an origin is opened: loading takes longer than many commands. */
export const nodeHttp: Http = { open: (options) => new NodeHttpOrigin(options) };

class NodeHttpOrigin implements HttpOrigin {
  readonly #options: HttpOriginOptions;
  readonly #dispatcher: Promise<Dispatcher>;

  constructor(options: HttpOriginOptions) {
    this.#options = options;
    // Not with the first request, which may have a short deadline.
    this.#dispatcher = openDispatcher(options);
    // Each request tells of a failure; before the first nobody listens.
    this.#dispatcher.catch(() => undefined);
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const exchange = new HttpExchange(this.#options.origin, request);
    try {
      exchange.start(await this.#dispatcher);
    } catch (error) {
      exchange.fail(error);
    }
    return exchange.result;
  }

  async close(): Promise<void> {
    const dispatcher = await this.#dispatcher.catch(() => undefined);
    await dispatcher?.destroy(new Error('the store is closing'));
  }
}

async function openDispatcher(options: HttpOriginOptions): Promise<Dispatcher> {
  const { Pool, ProxyAgent } = await import('undici');
  const { origin, connectionsMax, certificates, proxy } = options;
  const authorities = certificates === undefined ? {} : { ca: [...rootCertificates, certificates] };
  const connect = { ...authorities, timeout: connectMsMax };
  const common = {
    connections: connectionsMax,
    pipelining: 1,
    keepAliveTimeout: keepAliveMs,
    // A server's own hint may be longer than what lies between it and us keeps.
    keepAliveMaxTimeout: keepAliveMs * 5,
  };
  if (proxy === undefined) return new Pool(origin, { ...common, connect });
  return new ProxyAgent({ ...common, uri: proxy, requestTls: connect, proxyTls: connect });
}
