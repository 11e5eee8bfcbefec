import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { chainOfPayloads } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { CuttingHttpRelay } from '../support/cutting-http-relay.ts';
import type { ArmedCut, HttpCut } from '../support/cutting-http-relay.ts';
import { compressingDoor } from '../support/daemon-world.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import { smoothPayload } from '../support/payloads.ts';
import { seededRandom } from '../support/random.ts';
import { eventually } from '../support/waiting.ts';

const rounds = 26;
const payloadBytes = 150_000;
/** Both the shortest head and the shortest body are longer, a body that travels compressed too. */
const headBytesMax = 60;
const bodyBytesMax = 120_000;

/** In bodies of puts and of gets, in heads of both and of their answers, and where nothing is under way. */
const cuts: readonly (readonly [kind: HttpCut, operation: 'save' | 'load'])[] = [
  ['in-request-body', 'save'],
  ['in-answer-body', 'load'],
  ['in-request-head', 'save'],
  ['in-request-head', 'load'],
  ['in-answer-head', 'save'],
  ['in-answer-head', 'load'],
  ['at-connect', 'load'],
  ['between-requests', 'load'],
];

/**
 * Goal: whatever the wire does to HTTP, a caller sees no wrong byte, loses nothing that was accepted, and does nothing
 * about it. Method: a relay cuts 208 connections at places by a seed, half of the calls with payloads that travel
 * compressed; every call under way must succeed by itself, with the right bytes, and the daemon keeps nothing of what broke off.
 */
it('208 connections of HTTP are cut, and no call fails or gives wrong bytes', async (context) => {
  const rig = await openGuardedDaemon({ wire: compressingDoor() });
  const relay = new CuttingHttpRelay(Number(new URL(urlOf(rig, 'http')).port));
  const url = await relay.listen();
  const clients = [
    await connect(url, { wireCompression: 'off' }),
    await connect(url, { wireCompression: 'on' }),
  ];
  const known = chainFor('known');
  await clients[0].save(known.blocks);
  const random = seededRandom('http-cuts');
  try {
    for (const [at, [kind, operation]] of allCuts().entries()) {
      const most = kind.endsWith('body') ? bodyBytesMax : headBytesMax;
      const cut = { kind, operation, afterBytes: 1 + random.below(most) };
      const client = clients[Math.floor(at / cuts.length) % 2];
      if (kind === 'at-connect') await cutAtConnect({ url, relay, known }, { ...cut, kind });
      else await cutOnce({ client, relay, known }, { ...cut, kind }, String(at));
    }
    context.diagnostic(`connections of HTTP cut: ${JSON.stringify(relay.counts)}`);
    assert.equal(
      Object.values(relay.counts).reduce((sum, count) => sum + count, 0),
      rounds * cuts.length,
    );
    const bodies = relay.counts['in-request-body'] + relay.counts['in-answer-body'];
    assert.ok(bodies >= 50, `${bodies} cut in mid-body`);
    await eventually('nothing of a body that broke off is kept', async () => {
      const text = await (await fetch(`${urlOf(rig, 'http')}/metrics`)).text();
      return ['body_bytes', 'pinned_bytes'].every((name) =>
        text.includes(`\nwombatkv_http_${name} 0\n`),
      );
    });
  } finally {
    for (const client of clients) await client.close();
    relay.close();
    await rig.close();
  }
});

function allCuts(): readonly (typeof cuts)[number][] {
  return Array.from({ length: rounds }, () => cuts).flat();
}

function chainFor(name: string): Chain {
  return chainOfPayloads(
    `http-cuts/${name}`,
    [0, 1].map((at) => smoothPayload(`${name}/${at}`, payloadBytes)),
  );
}

interface CutParts {
  readonly client: Pick<KvStore, 'save' | 'load' | 'lookup'>;
  readonly relay: CuttingHttpRelay;
  readonly known: Chain;
}

/** The first connection of a client is cut before it has carried anything. */
async function cutAtConnect(
  { url, relay, known }: Omit<CutParts, 'client'> & { readonly url: string },
  cut: ArmedCut,
): Promise<void> {
  relay.arm(cut);
  const client = await connect(url);
  assert.equal(relay.armed, undefined, 'it has happened');
  await assertHeld(client, known);
  await client.close();
}

/** Arms one cut, makes the call that meets it, and looks at what is there then. */
async function cutOnce(
  { client, relay, known }: CutParts,
  { kind, ...rest }: Omit<ArmedCut, 'kind'> & { readonly kind: Exclude<HttpCut, 'at-connect'> },
  name: string,
): Promise<void> {
  if (kind === 'between-requests') relay.cutAll();
  else relay.arm({ kind, ...rest });
  const isSave = rest.operation === 'save';
  const chain = isSave ? chainFor(name) : known;
  if (isSave) {
    const { saved, known: twice } = await client.save(chain.blocks);
    assert.equal(saved + twice, chain.blocks.length);
  }
  await assertHeld(client, chain);
  assert.equal(relay.armed, undefined, `${kind} has happened`);
}

async function assertHeld(client: CutParts['client'], { keys, blocks }: Chain): Promise<void> {
  const borrow = await client.load(keys);
  assert.equal(borrow.reason, undefined);
  borrow.blocks.forEach(({ payload }, at) =>
    assert.ok(Buffer.from(payload).equals(blocks[at].payload), `block ${at}`),
  );
  assert.equal(borrow.blocks.length, keys.length);
  borrow.release();
  // A machine that is busy answers a lookup late.
  assert.equal((await client.lookup(keys, { deadlineMs: 10_000 })).matched, keys.length);
}
