import assert from 'node:assert/strict';
import { rename, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { Token } from 'node-llama-cpp';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { LlamaEngine } from '../../src/engines/llama/llama-engine.ts';
import { openStore } from '../../src/open-store.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { runCli } from '../cli/run-cli.ts';
import { flipBitAt, objectKeys, rewriteObject } from '../support/stored-objects.ts';
import { EngineScene, generate, randomTokens } from './engine-scene.ts';

const text = 'A wombat digs; a wallaby watches. '.repeat(12);

// Goal: why a prompt was not restored is counted by the engine, and told by `wombatkv explain` for
// the same prompt and model. Method: a real engine on the micro model, each time with a new store on
// the same bucket and no local copy.
describe('a prompt that is not restored', () => {
  let scene: EngineScene;
  let root = '';
  let prompt: Token[] = [];
  let fingerprint: string | undefined;

  before(async () => {
    scene = await EngineScene.make('misses');
    root = `${scene.directory.path}/objects`;
  });
  after(() => scene.remove());

  const withEngine = async (task: (engine: LlamaEngine, store: KvStore) => Promise<void>) => {
    const store = await openStore({
      ...{ objectStore: `file://${root}`, cacheDirectory: false, memoryBytes: 32 * 1024 ** 2 },
      lookupDeadlineMs: 10_000,
    });
    try {
      await task(await scene.engine(store), store);
    } finally {
      await scene.disposeAll();
      await store.close();
    }
  };

  const explain = async (...args: string[]) => {
    const model = ['--model', await scene.model('micro'), '--store', `file://${root}`];
    const { stdout, stderr } = await runCli(
      ['explain', '--json', '--text', text, ...model, ...args],
      {
        home: scene.directory.path,
      },
    );
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout);
  };

  it('counts as unknown once, and not when it is restored', async () => {
    await withEngine(async (engine) => {
      prompt = engine.model.tokenize(text);
      ({ fingerprint } = engine);
      await generate(engine.getSequence(), prompt, 2);
      assert.equal(engine.statistics.misses.unknown, 1);
      await engine.settle();
    });
    await withEngine(async (engine) => {
      await generate(engine.getSequence(), prompt, 2);
      const { restores, misses } = engine.statistics;
      assert.equal(restores, 1);
      assert.deepEqual(new Set(Object.values(misses)), new Set([0]));
    });
  });

  it('is explained with the identity of the model, and with what a restore is worth', async () => {
    const { had, blocks, reason, model, tokens, worth } = await explain();
    assert.equal(model.fingerprint, fingerprint);
    assert.equal(tokens, prompt.length);
    assert.equal(blocks, Math.floor((prompt.length - 1) / 128));
    assert.equal(had, blocks);
    // Which of the two depends on how fast this machine is at the moment.
    assert.equal(reason, worth.isWorthIt ? undefined : 'not-worth-it');
    assert.ok(worth.bytes > 0 && worth.prefillMs > 0);
    assert.ok(model.ingredients.includes('engine=llama.cpp'));
  });

  it('is explained with what differs from the models of the namespace', async () => {
    const { had, reason, model, notes, otherFingerprints } = await explain(
      '--context',
      '{"flashAttention":false}',
    );
    assert.deepEqual([had, reason], [0, 'unknown']);
    assert.notEqual(model.fingerprint, fingerprint);
    assert.equal(otherFingerprints[0].fingerprint, fingerprint);
    assert.match(notes.join(' '), /Which of them differs cannot be told from a hash/);
  });

  it('counts as corrupt when an object is, and as unavailable when the bucket is gone', async () => {
    const bucket = openObjectStore(`file://${root}`, nodePlatform());
    const blocks = (await objectKeys(bucket)).filter((key) => key.includes('/block/'));
    for (const key of blocks) await rewriteObject(bucket, key, flipBitAt(-1));
    await bucket.close();
    await withEngine(async (engine) => {
      await generate(engine.getSequence(), prompt, 2);
      assert.equal(engine.statistics.misses.corrupt, 1);
    });
    await rename(root, `${root}-away`);
    await writeFile(root, 'in the way');
    await withEngine(async (engine) => {
      await generate(engine.getSequence(), randomTokens('gone', 300), 2);
      assert.equal(engine.statistics.misses.unavailable, 1);
    });
  });
});
