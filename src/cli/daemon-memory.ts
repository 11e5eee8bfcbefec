import { messageOf } from '../base/errors.ts';
import { announcementOf } from '../blocks/socket-path.ts';
import { newSharedDirectory, removeSharedDirectory } from '../cache/shared-directories.ts';
import type { BoundAddress } from '../daemon/transport.ts';
import type { Platform } from '../platform/platform.ts';
import type { DaemonEvents } from './daemon-events.ts';

/**
 * The memory that a daemon shares with clients on its host, from its name to its end: beside each
 * Unix socket a file names the directory where the memory lies. Every client that
 * may read that file is of the same user, so with tokens, which tell clients apart, nothing is shared.
 */
export class DaemonMemory {
  /** Undefined: none is shared. */
  readonly directory: string | undefined;
  readonly #platform: Platform;
  readonly #announcements: string[] = [];

  private constructor(platform: Platform, directory: string | undefined) {
    this.#platform = platform;
    this.directory = directory;
  }

  static async prepare(
    platform: Platform,
    isOpenToAll: boolean,
    events: DaemonEvents,
  ): Promise<DaemonMemory> {
    if (!isOpenToAll) return new DaemonMemory(platform, undefined);
    try {
      return new DaemonMemory(platform, await newSharedDirectory(platform));
    } catch (error) {
      events.error('shared memory is not used', { message: messageOf(error) });
      return new DaemonMemory(platform, undefined);
    }
  }

  /** Tells clients of the sockets; the sockets listen already, and their daemon is this one. */
  async announce(addresses: readonly BoundAddress[]): Promise<void> {
    const { files, random } = this.#platform;
    if (this.directory === undefined) return;
    for (const { transport, url } of addresses) {
      if (transport !== 'unix') continue;
      const path = announcementOf(url.slice('unix:'.length));
      const temporary = `${path}.${random.hex(8)}`;
      const file = await files.open(temporary, 'create-new');
      try {
        await file.write([new TextEncoder().encode(`${this.directory}\n`)], 0);
      } finally {
        await file.close();
      }
      await files.rename(temporary, path);
      this.#announcements.push(path);
    }
  }

  /** The store has closed. */
  async end(): Promise<void> {
    for (const path of this.#announcements) await this.#platform.files.remove(path);
    if (this.directory !== undefined) await removeSharedDirectory(this.#platform, this.directory);
  }
}
