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
}

export async function startDaemonHome(options: DaemonHomeOptions = {}): Promise<DaemonHome> {
  const { sharesMemory = true, memory = '16MiB' } = options;
  const directory = await makeTemporaryDirectory('capi');
  const { path } = directory;
  const environment = {
    ...{ HOME: path, WMBT_KV_RUNTIME_DIR: `${path}/run`, WMBT_KV_PUFFER_RAM_BYTES: memory },
    ...(sharesMemory ? {} : { WMBT_KV_NATIVE: 'off' }),
  };
  const ports = { tcp: '0', http: '0' };
  let daemon: DaemonProcess;
  const restart = async (): Promise<void> => {
    const doors = ['--tcp', `127.0.0.1:${ports.tcp}`, '--http', `127.0.0.1:${ports.http}`];
    daemon = new DaemonProcess(['--prefix', 'capi', ...doors], environment);
    const urls = await daemon.ready();
    for (const door of ['tcp', 'http'] as const) {
      const url = urls.find((one) => one.startsWith(`${door}:`)) ?? '';
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
    embedded: { ...common, WMBT_KV_PUFFER_RAM_BYTES: '16MiB' },
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
