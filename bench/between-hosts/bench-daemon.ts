import { join } from 'node:path';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';

/** The ways to a daemon. */
export const doors = ['unix', 'tcp', 'http'] as const;
export type Door = (typeof doors)[number];

/** The daemon that is measured: the real command, with its usual settings but for its places. */
export class BenchDaemon {
  readonly urls: Readonly<Record<Door, string>>;
  readonly #process: DaemonProcess;
  readonly #directory: string;

  private constructor(process: DaemonProcess, directory: string, urls: Record<Door, string>) {
    this.#process = process;
    this.#directory = directory;
    this.urls = urls;
  }

  static start(directory: string): Promise<BenchDaemon> {
    return BenchDaemon.#startAt(directory, { tcp: '127.0.0.1:0', http: '127.0.0.1:0' });
  }

  static async #startAt(
    directory: string,
    { tcp, http }: Readonly<Record<'tcp' | 'http', string>>,
  ): Promise<BenchDaemon> {
    const args = ['--unix', join(directory, 'd.sock'), '--tcp', tcp, '--http', http];
    const process = new DaemonProcess(args, {
      HOME: directory,
      WMBT_KV_OBJECT_STORE: `file://${encodeURI(join(directory, 'objects'))}`,
      WMBT_KV_PUFFER_DIR: join(directory, 'cache'),
    });
    const urls = await process.ready();
    const urlOf = (start: string): string => urls.find((url) => url.startsWith(start)) ?? '';
    return new BenchDaemon(process, directory, {
      unix: urlOf('unix:'),
      tcp: urlOf('tcp:'),
      http: urlOf('http:'),
    });
  }

  /** Ends it without a word, as a crash does. */
  async kill(): Promise<void> {
    await this.#process.stop('SIGKILL');
  }

  /** Starts it again at the same addresses; resolves when it says that it is ready. */
  startAgain(): Promise<BenchDaemon> {
    const { tcp, http } = this.urls;
    return BenchDaemon.#startAt(this.#directory, {
      tcp: tcp.replace('tcp://', ''),
      http: http.replace('http://', ''),
    });
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }
}
