import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { chainOf, chainOfPayloads } from '../../test/support/chains.ts';
import type { Chain } from '../../test/support/chains.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { crc32cByTable } from '../base/crc32c.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import { CommitRing } from './commit-ring.ts';
import { ringDataStart } from './ring-layout.ts';
import type { RingSave } from './ring-layout.ts';
import { RingWriter } from './ring-writer.ts';
import type { SaveToLeave } from './ring-writer.ts';
import { sharedPaths } from './shared-layout.ts';

const namespace = parseNamespace('täg');
const dataBytes = 8192;
const seed = 0x5a17c0de;
const offer = { number: 1, byteLength: ringDataStart + dataBytes };

function saveOf({ blocks, keys }: Chain, more: Partial<SaveToLeave> = {}): SaveToLeave {
  return { namespace, parent: undefined, fingerprint: undefined, blocks, keys, ...more };
}

describe('a ring as its client in Node has it', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let memory: SharedMemory;
  let ring: CommitRing;
  let writer: RingWriter;

  beforeEach(async () => {
    temporary = await makeTemporaryDirectory('ring-writer');
    const { sharedMemory } = withNative(nodePlatform(), 'auto');
    assert(sharedMemory !== undefined);
    memory = sharedMemory;
    const path = sharedPaths.ring(temporary.path, 1);
    ring = new CommitRing(memory, { number: 1, path }, { dataBytes, seed });
    while (ring.takeMemory());
    writer = open(offer.byteLength) ?? assert.fail('it is a ring');
  });
  afterEach(() => temporary.remove());

  function open(byteLength: number): RingWriter | undefined {
    return RingWriter.open(memory, temporary.path, { number: 1, byteLength });
  }

  /** What the store takes next: the first save that waits. */
  function take(): RingSave {
    for (;;) {
      const { units, save } = ring.first();
      ring.advance(units);
      if (save !== undefined) return save;
    }
  }

  it('gives the store what was saved, again and again over the end of its data', () => {
    for (let round = 0; round < 30; round += 1) {
      const sizes = [round * 37, 0, 1000 + round].map((size) => new Uint8Array(size).fill(round));
      const chain = chainOfPayloads(`round ${round}`, sizes);
      const [parent, fingerprint] = chainOf(`before ${round}`, 2).keys;
      const before = round % 2 === 0 ? { parent } : { parent, fingerprint };
      const blocks = chain.blocks.map((block, index) =>
        index === 1 ? { key: block.key, payload: block.payload, hasDecodedTokens: true } : block,
      );
      const end = writer.leave(saveOf({ ...chain, blocks }, before));
      assert.equal(end, round === 0 ? 'left with news' : 'left');
      const save = take();
      assert.deepEqual(
        [save.namespace, save.parent, save.fingerprint],
        [namespace, parent, round % 2 === 0 ? undefined : fingerprint],
      );
      assert.deepEqual(
        save.blocks.map(({ crc: _crc, ...rest }) => rest),
        chain.blocks.map(({ key, payload, tokens, position }, index) => ({
          ...{ key, length: payload.length, payload: Uint8Array.from(payload) },
          tokens: index === 1 ? 0 : tokens,
          position: index === 1 ? undefined : position,
          hasDecodedTokens: index === 1,
        })),
      );
    }
  });

  it('keeps names apart that differ behind a zero', () => {
    for (const name of ['a', 'a\0b', 'a\0c']) {
      const chain = chainOf(name, 1, 10);
      writer.leave(saveOf(chain, { namespace: parseNamespace(name) }));
      assert.equal(take().namespace, name);
    }
  });

  it('refers to payloads that lie in lent memory', () => {
    assert.equal(writer.loans(1, 100_000), undefined);
    assert.equal(writer.want(2, 100_000), true);
    assert.deepEqual(ring.wanted, { length: 100_000, count: 2 });
    const places = [
      { segment: 1, offset: 77, salt: seed, number: 5 },
      { segment: 3, offset: 0, salt: seed, number: 6 },
    ];
    for (const place of places) ring.offer(place, 100_000);
    assert.equal(writer.loans(3, 100_000), undefined, 'there are two');
    assert.equal(writer.loans(2, 100_001), undefined, 'they are for another length');
    assert.deepEqual(writer.loans(2, 100_000), places);
    const chain = chainOf('lent', 2, 100_000);
    const crcs = chain.blocks.map(({ payload }) => crc32cByTable(0, payload));
    assert.equal(writer.leave(saveOf(chain), { places, crcs }), 'left');
    assert.equal(writer.loans(1, 100_000), undefined, 'they are used');
    const taken = take().blocks.map(({ key, crc, length, payload }) => [key, crc, length, payload]);
    assert.deepEqual(
      taken,
      places.map(({ segment, offset, number }, index) => [
        ...[chain.keys[index], crcs[index], 100_000, { segment, offset, number }],
      ]),
    );
  });

  it('is full until the store takes something, and takes nothing while it is paused', () => {
    const chains = [0, 1, 2].map((index) => chainOf(`full ${index}`, 1, 3500));
    assert.equal(writer.leave(saveOf(chains[0])), 'left with news');
    ring.isPaused = true;
    assert.equal(writer.leave(saveOf(chains[1])), 'full');
    ring.isPaused = false;
    assert.equal(writer.leave(saveOf(chains[1])), 'left');
    assert.equal(writer.leave(saveOf(chains[2])), 'full');
    take();
    assert.equal(writer.leave(saveOf(chains[2])), 'left');
    assert.deepEqual(
      [take().blocks[0].key, take().blocks[0].key],
      [chains[1].keys[0], chains[2].keys[0]],
    );
  });

  it('takes nothing once it is closed, and no more than a ring is for', () => {
    assert.equal(writer.leave(saveOf(chainOf('long', 1, 16_385))), 'too long');
    const wide = chainOf('wide', 1).keys[0].toUpperCase();
    const [block] = chainOf('wide', 1).blocks;
    assert.equal(writer.leave({ ...saveOf(chainOf('wide', 1)), keys: [wide as never] }), 'no key');
    assert.equal(ring.hasNews, false);
    assert.equal(writer.settle(), true);
    ring.close();
    assert.equal(writer.leave(saveOf({ ...chainOf('late', 1), blocks: [block] })), 'closed');
    assert.equal(writer.settle(), false);
    assert.equal(ring.hasNews, false);
  });

  it('knows what it left and the store has not taken', () => {
    const chain = chainOf('own', 2);
    writer.leave(saveOf(chain));
    writer.settle();
    assert.equal(writer.has(namespace, chain.keys[1]), true);
    assert.equal(writer.has(parseNamespace('other'), chain.keys[1]), false);
    take();
    assert.equal(writer.has(namespace, chain.keys[1]), true, 'it has not looked');
    writer.settle();
    assert.equal(writer.has(namespace, chain.keys[1]), false);
  });

  it('is none of another length than the store says, and none that was used', () => {
    assert.equal(open(offer.byteLength - 64), undefined);
    writer.leave(saveOf(chainOf('used', 1)));
    assert.equal(open(offer.byteLength), undefined);
  });

  it('tells of news again when nobody could be told', () => {
    assert.equal(writer.leave(saveOf(chainOf('first', 1, 10))), 'left with news');
    assert.equal(writer.leave(saveOf(chainOf('second', 1, 10))), 'left');
    writer.untold();
    assert.equal(writer.leave(saveOf(chainOf('third', 1, 10))), 'left with news');
  });
});
