import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { rawTranscoder } from '../support/raw-transcoder.ts';
import { RingClient } from '../support/ring-client.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { silentLogger } from '../../src/base/logger.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';

const memoryBytes = 64 * 1024 * 1024;
const kib = 1024;

/**
 * Goal: how long a store waits for more in a ring, and how much it takes before other work has a turn. Method: a clock
 * that stands until it is moved, and that notes how far the ring was taken whenever the store gives way.
 */
describe('a store that takes what lies in a ring', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let time: ManualClock;
  let store: ServedStore;
  let client: RingClient;
  let onYield: () => void;
  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('ring-turns');
    time = new ManualClock();
    onYield = () => undefined;
    const clock: Clock = {
      wallMs: () => time.wallMs(),
      nowMs: () => time.nowMs(),
      sleep: (ms, signal) => time.sleep(ms, signal),
      schedule: (ms, callback) => time.schedule(ms, callback),
      yield: () => {
        onYield();
        return time.yield();
      },
    };
    const platform = { ...withNative(nodePlatform(), 'auto'), clock };
    const { path } = temporary;
    const config = { objectStore: 'memory:', cacheDirectory: `${path}/cache`, memoryBytes };
    const sharedDirectory = `${path}/memory`;
    const settings = {
      ...resolveStoreConfig(config, platform.host),
      ...{ drainMs: 0, sharedDirectory },
    };
    const objects = new MemoryObjectStore(clock);
    const parts = { platform, logger: silentLogger, objects, transcoder: rawTranscoder, settings };
    store = await assembleStore(parts);
    const ring = await store.openRing();
    assert(ring !== undefined);
    client = new RingClient(join(sharedDirectory, `ring-${ring.number}`));
  });
  afterEach(async () => {
    const closing = store.close();
    let isClosed = false;
    void closing.finally(() => (isClosed = true));
    await eventually('the store closes', () => {
      time.advance(100);
      return Promise.resolve(isClosed);
    });
    await closing;
    await temporary.remove();
  });

  /** Leaves each block of the chain as a save of its own; gives the units that one takes. */
  function leaveAll({ blocks }: Chain): number {
    const before = client.word('head');
    for (const { key, payload } of blocks) {
      assert.match(client.leave([{ key, payload }]), /^accepted/);
    }
    return (client.word('head') - before) / blocks.length;
  }

  const isTaken = (): Promise<boolean> =>
    Promise.resolve(client.word('tail') === client.word('head'));

  const turns = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i += 1) await time.yield();
  };

  /** How far it was taken, in saves, each time that the store gave way while it took them. */
  async function takenAtTurns(units: number): Promise<readonly number[]> {
    const seen = new Set<number>();
    onYield = () => void seen.add(client.word('tail') / units);
    store.takeRings();
    time.advance(10);
    await eventually('everything is taken', isTaken);
    onYield = () => undefined;
    return [...seen].filter((saves) => saves > 0 && saves * units < client.word('head'));
  }

  it('waits 10 ms for more, and takes that too', async () => {
    leaveAll(chainOf('gathered', 1, 100));
    store.takeRings();
    time.advance(9);
    await turns(20);
    assert.equal(client.word('tail'), 0);
    leaveAll(chainOf('more', 3, 100));
    // Told again, it does not wait longer.
    store.takeRings();
    time.advance(1);
    await eventually('everything is taken', isTaken);
  });

  it('does not wait when somebody asks', async () => {
    const chain = chainOf('asked', 1, 100);
    leaveAll(chain);
    store.takeRings();
    assert.equal((await store.lookup(chain.keys)).matched, 1);
    assert(await isTaken());
  });

  it('gives way after 64 saves', async () => {
    const units = leaveAll(chainOf('many', 200, 100));
    assert.deepEqual(await takenAtTurns(units), [64, 128, 192]);
  });

  it('gives way after 512 KiB', async () => {
    const units = leaveAll(chainOf('long', 100, 16 * kib));
    const each = Math.ceil((512 * kib) / (units * 64));
    assert(each < 64, `${each} saves`);
    assert.deepEqual(await takenAtTurns(units), [each, 2 * each, 3 * each]);
  });
});
