import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { EngineResult, PromptRun, RunResult, StorePlace } from './engine-job.ts';
import {
  EqualityScene,
  answerTokens,
  assertLively,
  assertSameAnswer,
  blockTokens,
  prefixOf,
  randomTokens,
  withStore,
} from './equality-scene.ts';
import type { Configuration } from './equality-scene.ts';

/** Ends inside the fifth block, which the answer fills with decoded tokens. */
const firstPrompt = randomTokens('first', 600);
const question = randomTokens('question', 60);

/**
 * Goal: a conversation goes on in another process as if nothing had happened. Method: two turns in
 * one process, and the same with the process killed in between, after its answer was accepted.
 */
export function describeConversation(configuration: Configuration): void {
  describe(`a conversation in two processes: ${configuration.name}`, () => {
    let scene: EqualityScene;
    let place: StorePlace;
    let killed: EngineResult;
    let second: PromptRun;

    before(async () => {
      scene = await EqualityScene.make(configuration);
      place = await scene.newPlace();
      const runs = [{ kind: 'prompt', prompt: firstPrompt, count: 150 }] as const;
      killed = await scene.run({ store: place, runs, ending: 'die' });
      second = secondTurn(killed.runs[0]);
    });
    after(() => scene.remove());

    it('says the same, with the same probabilities, and restores all that was there', async () => {
      const runs = [{ kind: 'prompt', prompt: firstPrompt, count: 150 } as const, second];
      const uninterrupted = await scene.run({ runs, restore: 'never' });
      assertSameAnswer(uninterrupted.runs[0], killed.runs[0]);
      const resumed = await scene.run({ store: place, runs: [second] });
      assertSameAnswer(resumed.runs[0], uninterrupted.runs[1]);
      assertLively(resumed.runs[0]);
      assert.equal(resumed.statistics.restoredTokens, killed.runs[0].held.length);
      const { memory, disk, object } = resumed.stats;
      assert.equal(memory.hits + disk.hits + object.hits, 6);
    });

    it('marks what was decoded', async () => {
      const { keys } = prefixOf(killed.fingerprint, killed.runs[0].held);
      await withStore(place, async (store) => {
        const all = await store.load(keys);
        const flags = all.blocks.map(({ hasDecodedTokens }) => hasDecodedTokens);
        assert.deepEqual(flags, [false, false, false, false, true]);
        all.release();
        const exact = await store.load(keys, { exact: true });
        assert.deepEqual([exact.blocks.length, exact.reason], [4, 'decoded']);
        exact.release();
      });
    });

    it('exact: says what an uncached process says, and restores nothing decoded', async () => {
      const uncached = await scene.run({ runs: [second], restore: 'never' });
      const exact = await scene.run({ store: place, runs: [second], exact: true });
      assertSameAnswer(exact.runs[0], uncached.runs[0]);
      assert.equal(exact.statistics.restoredTokens, 4 * blockTokens);
    });
  });
}

/** The same with a chat session, whose wrapper makes tokens of the text of both sides. */
export function describeChat(configuration: Configuration): void {
  describe(`a chat session in two processes: ${configuration.name}`, () => {
    let scene: EqualityScene;
    before(async () => {
      scene = await EqualityScene.make(configuration);
    });
    after(() => scene.remove());

    it('says the same, and restores all that was there', async () => {
      const place = await scene.newPlace();
      const opening = 'the wombat digs a burrow and sleeps through the day, '.repeat(8);
      const first = { kind: 'chat', text: opening, count: 150 } as const;
      const next = { kind: 'chat', text: 'and what does it do at night?', count: 64 } as const;
      const uninterrupted = await scene.run({ runs: [first, next], restore: 'never' });
      const killed = await scene.run({ store: place, runs: [first], ending: 'die' });
      const [{ tokens, held, history }] = killed.runs;
      assert.deepEqual(tokens, uninterrupted.runs[0].tokens);
      const resumed = await scene.run({ store: place, runs: [{ ...next, history }] });
      assert.deepEqual(resumed.runs[0].tokens, uninterrupted.runs[1].tokens);
      assert.equal(resumed.runs[0].tokens.length, 64);
      assert.ok(held.length > 500, 'more than three blocks');
      // The wrapper ends the answer with another token than the model was about to say.
      assert.ok(resumed.statistics.restoredTokens >= held.length - 1);
    });
  });
}

/** The conversation so far, with the answer's last token, and a question. */
function secondTurn({ tokens }: RunResult): PromptRun {
  const prompt = [...firstPrompt, ...tokens, ...question];
  return { kind: 'prompt', prompt, continues: true, count: answerTokens };
}
