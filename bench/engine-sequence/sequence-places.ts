import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';
import { CertificateMaker } from '../../test/support/certificates.ts';

/**
 * How the engine reaches a store: by a daemon's shared memory; by the Unix socket alone, of a daemon without native code;
 * over TCP and HTTP; over both by TLS, through a process that is the daemon's client; or one of its own.
 */
export const modes = ['shm', 'unix', 'tcp', 'http', 'tls', 'https', 'embedded'] as const;
export type Mode = (typeof modes)[number];

type Settings = Readonly<Record<string, string>>;

/** A store whose process ends and starts again, over a bucket in a directory. */
export interface SequencePlace {
  readonly modes: readonly Mode[];
  /** What the engine's environment is to be. */
  environmentOf(mode: Mode): Settings;
  /** Starts the store again: its memory is empty then. With `isWiped` its cache directory too. */
  restart(isWiped: boolean): Promise<void>;
  stop(): Promise<void>;
}

/** A private store has ended by then, when its engine has. */
const endMsMax = 30_000;

/** All places, each in a folder of its own, with their usual settings. */
export async function openPlaces(folder: string): Promise<readonly SequencePlace[]> {
  const homeOf = (name: string): string => {
    const home = join(folder, name);
    mkdirSync(join(home, 'run'), { recursive: true, mode: 0o700 });
    return home;
  };
  const secure = homeOf('secure');
  const maker = new CertificateMaker(secure);
  const authority = await maker.authority('ca');
  const signed = await maker.signed('host', authority, { names: 'IP:127.0.0.1' });
  const identity = {
    ...{ WMBT_KV_TLS_CERT_FILE: signed.certFile, WMBT_KV_TLS_KEY_FILE: signed.keyFile },
  };
  return [
    new DaemonPlace(homeOf('shared'), { modes: ['shm', 'tcp', 'http'] }),
    new DaemonPlace(homeOf('alone'), { modes: ['unix'], settings: { WMBT_KV_NATIVE: 'off' } }),
    new DaemonPlace(secure, {
      ...{ modes: ['tls', 'https'], settings: identity },
      clientSettings: { WMBT_KV_TLS_CA_FILE: authority.certFile },
    }),
    new OwnPlace(homeOf('own')),
  ];
}

/** What daemon and engine have in common. A machine that is busy may take longer than usual. */
function settingsOf(home: string): Settings {
  return {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run'), PATH: process.env['PATH'] ?? '' },
    ...{ WMBT_KV_LOOKUP_DEADLINE_MS: '5000', WMBT_KV_NODE: process.execPath },
  };
}

function storeSettingsOf(home: string): Settings {
  return {
    WMBT_KV_OBJECT_STORE: `file://${encodeURI(join(home, 'objects'))}`,
    WMBT_KV_PUFFER_DIR: join(home, 'cache'),
  };
}

function wipe(home: string): void {
  rmSync(join(home, 'cache'), { recursive: true, force: true });
}

class DaemonPlace implements SequencePlace {
  readonly modes: readonly Mode[];
  readonly #home: string;
  readonly #settings: Settings;
  readonly #clientSettings: Settings;
  #daemon: DaemonProcess | undefined;
  #urls: readonly string[] = [];

  constructor(
    home: string,
    parts: {
      readonly modes: readonly Mode[];
      readonly settings?: Settings;
      readonly clientSettings?: Settings;
    },
  ) {
    this.modes = parts.modes;
    this.#home = home;
    this.#settings = { ...settingsOf(home), ...storeSettingsOf(home), ...parts.settings };
    this.#clientSettings = { ...settingsOf(home), ...parts.clientSettings };
  }

  environmentOf(mode: Mode): Settings {
    const addressOf = (scheme: string): string => {
      const url = this.#urls.find((one) => one.startsWith(`${scheme}:`));
      if (url === undefined) throw new RangeError(`the daemon has no ${scheme}`);
      return new URL(url).host;
    };
    if (mode === 'tcp') return { ...this.#clientSettings, WMBT_KV_TCP_ADDR: addressOf('tcp') };
    if (mode === 'tls') {
      return { ...this.#clientSettings, WMBT_KV_TCP_ADDR: `tls://${addressOf('tls')}` };
    }
    if (mode === 'http' || mode === 'https') {
      return { ...this.#clientSettings, WMBT_KV_HTTP_ADDR: addressOf(mode) };
    }
    return { ...this.#clientSettings, WMBT_KV_REMOTE_PREFIX: 'sequence' };
  }

  async restart(isWiped: boolean): Promise<void> {
    await this.stop();
    if (isWiped) wipe(this.#home);
    const doors = ['--prefix', 'sequence', '--tcp', '127.0.0.1:0', '--http', '127.0.0.1:0'];
    this.#daemon = new DaemonProcess(doors, this.#settings);
    this.#urls = await this.#daemon.ready();
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = undefined;
  }
}

/** A store of the engine's own starts and ends with it. */
class OwnPlace implements SequencePlace {
  readonly modes: readonly Mode[] = ['embedded'];
  readonly #home: string;

  constructor(home: string) {
    this.#home = home;
  }

  environmentOf(): Settings {
    return { ...settingsOf(this.#home), ...storeSettingsOf(this.#home) };
  }

  async restart(isWiped: boolean): Promise<void> {
    await this.stop();
    if (isWiped) wipe(this.#home);
  }

  /** Waits until the store of the last engine has gone: its socket goes with it. */
  async stop(): Promise<void> {
    await awaitNoPrivateStore(join(this.#home, 'run'));
  }
}

/** Waits until no private store has its socket in the runtime directory. */
export async function awaitNoPrivateStore(runtime: string): Promise<void> {
  const isThere = (): boolean =>
    existsSync(runtime) && readdirSync(runtime).some((name) => name.startsWith('private-'));
  const endMs = performance.now() + endMsMax;
  while (isThere()) {
    if (performance.now() > endMs) throw new Error(`a private store stays in ${runtime}`);
    await sleep(10);
  }
}
