import { CertificateMaker } from '../support/certificates.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';

/** The real daemon in a folder of its own, at a Unix socket and a port, with little memory. */
export interface DaemonHome {
  /** Variables by which a client finds it over the Unix socket. */
  readonly unix: Readonly<Record<string, string>>;
  /** The same over TCP. */
  readonly tcp: Readonly<Record<string, string>>;
  /** The same over HTTP. */
  readonly http: Readonly<Record<string, string>>;
  /** The same two with a file of certificates to trust, of a daemon that has one. */
  readonly tls: Readonly<Record<string, string>>;
  readonly https: Readonly<Record<string, string>>;
  /** Those of an engine with a store of its own, in the same folder. */
  readonly embedded: Readonly<Record<string, string>>;
  /** Its address, `host:port`. */
  readonly address: string;
  daemon(): DaemonProcess;
  /** Starts it again at the same places. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

export interface DaemonHomeOptions {
  /** Whether clients of its Unix socket read its memory; they do when absent. */
  readonly sharesMemory?: boolean;
  /** Bytes of its memory, as a setting; `16MiB` when absent. */
  readonly memory?: string;
  /** Whether its ports speak TLS, which openssl makes a certificate for; they do not when absent. */
  readonly isSecure?: boolean;
  /** More variables of the daemon, and of an engine with a store of its own. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Words before the command of the daemon, which start it elsewhere. */
  readonly through?: readonly string[];
}

export async function startDaemonHome(options: DaemonHomeOptions = {}): Promise<DaemonHome> {
  const { sharesMemory = true, memory = '16MiB', isSecure = false } = options;
  const { variables = {}, through = [] } = options;
  const directory = await makeTemporaryDirectory('capi');
  const { path } = directory;
  const identity = isSecure ? await makeIdentity(path) : undefined;
  const environment = {
    ...identity?.ofDaemon,
    ...{ HOME: path, WMBT_KV_RUNTIME_DIR: `${path}/run`, WMBT_KV_PUFFER_RAM_BYTES: memory },
    ...(sharesMemory ? {} : { WMBT_KV_NATIVE: 'off' }),
    ...variables,
  };
  const ports = { tcp: '0', http: '0' };
  let daemon: DaemonProcess;
  const restart = async (): Promise<void> => {
    const doors = ['--tcp', `127.0.0.1:${ports.tcp}`, '--http', `127.0.0.1:${ports.http}`];
    daemon = new DaemonProcess(['--prefix', 'capi', ...doors], environment, { through });
    const urls = await daemon.ready();
    for (const door of ['tcp', 'http'] as const) {
      const scheme = isSecure ? { tcp: 'tls', http: 'https' }[door] : door;
      const url = urls.find((one) => one.startsWith(`${scheme}:`)) ?? '';
      ports[door] = /:(\d+)\/?$/.exec(url)?.[1] ?? '0';
    }
  };
  await restart();
  const common = {
    ...{ HOME: path, WMBT_KV_RUNTIME_DIR: environment.WMBT_KV_RUNTIME_DIR },
    // A machine that runs other tests may take longer than usual.
    WMBT_KV_LOOKUP_DEADLINE_MS: '5000',
  };
  const address = `127.0.0.1:${ports.tcp}`;
  const httpAddress = `127.0.0.1:${ports.http}`;
  const known = { ...common, WMBT_TEST_TCP: address, WMBT_TEST_HTTP: httpAddress };
  return {
    unix: { ...known, WMBT_KV_REMOTE_PREFIX: 'capi' },
    tcp: { ...known, WMBT_KV_TCP_ADDR: address },
    http: { ...known, WMBT_KV_HTTP_ADDR: httpAddress },
    tls: { ...known, ...identity?.ofClients, WMBT_KV_TCP_ADDR: `tls://${address}` },
    https: { ...known, ...identity?.ofClients, WMBT_KV_HTTP_ADDR: httpAddress },
    embedded: { ...common, WMBT_KV_PUFFER_RAM_BYTES: memory, ...variables },
    address,
    daemon: () => daemon,
    restart,
    close: async () => {
      daemon.child.kill('SIGCONT');
      await daemon.stop('SIGKILL');
      await directory.remove();
    },
  };
}

/** A certificate for this host, as the daemon shows it and as clients trust it. */
async function makeIdentity(path: string): Promise<{
  readonly ofDaemon: Readonly<Record<string, string>>;
  readonly ofClients: Readonly<Record<string, string>>;
}> {
  const maker = new CertificateMaker(path);
  const authority = await maker.authority('ca');
  const { certFile, keyFile } = await maker.signed('host', authority, { names: 'IP:127.0.0.1' });
  return {
    ofDaemon: { WMBT_KV_TLS_CERT_FILE: certFile, WMBT_KV_TLS_KEY_FILE: keyFile },
    ofClients: { WMBT_KV_TLS_CA_FILE: authority.certFile },
  };
}
