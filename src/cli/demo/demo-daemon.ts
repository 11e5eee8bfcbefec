// oxlint-disable-next-line import/no-nodejs-modules -- nothing but the demo starts processes
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { deferred } from '../../base/deferred.ts';
import { StoreError } from '../../base/errors.ts';
import type { StoreConfig } from '../../config/store-config.ts';
import { effectiveSettings, settingPrefix } from '../../config/settings.ts';
import type { Platform } from '../../platform/platform.ts';

/** How the demo's processes reach the store: each opens it, or all of them ask a daemon. */
export type DemoTransport = 'process' | 'shm' | 'unix' | 'tcp' | 'http';

/** A daemon starts in a fraction of a second; a busy machine may need more. */
const readyMs = 30_000;
const stderrCharactersMax = 2000;

type ChildProcess = ReturnType<typeof spawn>;

/** The daemon of the demo: `wombatkv-daemon` in a process of its own. */
export class DemoDaemon {
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  private constructor(child: ChildProcess, ended: Promise<void>, url: string) {
    this.#child = child;
    this.#ended = ended;
    this.url = url;
  }

  /** Starts one on the store and waits until it is ready. */
  static async start(
    platform: Platform,
    place: { readonly transport: Exclude<DemoTransport, 'process'>; readonly directory: string },
    store: StoreConfig,
  ): Promise<DemoDaemon> {
    const isLocal = place.transport === 'unix' || place.transport === 'shm';
    const flags = isLocal
      ? ['--unix', `${place.directory}/demo.sock`]
      : [`--${place.transport}`, '127.0.0.1:0'];
    await platform.files.makeDirectory(place.directory);
    const program = fileURLToPath(new URL('../daemon-main.js', import.meta.url));
    const child = spawn(process.execPath, [program, ...flags], {
      env: { ...withoutSettings(platform), ...settingsOf(store) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = deferred<void>();
    child.once('close', () => ended.resolve());
    const timer = platform.clock.schedule(readyMs, () => child.kill('SIGKILL'), 'awaited');
    try {
      const url = await readyUrl(child, ended.promise);
      const isShared = place.transport === 'shm';
      return new DemoDaemon(child, ended.promise, isShared ? url.replace('unix:', 'shm:') : url);
    } finally {
      timer.cancel();
    }
  }

  /** Ends it as by a crash. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Ends it in good order: what is pending is uploaded. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#ended;
  }
}

/** The address in the daemon's `ready` line. */
async function readyUrl(child: ChildProcess, ended: Promise<void>): Promise<string> {
  const url = deferred<string>();
  let output = '';
  let errors = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    const [, found] = /"event":"ready".*?"url":"([^"]+)"/.exec(output) ?? [];
    if (found === undefined) return;
    output = '';
    url.resolve(found);
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-stderrCharactersMax);
  });
  const end = ended.then((): never => {
    throw new StoreError('UNAVAILABLE', `the daemon of the demo did not start: ${errors.trim()}`);
  });
  end.catch(() => undefined);
  return Promise.race([url.promise, end]);
}

/** The environment without settings of the user's: the demo's own hold. */
function withoutSettings({ environment }: Platform): Record<string, string | undefined> {
  const entries = Object.entries(environment);
  return Object.fromEntries(entries.filter(([name]) => !name.startsWith(settingPrefix)));
}

/** The configuration as variables of the environment. */
function settingsOf(store: StoreConfig): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const { name, field } of effectiveSettings) {
    const value = store[field];
    if (value === undefined) continue;
    if (typeof value === 'boolean') variables[name] = value ? 'on' : 'off';
    else variables[name] = value === '' && field === 'keyPrefix' ? '/' : String(value);
  }
  return variables;
}
