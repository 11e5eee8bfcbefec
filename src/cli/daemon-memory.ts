import { messageOf } from '../base/errors.ts';
import { announcementOf } from '../blocks/socket-path.ts';
import { newSharedDirectory, removeIfSettled } from '../cache/shared-directories.ts';
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
  readonly #events: DaemonEvents;
  readonly #announcements: string[] = [];

  private constructor(platform: Platform, events: DaemonEvents, directory: string | undefined) {
    this.#platform = platform;
    this.#events = events;
    this.directory = directory;
  }

  static async prepare(
    platform: Platform,
    isOpenToAll: boolean,
    events: DaemonEvents,
  ): Promise<DaemonMemory> {
    if (!isOpenToAll) return new DaemonMemory(platform, events, undefined);
    try {
      return new DaemonMemory(platform, events, await newSharedDirectory(platform));
    } catch (error) {
      events.error('shared memory is not used', { message: messageOf(error) });
      return new DaemonMemory(platform, events, undefined);
    }
  }

  /**
   * Tells clients of the sockets; the sockets listen already, and their daemon is this one. Where it
   * cannot, the socket serves, and an event says why.
   */
  async announce(addresses: readonly BoundAddress[]): Promise<void> {
    const { directory } = this;
    if (directory === undefined) return;
    for (const { transport, url } of addresses) {
      if (transport !== 'unix') continue;
      const path = announcementOf(url.slice('unix:'.length));
      await this.#orTell('shared memory is not announced', () => this.#write(path, directory));
    }
  }

  /** The store has closed. */
  async end(): Promise<void> {
    const { directory } = this;
    const { files } = this.#platform;
    await this.#orTell('shared memory is not removed', async () => {
      for (const path of this.#announcements) await files.remove(path);
      if (directory === undefined || (await removeIfSettled(this.#platform, directory))) return;
      this.#events.info('shared memory stays: it holds what the cache directory did not take', {
        directory,
      });
    });
  }

  async #write(path: string, directory: string): Promise<void> {
    const { files, random } = this.#platform;
    const temporary = `${path}.${random.hex(8)}`;
    try {
      const file = await files.open(temporary, 'create-new');
      try {
        await file.write([new TextEncoder().encode(`${directory}\n`)], 0);
      } finally {
        await file.close();
      }
      await files.rename(temporary, path);
    } catch (error) {
      await files.remove(temporary);
      throw error;
    }
    this.#announcements.push(path);
  }

  /** What goes wrong with files that only help is an event, and no end of a daemon that serves. */
  async #orTell(event: string, task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      this.#events.error(event, { message: messageOf(error) });
    }
  }
}
