import type { Clock } from '../platform/clock.ts';
import type { Http, HttpOrigin, HttpOriginOptions } from '../platform/http.ts';
import { nodeSockets } from '../platform/node-sockets.ts';
import { authorityBeside, tlsSockets } from '../platform/tls-sockets.ts';
import { DirectOrigin } from './direct-origin.ts';

/** What it needs of a platform. */
export interface DirectHttpParts {
  readonly clock: Clock;
  /** For origins behind a proxy. */
  readonly http: Http;
}

/** HTTP over connections of our own; where a proxy is to be used, that of the platform. */
export function directHttp({ clock, http }: DirectHttpParts): Http {
  return {
    open: (options) =>
      options.proxy === undefined ? openDirect(clock, options) : http.open(options),
  };
}

function openDirect(
  clock: Clock,
  { origin, connectionsMax, certificates }: HttpOriginOptions,
): HttpOrigin {
  const { protocol, hostname, port } = new URL(origin);
  const isSecure = protocol === 'https:';
  const authority = certificates === undefined ? undefined : authorityBeside(certificates);
  const sockets = isSecure ? tlsSockets({ authority }) : nodeSockets;
  // An address of IPv6 stands in brackets in a URL only.
  const host = hostname.replace(/^\[|\]$/g, '');
  const usual = isSecure ? 443 : 80;
  return new DirectOrigin({
    ...{ clock, sockets, origin, host, connectionsMax },
    port: port === '' ? usual : Number(port),
  });
}
