import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { blake3Hex } from '../../src/base/blake3.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
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

  /** In a directory that is there and empty, or a new one. */
  static async open(budgetBytes: number, given?: string): Promise<LendingRig> {
    const temporary = await makeTemporaryDirectory('lending');
    const directory = given ?? join(temporary.path, 'memory');
    if (given === undefined) await mkdir(directory, { mode: 0o700 });
    return new LendingRig(temporary, directory, budgetBytes);
  }

  /** Shows so many payloads of that length, each in the memory of the one before the last few. */
  keepMany(name: string, count: number, length: number): void {
    for (let i = 0; i < count; i += 1) {
      const extent = this.memory.allocate(length);
      assert(extent !== undefined);
      this.memory.makeResident(extent, () => undefined);
      const facts = {
        ...{ namespace: parseNamespace('team'), kind: 'block' as const, parent: undefined },
        ...{ key: parseBlockKey(blake3Hex(Buffer.from(`${name} ${i}`))), fingerprint: undefined },
        ...{ tokens: 0, position: undefined, hasDecodedTokens: false, length, crc: 0 },
      };
      this.tier.publish(facts, extent.bytes, extent.bytes);
      extent.unpin();
    }
  }

  /** An extent that is lent, with room for a payload of that length. */
  lend(length: number): { readonly extent: Extent; readonly place: LentPlace } {
    const extent = this.memory.allocate(extentHeaderBytes + length);
    assert(extent !== undefined);
    const number = this.tier.lend(extent.bytes, rigSalt);
    assert(number !== undefined);
    const { segment, offset } = this.tier.placeOf(extent.bytes);
    const where = { segment, offset: offset / offsetUnitBytes };
    return { extent, place: { ...where, salt: rigSalt, number } };
  }

  async close(): Promise<void> {
    this.reader.close();
    this.tier.close();
    await this.temporary.remove();
  }
}
