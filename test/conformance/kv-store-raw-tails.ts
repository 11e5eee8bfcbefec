import assert from 'node:assert/strict';
import { chainOf } from '../support/chains.ts';
import { randomPayload } from '../support/payloads.ts';
import { eventually } from '../support/waiting.ts';
import type { KvStoreCase } from './kv-store-harness.ts';
import {
  assertRawTail,
  assertSameBytes,
  mib,
  onFreshHost,
  openStore,
  readRawTail,
  wipeAndReopen,
} from './kv-store-steps.ts';

const { seed: tip, keys } = chainOf('raw-tails', 2);

function version(round: number, byteLength = 400 + round): Uint8Array {
  return randomPayload(`version ${round}`, byteLength);
}

/** Raw tails: bytes under a tip, of which the last written count. */
export const rawTailCases: readonly KvStoreCase[] = [
  {
    name: 'a raw tail that was never saved is undefined',
    async run(world) {
      const store = await openStore(world, 'host');
      assert.equal(await store.loadRawTail(tip), undefined);
      await store.close();
    },
  },
  {
    name: 'the last raw tail saved is read at once',
    async run(world) {
      const store = await openStore(world, 'host');
      for (let round = 0; round < 10; round += 1) {
        const result = await store.saveRawTail(tip, version(round));
        assert.deepEqual([result.saved, result.savedBytes], [1, 400 + round]);
        await assertRawTail(store, tip, version(round));
      }
      assert.equal(await store.loadRawTail(keys[0]), undefined);
      await store.close();
    },
  },
  {
    name: 'raw tails of every size are read at once, after restart and after wipe',
    async run(world) {
      const sizes = [0, 1, 4097, mib + 3, 5];
      let store = await openStore(world, 'host');
      for (const [round, size] of sizes.entries()) {
        await store.saveRawTail(tip, version(round, size));
        await assertRawTail(store, tip, version(round, size));
        await store.close();
        store = await openStore(world, 'host');
        await assertRawTail(store, tip, version(round, size));
        store = await wipeAndReopen(world, 'host', store);
        await assertRawTail(store, tip, version(round, size));
      }
      await store.close();
    },
  },
  {
    name: 'a raw tail replaced many times in a row is the last one everywhere',
    async run(world) {
      const store = await openStore(world, 'host');
      for (let round = 0; round < 50; round += 1) await store.saveRawTail(tip, version(round));
      await store.flush();
      await assertRawTail(store, tip, version(49));
      await onFreshHost(world, 'other', (other) => assertRawTail(other, tip, version(49)));
      await store.close();
      const next = await openStore(world, 'host');
      await assertRawTail(next, tip, version(49));
      await next.close();
    },
  },
  {
    name: 'a raw tail replaced by equal bytes, or by bytes of equal length, is right',
    async run(world) {
      const store = await openStore(world, 'host');
      for (const round of [1, 1, 2, 1, 3, 3]) {
        await store.saveRawTail(tip, version(round, 512), { durable: true });
        await assertRawTail(store, tip, version(round, 512));
        await onFreshHost(world, `other-${round}`, (other) =>
          assertRawTail(other, tip, version(round, 512)),
        );
      }
      const wiped = await wipeAndReopen(world, 'host', store);
      await assertRawTail(wiped, tip, version(3, 512));
      await wiped.close();
    },
  },
  {
    name: 'a raw tail that another host replaced is seen within about a second',
    async run(world) {
      const writer = await openStore(world, 'writer');
      const reader = await openStore(world, 'reader');
      for (let round = 0; round < 3; round += 1) {
        await writer.saveRawTail(tip, version(round), { durable: true });
        await assertRawTail(writer, tip, version(round));
        const seen = async (): Promise<boolean> => {
          const bytes = await readRawTail(reader, tip);
          if (bytes === undefined) return false;
          if (bytes.length === version(round).length) {
            assertSameBytes(bytes, version(round), 'the new raw tail');
            return true;
          }
          assertSameBytes(bytes, version(round - 1), 'the raw tail before');
          return false;
        };
        await eventually(`the reader sees version ${round}`, seen, 10_000);
      }
      await reader.close();
      await writer.close();
    },
  },
  {
    name: 'two hosts that take turns see each other',
    async run(world) {
      const hosts = [await openStore(world, 'first'), await openStore(world, 'second')];
      for (let round = 0; round < 4; round += 1) {
        const payload = version(round);
        await hosts[round % 2].saveRawTail(tip, payload, { durable: true });
        const seen = async (): Promise<boolean> => {
          const bytes = await readRawTail(hosts[(round + 1) % 2], tip);
          return bytes !== undefined && Buffer.compare(bytes, payload) === 0;
        };
        await eventually(`the other host sees version ${round}`, seen, 10_000);
      }
      await Promise.all(hosts.map((host) => host.close()));
      await onFreshHost(world, 'third', (third) => assertRawTail(third, tip, version(3)));
    },
  },
  {
    name: 'a restarted host does not bring an old raw tail back',
    async run(world) {
      const first = await openStore(world, 'first');
      await first.saveRawTail(tip, version(0), { durable: true });
      await first.close();
      await onFreshHost(world, 'second', (second) =>
        second.saveRawTail(tip, version(1), { durable: true }),
      );
      const again = await openStore(world, 'first');
      const seen = async (): Promise<boolean> => {
        const bytes = await readRawTail(again, tip);
        return bytes !== undefined && Buffer.compare(bytes, version(1)) === 0;
      };
      await eventually('the restarted host sees the new one', seen, 10_000);
      await again.flush();
      await again.close();
      await onFreshHost(world, 'third', (third) => assertRawTail(third, tip, version(1)));
    },
  },
  {
    name: 'concurrent writers of a raw tail end with one value, the same everywhere',
    async run(world) {
      const store = await openStore(world, 'host');
      const rounds = Array.from({ length: 12 }, (_, round) => round);
      await Promise.all(rounds.map((round) => store.saveRawTail(tip, version(round))));
      const live = await readRawTail(store, tip);
      assert.ok(live !== undefined, 'one of them is there');
      const isOne = rounds.some((round) => Buffer.compare(version(round), live) === 0);
      assert.ok(isOne, 'it is one of those saved');
      await store.flush();
      await assertRawTail(store, tip, live);
      await onFreshHost(world, 'other', (other) => assertRawTail(other, tip, live));
      await store.close();
      const next = await openStore(world, 'host');
      await assertRawTail(next, tip, live);
      await next.close();
    },
  },
  {
    name: 'the bytes of a borrowed raw tail stay while it is replaced',
    async run(world) {
      const store = await openStore(world, 'host');
      await store.saveRawTail(tip, version(0, 50_000));
      const borrow = await store.loadRawTail(tip);
      assert.ok(borrow !== undefined);
      for (let round = 1; round < 20; round += 1) {
        await store.saveRawTail(tip, version(round, 50_000));
      }
      assertSameBytes(borrow.payload, version(0, 50_000), 'the borrowed raw tail');
      borrow.release();
      borrow.release();
      await assertRawTail(store, tip, version(19, 50_000));
      await store.close();
    },
  },
];
