import { messageOf, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { sharedPaths } from '../cache/shared-layout.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { SharedKnown } from '../catalog/shared-known.ts';
import { knownFile } from '../platform/known-file.ts';
import type { Platform } from '../platform/platform.ts';
import type { BackgroundTask } from './background-task.ts';

export interface KnownSharingParts {
  readonly platform: Platform;
  readonly logger: Logger;
  readonly catalog: Catalog;
  /** That of the store's shared memory. */
  readonly directory: string;
  /** What the memory tier may come to take there. */
  readonly memoryBytes: number;
}

/**
 * Lets clients on this host read which keys the catalog knows. What is little is shared at once, before the store is
 * ready; more, which an earlier process left, in small steps between other work, so that no store opens later for it.
 */
export class KnownSharing implements BackgroundTask {
  readonly #parts: KnownSharingParts;
  readonly #file: SharedKnown;
  readonly #steps: Iterator<void, void>;
  readonly #running: Promise<void>;
  #isStopped = false;

  private constructor(parts: KnownSharingParts, file: SharedKnown) {
    this.#parts = parts;
    this.#file = file;
    this.#steps = parts.catalog.share(file);
    this.#running = this.#run();
  }

  /** Undefined when there is no such memory, or too little of it: then the reason was logged. */
  static async begin(parts: KnownSharingParts): Promise<KnownSharing | undefined> {
    const { platform, catalog, logger, directory, memoryBytes } = parts;
    const { files, sharedMemory: memory } = platform;
    const code = memory?.knownFile;
    if (memory === undefined || code === undefined) return undefined;
    try {
      const path = sharedPaths.known(directory);
      // The index of the memory tier may grow.
      const tierBytes = memoryBytes + memoryBytes * limits.sharedIndexShare;
      const byteLengthMax = (await files.freeBytes(directory)) - tierBytes;
      const place = { memory, code, path, logger, byteLengthMax };
      const file = new SharedKnown({ ...place, ...catalog.sharing });
      return new KnownSharing(parts, file);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      const event = 'shared memory: clients ask for keys that are known in the bucket';
      logger.info(event, { directory, why: messageOf(error) });
      return undefined;
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
    this.#file.close();
  }

  async #run(): Promise<void> {
    const { catalog, platform } = this.#parts;
    const bytesEach = catalog.known.byteLength / knownFile.shards;
    let stepBytes = 0;
    while (!this.#isStopped && this.#steps.next().done !== true) {
      stepBytes += bytesEach;
      if (stepBytes < limits.sharingStepBytes) continue;
      stepBytes = 0;
      await platform.clock.yield();
    }
  }
}
