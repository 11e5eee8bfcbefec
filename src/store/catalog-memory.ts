import { messageOf, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { limits } from '../blocks/limits.ts';
import { readCatalogFile, writeCatalogFile } from '../cache/catalog-file.ts';
import type { CatalogPlace } from '../cache/catalog-file.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { Counters } from './counters.ts';

/** The catalog's share of the disk budget, which is kept free for it. */
export function catalogBytesOf(diskBytes: number): number {
  return Math.min(limits.catalogFileBytesMax, Math.floor(diskBytes * limits.catalogFileShare));
}

export interface CatalogMemoryParts extends CatalogPlace {
  readonly catalog: Catalog;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly byteLengthMax: number;
}

/**
 * Hands what the catalog knows to the next process, by a file beside the log: a process that starts need
 * not ask the bucket again for what the one before knew. What it says is a hope, as a list of following keys
 * is: without it, or with an old one, requests are more and nothing is wrong.
 */
export class CatalogMemory {
  readonly #parts: CatalogMemoryParts;

  constructor(parts: CatalogMemoryParts) {
    this.#parts = parts;
  }

  /** Before the first call. */
  async recall(): Promise<void> {
    const { catalog, counters } = this.#parts;
    const found = await this.#try(() => readCatalogFile(this.#parts));
    if (found === undefined || found === 'absent' || found === 'foreign') return;
    if (found !== 'damaged' && catalog.recall(found)) return;
    counters.damagedRecords += 1;
    this.#parts.logger.error(
      'catalog file: it is damaged, and what it told is asked of the bucket',
      {
        directory: this.#parts.directory,
      },
    );
  }

  /** After the last call. */
  async remember(): Promise<void> {
    const { catalog } = this.#parts;
    // Who knows nothing leaves no file.
    const byteLengthMax = catalog.known.keys === 0 ? 0 : this.#parts.byteLengthMax;
    await this.#try(() => writeCatalogFile(this.#parts, catalog.snapshot, byteLengthMax));
  }

  /** What the system refuses is as if there were no such file. */
  async #try<Result>(task: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await task();
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      const { logger, directory } = this.#parts;
      logger.info('catalog file: not used', { directory, reason: messageOf(error) });
      return undefined;
    }
  }
}
