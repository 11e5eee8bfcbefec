import { StoreError, systemErrorCode } from '../../base/errors.ts';
import type { Platform } from '../../platform/platform.ts';

/**
 * Where state files live for the moment between engine and store: in memory when free space there is
 * at least twice the file, else in the temporary directory. Names are random, files mode 0600, and
 * whoever makes one removes it.
 */
export class StateFiles {
  readonly #platform: Platform;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /**
   * A path for a file of about that many bytes.
   *
   * @throws StoreError `UNAVAILABLE` when no place has room.
   */
  async pathFor(byteLength: number): Promise<string> {
    const { host, random } = this.#platform;
    const name = `wombatkv-${host.processId}-${random.hex(8)}.state`;
    const places = [host.memoryDirectory, host.temporaryDirectory];
    for (const directory of places) {
      if (directory === undefined) continue;
      if ((await this.#freeBytes(directory)) >= 2 * byteLength) return `${directory}/${name}`;
    }
    const room = `${2 * byteLength} bytes free`;
    throw new StoreError(
      'UNAVAILABLE',
      `no room for a state file: neither ${places.join(' nor ')} has ${room}`,
    );
  }

  /** Removes a file that {@link pathFor} named, if it is there. */
  async remove(path: string): Promise<void> {
    await this.#platform.files.remove(path);
  }

  async #freeBytes(directory: string): Promise<number> {
    try {
      return await this.#platform.files.freeBytes(directory);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      return 0;
    }
  }
}
