import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { blake3Hex } from '../../src/base/blake3.ts';
import { silentLogger } from '../../src/base/logger.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { Extent } from '../../src/cache/extent.ts';
import { extentHeaderBytes } from '../../src/cache/extent-header.ts';
import { scanIndex } from '../../src/cache/memory-scan.ts';
import { SharedTier } from '../../src/cache/shared-tier.ts';
import { SlabMemoryTier } from '../../src/cache/slab-memory-tier.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import type { Platform } from '../../src/platform/platform.ts';
import type { SharedMemory } from '../../src/platform/shared-memory.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

const unit = 4096;
const budgetBytes = 32 * unit;

/** What a successor would find if the store died before some call to the system or to the index. */
interface Moment {
  readonly before: string;
  readonly directory: string;
  /** Where something lies that was accepted by then, and is not settled. */
  readonly held: readonly number[];
}

/**
 * Goal: whoever follows a store that died while it built its index anew, at whatever step, finds one index, which
 * tells of everything that was accepted and is in no log.
 * Method: before each call by which the store changes its files, from the beginning of a build to its end, the index of that
 * moment is copied; then each copy is read as the takeover reads it.
 */
describe('a store that dies while it builds its index anew', { skip: withoutNative() }, () => {
  it('leaves an index with all that it had accepted, at every step', async (context) => {
    const temporary = await makeTemporaryDirectory('rebuild-steps');
    const platform = withNative(nodePlatform(), 'auto');
    const directory = join(temporary.path, 'memory');
    mkdirSync(directory, { mode: 0o700 });
    const moments: Moment[] = [];
    const held = new Set<Extent>();
    let isWatched = false;
    const note = (before: string): void => {
      if (!isWatched) return;
      const copy = join(temporary.path, `moment-${moments.length}`);
      mkdirSync(copy);
      for (const name of readdirSync(directory)) {
        if (name.startsWith('index')) copyFileSync(join(directory, name), join(copy, name));
      }
      const places = [...held].map(({ bytes }) => bytes.byteOffset);
      moments.push({ before, directory: copy, held: places });
    };
    const memory = watched(platform, note);
    const tier = new SharedTier({ memory, directory, budgetBytes, logger: silentLogger });
    const slabs = new SlabMemoryTier(budgetBytes, (bytes) => tier.take(bytes), tier);
    const allocate = (): Extent => {
      const extent = slabs.allocate(unit);
      assert(extent !== undefined);
      return extent;
    };
    const hold = (name: string): void => {
      const extent = allocate();
      assert(tier.publishHeld(factsOf(name), factsOf(name).key, extent.bytes));
      held.add(extent);
    };
    const settleOldest = (): void => {
      const [extent] = held;
      held.delete(extent);
      tier.settle(extent.bytes);
      tier.hide(extent.bytes);
      extent.unpin();
    };
    const isBuilt = (): boolean => existsSync(join(directory, 'index-next'));
    for (let i = 0; i < 20; i += 1) hold(`first ${i}`);
    for (let i = 0; !isBuilt(); i += 1) {
      hold(`next ${i}`);
      settleOldest();
    }
    isWatched = true;
    for (let i = 0; i < 12; i += 1) {
      hold(`last ${i}`);
      settleOldest();
    }
    note('the end');
    isWatched = false;
    tier.close();

    const names = new Set(moments.map(({ before }) => before));
    context.diagnostic(`${moments.length} moments: ${[...names].join(', ')}`);
    for (const name of ['reserve', 'create', 'showLife', 'carry', 'rename', 'unmap', 'publish'])
      assert(names.has(name), `a moment before ${name}`);
    assert(moments.some(({ directory: at }) => existsSync(join(at, 'index-next'))));
    for (const moment of moments) {
      const found = new Set<number>();
      for await (const place of scanIndex(platform.files, moment.directory)) {
        if (place.isCertain) found.add(place.offset);
      }
      const missing = moment.held.filter((offset) => !found.has(offset));
      assert.deepEqual(missing, [], `before ${moment.before}`);
      // What is being settled may be there still.
      assert(found.size <= moment.held.length + 1, `before ${moment.before}`);
    }
    await temporary.remove();
  });
});

function factsOf(name: string) {
  return {
    ...{ namespace: parseNamespace('team'), kind: 'block' as const, parent: undefined },
    ...{ key: parseBlockKey(blake3Hex(Buffer.from(name))), fingerprint: undefined, tokens: 0 },
    ...{ position: undefined, hasDecodedTokens: false, length: unit - extentHeaderBytes, crc: 0 },
  };
}

/** Shared memory that tells of each call before it is made. */
function watched({ sharedMemory }: Platform, note: (call: string) => void): SharedMemory {
  assert(sharedMemory !== undefined);
  const telling = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (_, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...given: unknown[]): unknown => {
          note(String(name));
          const result: unknown = Reflect.apply(value, target, given);
          return name === 'create' && given.length === 2 ? telling(result as object) : result;
        };
      },
    });
  return { ...telling({ ...sharedMemory }), index: telling(sharedMemory.index) };
}
