import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openStore } from '../../src/index.ts';
import { connect } from '../../src/client.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { ServedStore } from '../../src/blocks/served-store.ts';
import { doorOf, startDaemon } from '../support/daemon-world.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { CuttingRelay } from '../support/cutting-relay.ts';
import type { Cut } from '../support/cutting-relay.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

const rounds = 25;
const cuts: readonly Exclude<Cut, 'none'>[] = [
  'in-answer-body',
  'in-request-body',
  'at-connect',
  'between-frames',
  'in-answer-body',
  'in-request-body',
  'between-frames',
  'at-connect',
];

/**
 * Goal: whatever the wire does, a caller sees no wrong byte, loses nothing that was accepted, and does
 * nothing about it. Method: a relay cuts 200 connections, half of them in the middle of a payload;
 * every call under way must succeed by itself, with the right bytes.
 */
it('200 connections are cut, 100 of them in mid-body, and no call fails or gives wrong bytes', async (context) => {
  const directory = await makeTemporaryDirectory('cuts');
  const cacheDirectory = `${directory.path}/cache`;
  const store = (await openStore({ objectStore: 'memory:', cacheDirectory })) as ServedStore;
  const daemon = await startDaemon(store, doorOf('tcp', directory.path, 'cuts'));
  const port = Number(daemon.addresses[0].url.split(':').at(-1));
  const relay = new CuttingRelay(port);
  const client = await connect(await relay.listen());
  const known = chainOf('cuts/known', 3, 150_000);
  await client.save(known.blocks);
  const parts = { client, relay, known };
  try {
    for (let round = 0; round < rounds; round += 1) {
      for (const [step, cut] of cuts.entries()) await cutOnce(parts, cut, `${round}/${step}`);
    }
    const { counts } = relay;
    context.diagnostic(`connections cut: ${JSON.stringify(counts)}`);
    const bodies = counts['in-request-body'] + counts['in-answer-body'];
    const all = bodies + counts['at-connect'] + counts['between-frames'];
    assert.ok(bodies >= 50 && all >= 200, `${all} cut, ${bodies} of them in mid-body`);
  } finally {
    await client.close();
    relay.close();
    await daemon.stop();
    await directory.remove();
  }
});

interface CutParts {
  readonly client: KvStore;
  readonly relay: CuttingRelay;
  readonly known: Chain;
}

/** Arms one cut, makes calls that meet it, and looks at what they gave. */
async function cutOnce(
  { client, relay, known }: CutParts,
  cut: Exclude<Cut, 'none'>,
  name: string,
): Promise<void> {
  if (cut === 'between-frames') relay.cutAll();
  if (cut === 'at-connect') relay.dropAll();
  if (cut !== 'between-frames') relay.cut = cut;
  const chain = cut === 'in-request-body' ? chainOf(`cuts/${name}`, 2, 150_000) : known;
  if (cut === 'in-request-body') {
    const { saved, known: twice } = await client.save(chain.blocks);
    assert.equal(saved + twice, 2);
  }
  const { keys, blocks } = chain;
  const borrow = await client.load(keys);
  assert.equal(borrow.reason, undefined);
  borrow.blocks.forEach(({ payload }, at) =>
    assert.ok(Buffer.from(payload).equals(blocks[at].payload), `${cut}, block ${at}`),
  );
  assert.equal(borrow.blocks.length, keys.length);
  borrow.release();
  // A machine that is busy answers a lookup late.
  assert.equal((await client.lookup(keys, { deadlineMs: 10_000 })).matched, keys.length);
  assert.equal(relay.cut, 'none', `${cut} has happened`);
}
