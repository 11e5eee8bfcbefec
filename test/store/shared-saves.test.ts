import assert from 'node:assert/strict';
import { open, readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf, sliceChain } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { patience } from '../support/patience.ts';
import { startSharedDaemon } from '../support/shared-daemon.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { crc32c } from '../../src/base/crc32c.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { LentPlace } from '../../src/blocks/served-store.ts';
import { SharedReader } from '../../src/cache/shared-reader.ts';
import { rehearse } from '../../src/client/shared-rehearsal.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import {
  decodeLent,
  decodeWanted,
  encodeFilled,
  encodeSaveCall,
} from '../../src/protocol/write-messages.ts';
import { RawFrames } from '../support/raw-frames.ts';
import { connect } from '../../src/client/connect.ts';

const memoryBytes = 64 * 1024 * 1024;
const keysOf = (blocks: readonly BlockToSave[]): readonly BlockKey[] =>
  blocks.map(({ key }) => key);

describe('saves to a daemon that shares its memory', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let daemon: Daemon;
  let store: KvStore;
  /** The same daemon as another client sees it. */
  let other: KvStore;
  let url: string;
  let memoryPath: string;

  before(async () => {
    temporary = await makeTemporaryDirectory('known');
    ({ daemon, url, memoryPath } = await startSharedDaemon(temporary.path, memoryBytes));
    store = await connect(url.replace('unix:', 'shm:'), patience);
    other = await connect(url, patience);
  });
  after(async () => {
    await store.close();
    await other.close();
    await daemon.stop();
    await temporary.remove();
  });

  /** Blocks that the daemon was asked to save, and had. */
  async function knownToDaemon(): Promise<number> {
    return (await other.stats()).known;
  }

  it('is answered without a call, and counted', async () => {
    const chain = chainOf('known', 6, 100_000);
    assert.equal((await store.save(chain.blocks)).saved, 6);
    const [before, own] = [await knownToDaemon(), (await store.stats()).known];
    const expected = { saved: 0, known: 6, savedBytes: 0 };
    assert.deepEqual(await store.save(chain.blocks), expected);
    assert.deepEqual(await store.save(chain.blocks, { durable: false }), expected);
    assert.equal(await knownToDaemon(), before);
    assert.equal((await store.stats()).known, own + 12);
  });

  it('asks the daemon when it is to be durable', async () => {
    const chain = chainOf('durable', 3, 100_000);
    await store.save(chain.blocks);
    const before = await knownToDaemon();
    assert.equal((await store.save(chain.blocks, { durable: true })).known, 3);
    assert.equal(await knownToDaemon(), before + 3);
  });

  it('asks the daemon when a block is not there, or not in that namespace', async () => {
    const chain = chainOf('longer', 5, 100_000);
    await store.save(sliceChain(chain, 0, 4).blocks);
    assert.deepEqual(await store.save(chain.blocks), { saved: 1, known: 4, savedBytes: 100_000 });
    const namespace = parseNamespace('elsewhere');
    assert.equal((await store.save(chain.blocks, { namespace })).saved, 5);
  });

  it('asks the daemon for what was deleted', async () => {
    const chain = chainOf('deleted', 3, 100_000);
    await store.save(chain.blocks, { durable: true });
    await store.delete({ kind: 'blocks', keys: chain.keys });
    assert.equal((await store.save(chain.blocks)).saved, 3);
  });

  it('is found by a client that has rehearsed, which pins nothing of it', async () => {
    const chain = chainOf('rehearsed', 3, 100_000);
    await store.save(chain.blocks);
    const { sharedMemory } = withNative(nodePlatform(), 'auto');
    assert(sharedMemory !== undefined);
    const reader = SharedReader.open(sharedMemory, memoryPath);
    assert(reader !== undefined);
    const namespace = parseNamespace('default');
    rehearse({ reader, namespace, look: (blocks) => reader.find(namespace, keysOf(blocks)) });
    assert.equal(reader.find(namespace, chain.keys), 3);
    const clients = await readFile(`${memoryPath}/clients`);
    const hazards = new BigUint64Array(clients.buffer, clients.byteOffset, clients.length / 8);
    // A client begins with a line that holds no hazards.
    assert(hazards.every((hazard, at) => at % 1024 < 8 || hazard === 0n));
    reader.close();
  });

  it('refuses what any save refuses', async () => {
    const chain = chainOf('refused', 2, 100_000);
    await store.save(chain.blocks);
    const signal = AbortSignal.abort();
    await assert.rejects(store.save(chain.blocks, { signal }), { code: 'ABORTED' });
  });

  // Goal: what is in memory is answered before its arguments are checked in full; no caller may see that.
  it('refuses wrong arguments with the words of a client without shared memory', async () => {
    const { keys, blocks } = chainOf('misuse', 3, 100_000);
    await store.save(blocks);
    const [first, second, third] = keys;
    const wide = String.fromCharCode(third.charCodeAt(5) + 256);
    const wrongKeys: readonly (readonly string[])[] = [
      [first, second, third.replace(/[a-f]/, (letter) => letter.toUpperCase())],
      [first, `${second.slice(0, 5)}${wide}${second.slice(6)}`],
      [first, second.slice(0, 63), `${second.slice(63)}${third}`],
      [first, second.slice(0, 63)],
      [first, `${second}0`],
    ];
    const callsOf = (one: KvStore): readonly (() => Promise<unknown>)[] => [
      ...wrongKeys.flatMap((texts) => {
        const wrong = texts as readonly BlockKey[];
        const saved = wrong.map((key) => ({ ...blocks[0], key }));
        return [() => one.lookup(wrong), () => one.load(wrong), () => one.save(saved)];
      }),
      () => one.lookup([first, 5 as never]),
      () => one.load(keys, { deadlineMs: -1 }),
      () => one.load(keys, { fingerprint: 'abc' }),
      () => one.lookup(keys, { deadlineMs: Number.NaN }),
      () => one.save(blocks, { parent: 'abc' as BlockKey }),
      () => one.save([blocks[0], { ...blocks[1], tokens: -1 }]),
      () => one.save([blocks[0], { ...blocks[1], payload: [1] as never }]),
    ];
    const expected = callsOf(other);
    for (const [index, call] of callsOf(store).entries()) {
      const refusal: unknown = await expected[index]().catch((error: unknown) => error);
      assert(refusal instanceof TypeError || refusal instanceof RangeError, String(refusal));
      await assert.rejects(call, { name: refusal.name, message: refusal.message });
    }
    const borrow = await store.load(keys);
    assert.deepEqual([borrow.blocks.length, borrow.blocks[0].tier], [3, 'memory']);
    borrow.release();
  });

  /** Bytes of one block of these saves: long enough to be put into lent memory. */
  const length = 200_000;
  const fillingFlags = {
    ...{ durable: undefined, fingerprint: undefined, parent: undefined },
    ...{ isUnasked: false, isWhole: false, mayFill: true, mayCompress: false },
    ...{ namespace: parseNamespace('default'), deadlineMs: 5000 },
  };

  async function greeted(id: string): Promise<RawFrames> {
    const raw = await RawFrames.open(url, id.repeat(16));
    assert.equal((await raw.frame(0)).type, 'welcome');
    return raw;
  }

  /** Announces a save by hand; gives the places that the daemon lends for it. */
  async function announce(
    raw: RawFrames,
    chain: Chain,
    deadlineMs = 5000,
  ): Promise<readonly LentPlace[]> {
    const blocks = chain.blocks.map(({ key, payload }) => ({
      ...{ key, length: payload.length, tokens: 128, position: undefined },
      hasDecodedTokens: false,
    }));
    raw.send('save', 1, encodeSaveCall({ ...fillingFlags, deadlineMs, blocks }));
    const wanted = await raw.frame(1);
    assert.equal(wanted.type, 'wanted');
    assert.equal(decodeWanted(wanted.body).grantBytes, 0);
    const lent = await raw.frame(1);
    assert.equal(lent.type, 'lent');
    return decodeLent(lent.body);
  }

  /** The number of the loan that the daemon makes now; each has the one after the last. */
  async function nextLoan(name: string): Promise<number> {
    const raw = await greeted('ae');
    const [{ number }] = await announce(raw, chainOf(name, 1, length));
    raw.close();
    return number;
  }

  it('is lent memory for each long block that is wanted of a client on the host, and of no other', async () => {
    const chain = chainOf('loans', 7, length);
    await other.save(sliceChain(chain, 0, 2).blocks);
    const first = await nextLoan('loans/first');
    assert.equal((await store.save(chain.blocks)).saved, 5);
    assert.equal(await nextLoan('loans/second'), first + 1 + 5);
    await store.save(chainOf('loans/short', 20, 20_000).blocks);
    await other.save(chainOf('loans/over the socket', 4, length).blocks);
    assert.equal(await nextLoan('loans/third'), first + 7);
  });

  it('takes what another program wrote into its files by the rules of the protocol', async () => {
    const chain = chainOf('by hand', 3, length);
    const raw = await greeted('ab');
    const places = await announce(raw, chain);
    assert.equal(places.length, 3);
    const payloads = chain.blocks.map(({ payload }) => payload).reverse();
    for (const [index, { segment, offset, salt, number }] of places.entries()) {
      const file = await open(`${memoryPath}/segment-${segment}`, 'r+');
      const stamp = Buffer.alloc(8);
      const loans = await open(`${memoryPath}/loans`, 'r');
      await loans.read(stamp, 0, 8, (number % 16_384) * 8);
      await loans.close();
      assert.deepEqual([stamp.readUInt32LE(0), stamp.readUInt32LE(4)], [salt, number]);
      await file.write(payloads[index], 0, length, offset * 4096 + 2304);
      await file.close();
    }
    raw.send('filled', 1, encodeFilled(payloads.map((payload) => crc32c(payload))));
    assert.equal(await raw.outcome(1), 'saved');
    raw.close();
    for (const reading of [store, other]) {
      const borrow = await reading.load(chain.keys);
      assert.deepEqual(
        borrow.blocks.map(({ payload }) => Buffer.from(payload)),
        chain.blocks.map(({ payload }) => Buffer.from(payload)),
      );
      borrow.release();
    }
    await other.flush();
  });

  for (const [what, crcs] of [
    ['more payloads than there are', [1, 2, 3]],
    ['fewer payloads than are due', [1]],
  ] as const) {
    it(`ends the connection of a client that says to have filled ${what}`, async () => {
      const raw = await greeted('ac');
      await announce(raw, chainOf(`wrong count ${what}`, 2, length));
      raw.send('filled', 1, encodeFilled(crcs));
      assert.match(await raw.outcome(0), /^INVALID /);
      raw.close();
    });
  }

  it('gets its memory back from clients that leave, and from calls that run out of time', async () => {
    await other.flush();
    // Thirty times four MiB are more than may be lent at a time: without them the socket would be offered.
    for (let i = 0; i < 30; i += 1) {
      const raw = await greeted('ad');
      await announce(raw, chainOf(`leaves ${i}`, 4, 1024 * 1024), i % 2 === 0 ? 5000 : 50);
      if (i % 2 === 1) assert.match(await raw.outcome(1), /^ABORTED the deadline/);
      raw.close();
    }
    assert.equal((await store.save(chainOf('after them', 8, 1024 * 1024).blocks)).saved, 8);
  });
});
