import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { cachedLibrary } from '../../../tools/capi-build.ts';
import type { KvStore } from '../../../src/blocks/kv-store.ts';
import { BulkSink } from '../../../src/protocol/http1-sink.ts';
import type { World } from '../../conformance/kv-store-harness.ts';
import { withoutNative } from '../../support/c-compiler.ts';
import { chainOf, sliceChain } from '../../support/chains.ts';
import type { Chain } from '../../support/chains.ts';
import { testToolchain } from '../c-program.ts';
import { json, listenAsHttp } from '../http-peers.ts';
import { CLibrary } from './c-library.ts';
import { CStore } from './c-store.ts';
import { cHarness } from './c-world.ts';

const isSanitized = testToolchain().flavour !== 'plain';
const skip = isSanitized ? 'left to another lane: npm run test' : withoutNative();
const kib = 1024;
const mib = 1024 * kib;

/** Keys and payloads of a save as the peer is sent it, and its magic. */
interface Sent {
  readonly magic: string;
  readonly payloads: readonly { readonly key: string; readonly payload: Uint8Array }[];
}

function readSave(body: Uint8Array): Sent {
  const sink = new BulkSink(
    ({ records }) => ({ take: (index) => new Uint8Array(records[index].byteLength) }),
    body.length,
  );
  for (let at = 0; at < body.length;) {
    const space = sink.space();
    const part = body.subarray(at, at + space.length);
    space.set(part);
    sink.took(part.length);
    at += part.length;
  }
  sink.finish();
  const { head, payloads } = sink.result;
  return {
    magic: Buffer.from(body.subarray(0, 8)).toString('latin1'),
    payloads: head.records.map(({ key }, at) => ({ key, payload: payloads[at] })),
  };
}

/**
 * Goal: a save by the C library over HTTP goes in the form that its daemon takes, and asks the bucket for nothing.
 * Method: the library itself, against a real daemon whose calls on its bucket are counted, and against a peer that
 * reads the body with the server's own reader.
 */
describe('a save by the C library over HTTP', { skip }, () => {
  const built = cachedLibrary({ ...testToolchain(), flavour: 'plain' });
  const library = built.then(({ shared }) => shared);
  const harness = cHarness(library, 'http');
  let world: World | undefined;
  let store: KvStore;
  before(async () => {
    world = await harness.createWorld();
    store = await world.open('host');
  });
  after(async () => {
    await world?.dispose();
    await harness.close();
  });

  const heads = async (): Promise<number> => (await store.stats()).object.requests.head;

  const assertStored = async (chain: Chain): Promise<void> => {
    const borrow = await store.load(chain.keys);
    assert.equal(borrow.blocks.length, chain.keys.length);
    borrow.blocks.forEach(({ payload }, at) =>
      assert(Buffer.from(payload).equals(chain.blocks[at].payload), `block ${at}`),
    );
    borrow.release();
  };

  it('asks the bucket for none of its unknown blocks', async () => {
    const chain = chainOf('c over http/unknown', 40, 32 * kib);
    const before = await heads();
    const { saved, known } = await store.save(chain.blocks, { durable: true });
    assert.deepEqual({ saved, known }, { saved: 40, known: 0 });
    assert.equal(await heads(), before);
    await assertStored(chain);
  });

  it('of several groups is seen whole, and leaves out what is stored', async () => {
    const chain = chainOf('c over http/groups', 20, mib);
    await store.save(sliceChain(chain, 0, 3).blocks);
    await store.save(chain.blocks.slice(9, 11));
    const before = await heads();
    const expected = { saved: 15, known: 5, savedBytes: 15 * mib };
    assert.deepEqual(await store.save(chain.blocks), expected);
    assert.equal(await heads(), before);
    assert.equal((await store.lookup(chain.keys)).matched, 20);
    await assertStored(chain);
  });

  const daemons: readonly (readonly [string, { bulk?: number; gaps?: boolean }])[] = [
    ['a daemon that knows of no versions', {}],
    ['one that lets the first blocks be left out', { bulk: 2 }],
    ['one of today', { bulk: 2, gaps: true }],
  ];
  for (const [daemon, { bulk, gaps = false }] of daemons) {
    it(`gives ${daemon} every payload with its key`, async () => {
      const chain = chainOf('c over http/read', 5, 32 * kib);
      const isStored = (at: number): boolean => at < 2 || at === 3;
      const isLeftOut = (at: number): boolean => isStored(at) && (gaps || at < 2);
      const questions: unknown[] = [];
      let sent: Sent | undefined;
      const peer = await listenAsHttp({
        name: daemon,
        answer: ({ operation, keys, body }) => {
          if (operation === 'contains') {
            questions.push(JSON.parse(body.toString()));
            return json({ stored: keys.map((_, at) => isStored(at)), bulk, gaps });
          }
          sent = readSave(body);
          return json({ saved: 3, known: 2, savedBytes: 3 * 32 * kib });
        },
        said: /./,
      });
      const client = await CStore.open(new CLibrary(await library), {
        settings: [],
        httpAddress: peer.address,
      });
      await client.save(chain.blocks);
      await client.close();
      await peer.close();
      const lengths = chain.blocks.map(({ payload }) => payload.length);
      assert.deepEqual(questions, [{ keys: chain.keys, lengths }]);
      assert.equal(sent?.magic, bulk === undefined ? 'WMBTHTP1' : 'WMBTHTP2');
      assert.deepEqual(
        sent?.payloads.map(({ key }) => key),
        chain.keys,
      );
      sent?.payloads.forEach(({ payload }, at) =>
        assert(
          Buffer.from(payload).equals(isLeftOut(at) ? Buffer.alloc(0) : chain.blocks[at].payload),
          `block ${at}`,
        ),
      );
    });
  }
});
