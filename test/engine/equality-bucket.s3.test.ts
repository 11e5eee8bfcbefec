import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EngineResult, StorePlace } from './engine-job.ts';
import {
  attentionConfigurations,
  endConfigurations,
  typeConfigurations,
} from './equality-configurations.ts';
import { EqualityScene, blockTokens, prompts } from './equality-scene.ts';
import type { PromptName } from './equality-scene.ts';

const url = process.env['WOMBATKV_TEST_S3_URL'] ?? '';
assert.notEqual(url, '', 'started by npm run s3');

/** All that the matrix has with a directory. With the two ends all prompts, with the others those of two kinds. */
const configurations = [...endConfigurations, ...attentionConfigurations, ...typeConfigurations];

const inBlocks = 5 * blockTokens;

/**
 * The matrix with everything from a real bucket: each prompt is answered by a fresh process with an
 * empty cache, and must be what an uncached process answers, bit for bit.
 */
for (const [number, configuration] of configurations.entries()) {
  describe(`equal to an uncached process, from a bucket: ${configuration.name}`, () => {
    const { regularBatchMin } = configuration;
    const bucket = url.replace('?', `/equality-${process.pid}-${number}?`);
    let scene: EqualityScene;
    let filling: EngineResult;

    /** Another host: the same bucket, and nothing else. */
    const freshHost = async (): Promise<StorePlace> => ({ ...(await scene.newPlace()), bucket });

    before(async () => {
      scene = await EqualityScene.make(configuration);
      const job = { store: await freshHost(), restore: 'never', ending: 'save' } as const;
      filling = await scene.restart('prompt', job);
      scene.useAsReference('prompt', filling);
    });
    after(() => scene.remove());

    it('a process that saves', async () => {
      await scene.assertEqual(filling.runs[0], 'prompt');
      assert.equal(filling.statistics.savedBlocks, 5);
      assert.equal(filling.statistics.failures, 0);
      assert.equal(filling.stats.lastFailure, undefined);
    });

    const belowRest = regularBatchMin <= 59 ? inBlocks : inBlocks - blockTokens;
    const cases: readonly (readonly [PromptName, number])[] = [
      ['prompt', prompts.prompt.length - 1],
      ['suffix', 4 * blockTokens],
      ['threeLonger', regularBatchMin <= 3 ? prompts.prompt.length - 1 : belowRest],
      ['otherTail', belowRest],
    ];
    const isEnd = number < endConfigurations.length;
    for (const [name, restored] of isEnd ? cases : cases.slice(0, 2)) {
      it(`${name}: ${restored} tokens restored, and the same answer`, async () => {
        const result = await scene.restart(name, { store: await freshHost() });
        await scene.assertEqual(result.runs[0], name);
        assert.equal(result.statistics.restoredTokens, restored);
        assert.equal(result.statistics.failures, 0);
        assert.equal(result.stats.disk.hits + result.stats.memory.hits, 0);
        assert.ok(result.stats.object.hits >= Math.floor(restored / blockTokens));
      });
    }
  });
}
