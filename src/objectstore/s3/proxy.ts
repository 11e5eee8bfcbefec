type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that the environment names for the origin, as curl and most others read it:
 * `https_proxy`, `http_proxy` (lower case only, because a web server may set the other one from a
 * request), `all_proxy`, and `no_proxy` with names, their sub-domains, and `*`.
 */
export function proxyFor(origin: string, environment: Environment): string | undefined {
  const { protocol, hostname, port } = new URL(origin);
  if (isExempt(hostname, port, read(environment, 'no_proxy', 'NO_PROXY'))) return undefined;
  const own =
    protocol === 'https:'
      ? read(environment, 'https_proxy', 'HTTPS_PROXY')
      : read(environment, 'http_proxy');
  const proxy = own ?? read(environment, 'all_proxy', 'ALL_PROXY');
  if (proxy === undefined) return undefined;
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`;
}

function read(environment: Environment, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = environment[name];
    if (value !== undefined && value !== '') return value;
  }
  return undefined;
}

function isExempt(hostName: string, port: string, list: string | undefined): boolean {
  return (list ?? '')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true;
      const [name, entryPort] = splitPort(entry.toLowerCase());
      if (entryPort !== undefined && entryPort !== port) return false;
      const bare = name.replace(/^\*?\./, '');
      return hostName === bare || hostName.endsWith(`.${bare}`);
    });
}

function splitPort(entry: string): readonly [string, string | undefined] {
  const match = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry);
  return match === null ? [entry, undefined] : [match[1] ?? '', match[2]];
}
