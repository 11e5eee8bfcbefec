import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/logger.ts';
import type { LentPlace } from '../../src/blocks/served-store.ts';
import type { Extent } from '../../src/cache/extent.ts';
import { extentHeaderBytes } from '../../src/cache/extent-header.ts';
import { SharedReader } from '../../src/cache/shared-reader.ts';
import { SharedTier } from '../../src/cache/shared-tier.ts';
import { SlabMemoryTier } from '../../src/cache/slab-memory-tier.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { offsetUnitBytes } from '../../src/platform/shared-memory.ts';
import type { SharedMemory } from '../../src/platform/shared-memory.ts';
import { makeTemporaryDirectory } from './temporary-directory.ts';
import type { TemporaryDirectory } from './temporary-directory.ts';

/** The salt of every loan that is made here. */
export const rigSalt = 0x600d5a17;

/** Real shared memory that lends, and a client of it. Native code is there. */
export class LendingRig {
  readonly temporary: TemporaryDirectory;
  /** Where its files are. */
  readonly directory: string;
  readonly shared: SharedMemory;
  readonly tier: SharedTier;
  readonly memory: SlabMemoryTier;
  readonly reader: SharedReader;
  #loans = 0;

  private constructor(temporary: TemporaryDirectory, directory: string, budgetBytes: number) {
    const { sharedMemory } = withNative(nodePlatform(), 'auto');
    assert(sharedMemory !== undefined);
    this.temporary = temporary;
    this.directory = directory;
    this.shared = sharedMemory;
    this.tier = new SharedTier({
      memory: sharedMemory,
      directory,
      budgetBytes,
      logger: silentLogger,
    });
    this.memory = new SlabMemoryTier(budgetBytes, (bytes) => this.tier.take(bytes), this.tier);
    const reader = SharedReader.open(sharedMemory, directory);
    assert(reader !== undefined);
    this.reader = reader;
  }

  static async open(budgetBytes: number): Promise<LendingRig> {
    const temporary = await makeTemporaryDirectory('lending');
    const directory = join(temporary.path, 'memory');
    await mkdir(directory, { mode: 0o700 });
    return new LendingRig(temporary, directory, budgetBytes);
  }

  /** An extent that is lent, with room for a payload of that length. */
  lend(length: number): { readonly extent: Extent; readonly place: LentPlace } {
    const extent = this.memory.allocate(extentHeaderBytes + length);
    assert(extent !== undefined);
    this.#loans += 1;
    this.tier.lend(extent.bytes, rigSalt, this.#loans);
    const { segment, offset } = this.tier.placeOf(extent.bytes);
    const where = { segment, offset: offset / offsetUnitBytes };
    return { extent, place: { ...where, salt: rigSalt, number: this.#loans } };
  }

  async close(): Promise<void> {
    this.reader.close();
    this.tier.close();
    await this.temporary.remove();
  }
}
