import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { blockObject, flipBitAt, rewriteObject } from '../support/stored-objects.ts';
import type { EngineResult, StorePlace } from './engine-job.ts';
import {
  EqualityScene,
  answer,
  blockTokens,
  prefixOf,
  prompts,
  withStore,
} from './equality-scene.ts';
import type { Configuration } from './equality-scene.ts';

/** Tokens of all blocks of the prompt, and with the tail up to its last token. */
const inBlocks = 5 * blockTokens;
const withTail = prompts.prompt.length - 1;

/** What all cases of a configuration share. */
interface Given {
  readonly scene: EqualityScene;
  /** A store that holds everything of the prompt, and what the process that filled it told. */
  readonly full: StorePlace;
  readonly filling: EngineResult;
}

/**
 * The proof that nothing changes: every run is a fresh process that restores what others stored, and
 * must say what an uncached process says, with the same probabilities bit for bit, and must have
 * restored exactly what it should. Two controls show that the comparison can fail. For `short` and
 * `main` the process that fills the store is the uncached one: it restores nothing.
 */
export function describeEquality(
  configuration: Configuration,
  extent: 'short' | 'main' | 'all',
): void {
  describe(`equal to an uncached process: ${configuration.name}`, () => {
    let given: Given;

    before(async () => {
      const scene = await EqualityScene.make(configuration);
      const full = await scene.newPlace();
      const job = { store: full, restore: 'never', ending: 'save' } as const;
      const filling = await scene.restart('prompt', job);
      if (extent !== 'all') scene.useAsReference('prompt', filling);
      given = { scene, full, filling };
    });
    after(() => given.scene.remove());

    const counts = extent === 'all' ? [4, 3, 2, 1] : [3];
    describePrefixes(() => given, counts);
    if (extent !== 'short') describeBucket(() => given);
    if (extent === 'all') describeSlotsAndTails(() => given);
  });
}

function describePrefixes(given: () => Given, counts: readonly number[]): void {
  it('a process that saves', async () => {
    const { scene, filling } = given();
    await scene.assertEqual(filling.runs[0], 'prompt');
    assert.equal(filling.statistics.savedBlocks, 5);
    // Where the prompt ended, and where the answer did.
    assert.equal(filling.statistics.savedTails, 2);
    assert.equal(filling.statistics.failures, 0);
  });

  it('restored after a restart: five blocks and the tail', async () => {
    const { scene, full, filling } = given();
    const result = await scene.restart('prompt', { store: full });
    await scene.assertEqual(result.runs[0], 'prompt');
    assertRestored(result, withTail);
    assert.equal(result.fingerprint, filling.fingerprint);
    assert.equal(result.stats.disk.hits, 6);
    assert.equal(result.stats.object.hits, 0);
  });

  it('another suffix after four shared blocks', async () => {
    const { scene, full } = given();
    const result = await scene.restart('suffix', { store: full });
    await scene.assertEqual(result.runs[0], 'suffix');
    assertRestored(result, 4 * blockTokens);
  });

  describe('a part of the blocks', () => {
    let part: StorePlace;
    before(async () => {
      part = await given().scene.copyPlace(given().full, 'all');
    });

    for (const count of counts) {
      it(`${count} of 5`, async () => {
        const { scene, filling } = given();
        const root = prefixOf(filling.fingerprint, prompts.prompt).keys[count];
        await withStore(part, (store) => store.delete({ kind: 'subtree', root }));
        const result = await scene.restart('prompt', { store: part });
        await scene.assertEqual(result.runs[0], 'prompt');
        assertRestored(result, count * blockTokens);
      });
    }
  });
}

function describeBucket(given: () => Given): void {
  it('restored from the bucket after the cache was wiped', async () => {
    const { scene, full } = given();
    const wiped = await scene.copyPlace(full, 'objects');
    const result = await scene.restart('prompt', { store: wiped });
    await scene.assertEqual(result.runs[0], 'prompt');
    assertRestored(result, withTail);
    assert.equal(result.stats.object.hits, 6);
    assert.equal(result.stats.disk.hits + result.stats.memory.hits, 0);
  });

  it('control: a flipped byte in the bucket ends the prefix before its block', async () => {
    const { scene, full, filling } = given();
    const damaged = await scene.copyPlace(full, 'objects');
    const { keys } = prefixOf(filling.fingerprint, prompts.prompt);
    await damageBlock(damaged, keys[3]);
    const result = await scene.restart('prompt', { store: damaged });
    await scene.assertEqual(result.runs[0], 'prompt');
    assertRestored(result, 3 * blockTokens);
    assert.ok(result.stats.corrupt >= 1, 'the damage was counted');
  });

  it('control: flipped bytes behind all checks change the answer', async () => {
    const { scene, full } = given();
    const result = await scene.restart('prompt', { store: full, fault: 'alter-payloads' });
    assertRestored(result, withTail);
    const { tokens } = await scene.reference('prompt');
    assert.notDeepEqual(result.runs[0].tokens, tokens);
  });
}

function describeSlotsAndTails(given: () => Given): void {
  it('all blocks and no tail', async () => {
    const { scene } = given();
    const store = await scene.newPlace();
    const head = { kind: 'prompt', prompt: prompts.prompt.slice(0, inBlocks), count: 0 } as const;
    await scene.run({ store, runs: [head], ending: 'save' });
    const result = await scene.restart('prompt', { store });
    await scene.assertEqual(result.runs[0], 'prompt');
    assertRestored(result, belowRest(scene));
  });

  it('a damaged object is replaced by the next save', async () => {
    const { scene, full, filling } = given();
    const damaged = await scene.copyPlace(full, 'objects');
    const { keys } = prefixOf(filling.fingerprint, prompts.prompt);
    await damageBlock(damaged, keys[3]);
    await scene.restart('prompt', { store: damaged, ending: 'save' });
    await rm(damaged.cache, { recursive: true });
    const healed = await scene.restart('prompt', { store: damaged });
    await scene.assertEqual(healed.runs[0], 'prompt');
    assertRestored(healed, withTail);
    assert.equal(healed.stats.corrupt, 0);
  });

  it('in each sequence of a context of three', async () => {
    const { scene, full } = given();
    const result = await scene.run({
      store: full,
      context: { sequences: 3 },
      runs: [0, 1, 2].map((sequence) => answer('prompt', sequence)),
    });
    for (const run of result.runs) await scene.assertEqual(run, 'prompt');
    assertRestored(result, 3 * withTail);
  });

  it('a much longer prompt: the tail serves, for what follows it is a batch', async () => {
    const { scene, full } = given();
    const result = await scene.restart('muchLonger', { store: full });
    await scene.assertEqual(result.runs[0], 'muchLonger');
    assertRestored(result, withTail);
  });

  it('a prompt that is one token longer: the tail would leave a batch of one', async () => {
    const { scene, full } = given();
    const result = await scene.restart('oneLonger', { store: full });
    await scene.assertEqual(result.runs[0], 'oneLonger');
    assertRestored(result, belowRest(scene));
  });

  it('a prompt that is three tokens longer: the tail serves where three are a batch', async () => {
    const { scene, full } = given();
    const result = await scene.restart('threeLonger', { store: full });
    await scene.assertEqual(result.runs[0], 'threeLonger');
    assertRestored(result, scene.configuration.regularBatchMin <= 3 ? withTail : belowRest(scene));
  });

  it('other tokens after the blocks: the tail is not applied', async () => {
    const { scene, full } = given();
    const result = await scene.restart('otherTail', { store: full });
    await scene.assertEqual(result.runs[0], 'otherTail');
    assertRestored(result, belowRest(scene));
  });
}

/** What is restored below a rest of some sixty tokens: they are computed with a block if too few. */
function belowRest({ configuration }: EqualityScene): number {
  return configuration.regularBatchMin <= 59 ? inBlocks : inBlocks - blockTokens;
}

function assertRestored(result: EngineResult, tokens: number): void {
  assert.equal(result.statistics.restoredTokens, tokens);
  assert.equal(result.statistics.failures, 0);
}

/** Flips a bit in the middle of the block's object. */
async function damageBlock(place: StorePlace, key: string): Promise<void> {
  const bucket = openObjectStore(`file://${place.objects}`, nodePlatform());
  const object = await blockObject(bucket, { namespace: 'default', key: parseBlockKey(key) });
  await rewriteObject(bucket, object, (bytes) => flipBitAt(bytes.length >> 1)(bytes));
  await bucket.close();
}
