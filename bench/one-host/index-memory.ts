import { writeFileSync } from 'node:fs';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { blake3Hex } from '../../src/base/blake3.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { limits } from '../../src/blocks/limits.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { newSharedDirectory, removeSharedDirectory } from '../../src/cache/shared-directories.ts';
import { openSharedTier } from '../../src/cache/shared-tier.ts';
import { SlabMemoryTier } from '../../src/cache/slab-memory-tier.ts';
import type { Platform } from '../../src/platform/platform.ts';

/**
 * The memory tier of a store, in this process, with so many blocks of a unit each: what a daemon with
 * as many blocks in memory shows, without having saved them. It is announced at a daemon's socket in the place of
 * that daemon's own memory. Gives a function that removes it.
 */
export async function shareManyBlocks(
  platform: Platform,
  socketPath: string,
  count: number,
): Promise<() => Promise<void>> {
  const directory = await newSharedDirectory(platform);
  if (directory === undefined) throw new RangeError('this system has no memory to share');
  const budgetBytes = 2 * limits.slabBytes + count * limits.extentBytesUnit;
  const tier = await openSharedTier(platform, directory, budgetBytes, silentLogger);
  if (tier === undefined) throw new RangeError(`${budgetBytes} bytes cannot be shared`);
  const memory = new SlabMemoryTier(budgetBytes, (bytes) => tier.take(bytes), tier);
  const common = {
    ...{ namespace: parseNamespace('default'), kind: 'block' as const, parent: undefined },
    ...{ fingerprint: undefined, tokens: limits.blockTokensUnit, position: undefined },
    ...{ hasDecodedTokens: false, length: limits.extentBytesUnit, crc: 0 },
  };
  for (let index = 0; index < count; index += 1) {
    const extent = memory.allocate(limits.extentBytesUnit);
    if (extent === undefined) throw new RangeError(`there is no room for block ${index}`);
    memory.makeResident(extent, () => undefined);
    tier.publish({ ...common, key: keyOf(index) }, extent.bytes, extent.bytes);
    extent.unpin();
  }
  writeFileSync(announcementOf(socketPath), `${directory}\n`);
  return async () => {
    tier.close();
    await removeSharedDirectory(platform, directory);
  };
}

/** The key of one of them, as `hash_of` of bench/one-host/client.c has it. */
export function keyOf(index: number): BlockKey {
  const text = new Uint8Array(5);
  text[0] = 'i'.charCodeAt(0);
  new DataView(text.buffer).setUint32(1, index, true);
  return parseBlockKey(blake3Hex(text));
}
