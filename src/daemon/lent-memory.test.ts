import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { chainOf, sliceChain } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { doorOf, startDaemon } from '../../test/support/daemon-world.ts';
import { RawFrames } from '../../test/support/raw-frames.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { crc32c } from '../base/crc32c.ts';
import { silentLogger } from '../base/logger.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { LentPlace, ServedStore } from '../blocks/served-store.ts';
import { SharedReader } from '../cache/shared-reader.ts';
import type { SharedFiller } from '../cache/shared-reader.ts';
import { resolveStoreConfig } from '../config/store-config.ts';
import { FaultyObjectStore } from '../objectstore/faulty-object-store.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { encodeKeysCall } from '../protocol/read-messages.ts';
import {
  decodeLent,
  decodeWanted,
  encodeFilled,
  encodeSaveCall,
} from '../protocol/write-messages.ts';
import { assembleStore } from '../store/assemble-store.ts';
import type { Daemon } from './daemon.ts';

const mib = 1024 * 1024;
const memoryBytes = 64 * mib;
/** Half of the memory tier may hold what is in no log yet, lent memory included. */
const heldMax = memoryBytes / 2;
const namespace = parseNamespace('default');

/** A daemon of a store whose bucket is not there: what is accepted stays pending. */
interface Rig {
  readonly store: ServedStore;
  readonly url: string;
  readonly filler: SharedFiller | undefined;
  close(): Promise<void>;
}

async function open(isShared: boolean): Promise<Rig> {
  const temporary: TemporaryDirectory = await makeTemporaryDirectory('lent');
  const { path } = temporary;
  const platform = withNative(nodePlatform(), 'auto');
  const sharedDirectory = isShared ? `${path}/memory` : undefined;
  const config = { objectStore: 'memory:', cacheDirectory: `${path}/cache`, memoryBytes };
  const settings = {
    ...resolveStoreConfig(config, platform.host),
    ...{ backlogBytesMax: 6 * mib, drainMs: 0, sharedDirectory },
  };
  const objects = new FaultyObjectStore(new MemoryObjectStore(platform.clock), () => ({
    kind: 'fail-before',
  }));
  const store = await assembleStore({
    ...{ platform, logger: silentLogger, objects, transcoder: rawTranscoder, settings },
  });
  const daemon: Daemon = await startDaemon(store, doorOf('unix', path, 'daemon'));
  const { sharedMemory } = platform;
  const reader =
    sharedMemory === undefined || sharedDirectory === undefined
      ? undefined
      : SharedReader.open(sharedMemory, sharedDirectory);
  const filler = reader?.filler();
  return {
    ...{ store, url: daemon.addresses[0].url, filler },
    close: async () => {
      filler?.end();
      reader?.close();
      await daemon.stop();
      await temporary.remove();
    },
  };
}

function saveOf(
  { blocks }: Chain,
  options: { mayFill?: boolean; deadlineMs?: number } = {},
): Uint8Array {
  const { mayFill = true, deadlineMs = 20_000 } = options;
  const flags = { durable: undefined, fingerprint: undefined, isUnasked: false, isWhole: false };
  const announced = blocks.map(({ key, payload }) => ({
    ...{ key, length: payload.length, tokens: 128, position: undefined, hasDecodedTokens: false },
  }));
  const own = { mayFill, mayCompress: false, parent: undefined, blocks: announced };
  const call = { namespace, deadlineMs, ...flags, ...own };
  return encodeSaveCall(call);
}

describe('a daemon that lends memory', { skip: withoutNative() }, () => {
  let rig: Rig;
  let raw: RawFrames;
  before(async () => {
    rig = await open(true);
  });
  beforeEach(async () => {
    raw = await RawFrames.open(rig.url, 'ab'.repeat(16));
    assert.equal(await raw.outcome(0), 'welcome');
  });
  after(async () => {
    raw.close();
    await rig.close();
  });

  /** Begins a save, and gives the places for what is wanted of it. */
  async function begin(id: number, chain: Chain): Promise<readonly LentPlace[]> {
    raw.send('save', id, saveOf(chain));
    const wanted = await raw.frame(id);
    assert.equal(wanted.type, 'wanted');
    assert.equal(decodeWanted(wanted.body).grantBytes, 0);
    const lent = await raw.frame(id);
    assert.equal(lent.type, 'lent');
    return decodeLent(lent.body);
  }

  /** Fills places with the last blocks first, and gives what is to be said of it. */
  function fill(places: readonly LentPlace[], { blocks }: Chain): readonly number[] {
    return places.map((place, at) => {
      const { payload } = blocks[blocks.length - 1 - at];
      const crc = rig.filler?.fill(place, payload);
      assert.equal(crc, crc32c(payload));
      return crc32c(payload);
    });
  }

  async function assertServes(): Promise<void> {
    raw.send('lookup', 99, encodeKeysCall({ namespace, deadlineMs: 5000, keys: [] }));
    assert.equal(await raw.outcome(99), 'looked-up');
  }

  /** All but what is pending can be lent: nobody has kept memory that he does not need. */
  function assertFree(pendingBytes: number): void {
    const lease = rig.store.lease(heldMax - pendingBytes - 2 * mib);
    assert(lease !== undefined, 'memory was not given back');
    lease.release();
  }

  it('accepts what was filled, where it lies', async () => {
    const chain = chainOf('lent/whole', 3, 100_000);
    const places = await begin(1, chain);
    assert.equal(places.length, 3);
    assert.equal(new Set(places.map(({ number }) => number)).size, 3);
    raw.send('filled', 1, encodeFilled(fill(places, chain)));
    assert.equal(await raw.outcome(1), 'saved');
    const borrow = await rig.store.load(chain.keys);
    borrow.blocks.forEach(({ payload }, at) =>
      assert(Buffer.from(payload).equals(chain.blocks[at].payload), `block ${at}`),
    );
    borrow.release();
  });

  it('lends for what it wants of a save, and for nothing else', async () => {
    const chain = chainOf('lent/part', 4, 70_000);
    const known = sliceChain(chain, 0, 2);
    await rig.store.save(known.blocks);
    const rest = sliceChain(chain, 2);
    const places = await begin(1, chain);
    assert.equal(places.length, 2);
    raw.send('filled', 1, encodeFilled(fill(places, rest)));
    assert.equal(await raw.outcome(1), 'saved');
    assert.equal((await rig.store.lookup(chain.keys)).matched, 4);
  });

  it('has payloads below 64 KiB sent, as from a client that fills nothing', async () => {
    raw.send('save', 1, saveOf(chainOf('lent/short', 2, 65_535)));
    const { type, body } = await raw.frame(1);
    assert.equal(type, 'wanted');
    assert.equal(decodeWanted(body).grantBytes, 2 * 65_535);
    raw.send('cancel', 1);
    assert.match(await raw.outcome(1), /^ABORTED/);
  });

  it('takes the memory of a save back that was cancelled, and hears no more of it', async () => {
    const chain = chainOf('lent/cancelled', 5, mib);
    const places = await begin(1, chain);
    raw.send('cancel', 1);
    assert.match(await raw.outcome(1), /^ABORTED/);
    const [{ payload }] = chain.blocks;
    for (const place of places) assert.equal(rig.filler?.fill(place, payload), undefined);
    raw.send('filled', 1, encodeFilled(places.map(() => 0)));
    await assertServes();
    assert.equal((await rig.store.lookup(chain.keys)).matched, 0);
    assertFree(mib);
  });

  it('takes it back when the client leaves', async () => {
    const places = await begin(1, chainOf('lent/left', 5, mib));
    raw.close();
    const [place] = places;
    const payload = new Uint8Array(mib);
    while (rig.filler?.fill(place, payload) !== undefined) await new Promise(setImmediate);
    assertFree(mib);
  });

  for (const [what, crcs] of [
    ['fewer payloads than were lent', [1]],
    ['more payloads than were lent', [1, 2, 3]],
  ] as const) {
    it(`ends the connection of a client that has filled ${what}`, async () => {
      await begin(1, chainOf('lent/count', 2, 100_000));
      raw.send('filled', 1, encodeFilled(crcs));
      assert.match(await raw.outcome(0), /^INVALID .* 2 are due/);
    });
  }

  it('ends the connection of a client that has filled what was not lent', async () => {
    raw.send('save', 1, saveOf(chainOf('lent/never', 2, 100_000), { mayFill: false }));
    assert.equal((await raw.frame(1)).type, 'wanted');
    raw.send('filled', 1, encodeFilled([1, 2]));
    assert.match(await raw.outcome(0), /^INVALID memory is said to be filled/);
  });

  it('gives memory back that was filled for a save which it then refuses', async () => {
    // Each fits the backlog as long as the others are not accepted.
    const chains = Array.from({ length: 6 }, (_, i) => chainOf(`lent/refused ${i}`, 4, mib));
    const all: (readonly LentPlace[])[] = [];
    for (const [at, chain] of chains.entries()) all.push(await begin(at + 1, chain));
    assert.equal(rig.store.lease(heldMax - 20 * mib), undefined, 'most of it is lent');
    const outcomes: string[] = [];
    for (const [at, chain] of chains.entries()) {
      raw.send('filled', at + 1, encodeFilled(fill(all[at], chain)));
      outcomes.push(await raw.outcome(at + 1));
    }
    assert.equal(outcomes[0], 'saved');
    for (const outcome of outcomes.slice(1)) assert.match(outcome, /^BUSY .*backlog/);
    assertFree(5 * mib);
  });
});

describe('a daemon whose store lends no memory', () => {
  it('has the payloads sent, also by a client that would fill it', async () => {
    const rig = await open(false);
    const raw = await RawFrames.open(rig.url, 'ab'.repeat(16));
    assert.equal(await raw.outcome(0), 'welcome');
    raw.send('save', 1, saveOf(chainOf('lent/none', 2, 100_000)));
    const { type, body } = await raw.frame(1);
    assert.equal(type, 'wanted');
    assert.equal(decodeWanted(body).grantBytes, 200_000);
    raw.close();
    await rig.close();
  });
});
