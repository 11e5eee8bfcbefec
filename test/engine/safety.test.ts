import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import { StoreError } from '../../src/base/errors.ts';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import type { LlamaEngine, LlamaEngineOptions } from '../../src/llama.ts';
import { withMethods } from './altering-store.ts';
import { EngineScene, generate, randomTokens, stateFiles } from './engine-scene.ts';

const prompt = randomTokens('safety', 700);
const bos = 256 as Token;
/** Every block of it has the same tokens, wherever cells were moved. */
const monotonous = new Array<Token>(700).fill(65 as Token);

/** What uncached engines said. */
const references = new Map<string, Token[]>();

let scene: EngineScene;
before(async () => {
  scene = await EngineScene.make('safety');
});
afterEach(() => scene.disposeAll());
after(() => scene.remove());

describe('a sequence whose cells were moved is not stored', () => {
  const starts: readonly [string, Token[]][] = [
    ['from its first token: all is computed again', prompt.slice(0, 200)],
    ['after its first token: cells are moved', [bos, ...prompt.slice(0, 199)]],
  ];
  for (const [name, start] of starts) {
    it(`shifted by the engine ${name}`, async () => {
      const store = await scene.store();
      const engine = await scene.engine(store, { context: { contextSize: 256 } });
      const sequence = engine.getSequence();
      assert.equal((await generate(sequence, start, 400)).length, 400);
      const shifted = sequence.contextTokens;
      await engine.settle();
      const { tainted, failures } = engine.statistics;
      assert.deepEqual({ tainted, failures }, { tainted: 1, failures: 0 });
      await assertNothingWrong(store, start);
      await assertNothingWrong(store, shifted);
    });
  }

  const ranges = [
    [{ start: 300, end: 310 }],
    [{ start: 310, end: 300 }],
    [
      { start: 500, end: 700 },
      { start: 300, end: 301 },
    ],
  ];
  for (const given of ranges) {
    it(`erased in the middle: ${JSON.stringify(given)}`, async () => {
      const store = await scene.store();
      const engine = await scene.engine(store);
      const sequence = engine.getSequence();
      await sequence.evaluateWithoutGeneratingNewTokens(monotonous.slice());
      await sequence.eraseContextTokenRanges(given);
      await sequence.evaluateWithoutGeneratingNewTokens(monotonous.slice(0, 100));
      await engine.settle();
      const { savedBlocks, tainted, failures } = engine.statistics;
      assert.deepEqual(
        { savedBlocks, tainted, failures },
        { savedBlocks: 0, tainted: 1, failures: 0 },
      );
      await assertNothingWrong(store, monotonous);
    });
  }

  it('what was saved before stays right', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    await sequence.evaluateWithoutGeneratingNewTokens(monotonous.slice());
    await engine.settle();
    await sequence.eraseContextTokenRanges([{ start: 300, end: 310 }]);
    await generate(sequence, monotonous.slice(0, 100), 4);
    await engine.settle();
    // A stored tail brought sound cells back, so that what followed is stored.
    assert.deepEqual([engine.statistics.restores, engine.statistics.savedBlocks], [1, 6]);
    await assertNothingWrong(store, monotonous);
  });

  it('erased at its beginning: all is computed again, and stored', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice());
    await sequence.eraseContextTokenRanges([{ start: 0, end: 10 }]);
    await engine.settle();
    assert.equal(engine.statistics.savedBlocks, 5);
    await assertNothingWrong(store, prompt.slice(10));
  });

  it('is stored again when it was cleared', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    await sequence.evaluateWithoutGeneratingNewTokens(monotonous.slice());
    await sequence.eraseContextTokenRanges([{ start: 3, end: 9 }]);
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(monotonous.slice());
    await engine.settle();
    assert.equal(engine.statistics.savedBlocks, 5);
    await assertNothingWrong(store, monotonous);
  });

  it('nor is one whose state the program loaded itself', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store, { context: { sequences: 2 } });
    const [one, other] = [engine.getSequence(), engine.getSequence()];
    const path = join(scene.directory.path, 'foreign.state');
    await one.evaluateWithoutGeneratingNewTokens(monotonous.slice());
    await one.eraseContextTokenRanges([{ start: 50, end: 60 }]);
    await one.saveStateToFile(path);
    await one.clearHistory();
    await other.loadStateFromFile(path, { acceptRisk: true });
    await other.evaluateWithoutGeneratingNewTokens(monotonous.slice(0, 100));
    await engine.settle();
    assert.equal(engine.statistics.savedBlocks + engine.statistics.savedTails, 0);
    await assertNothingWrong(store, monotonous);
  });
});

describe('what a fresh prefill would not compute is marked', () => {
  /** Flash attention computes small batches in another way: these cells differ. */
  const marked: readonly [
    string,
    (sequence: LlamaContextSequence, other: LlamaContextSequence) => Promise<void>,
  ][] = [
    [
      'a block that was prefilled in two parts',
      async (sequence) => {
        await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, 650));
        await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(650));
        await sequence.evaluateWithoutGeneratingNewTokens(randomTokens('more', 100));
      },
    ],
    [
      'a block whose end replaced another',
      async (sequence) => {
        await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, 650));
        await sequence.eraseContextTokenRanges([{ start: 645, end: 650 }]);
        await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(645));
        await sequence.evaluateWithoutGeneratingNewTokens(randomTokens('more', 100));
      },
    ],
    [
      'a prompt that its caller cut',
      async (sequence) => {
        await sequence.controlledEvaluate([...prompt, ...randomTokens('more', 100)]);
      },
    ],
    [
      'a prompt whose batches it shared with another',
      async (sequence, other) => {
        const longer = [...prompt, ...randomTokens('more', 100)];
        await Promise.all([
          sequence.evaluateWithoutGeneratingNewTokens(longer),
          generate(other, randomTokens('beside', 700), 4),
        ]);
      },
    ],
  ];
  for (const [name, compute] of marked) {
    it(name, async () => {
      const store = await scene.store();
      const engine = await scene.engine(store, { context: { sequences: 2 } });
      await compute(engine.getSequence(), engine.getSequence());
      await engine.settle();
      assert.ok(engine.statistics.savedBlocks >= 5);
      assert.equal(engine.statistics.failures, 0);
      const longer = [...prompt, ...randomTokens('more', 101)];
      for (const tokens of [prompt, longer]) {
        const exact = await scene.engine(store, { exact: true });
        const said = await probabilities(exact, tokens);
        const reference = await scene.engine(await scene.store(), { restore: 'never' });
        assert.deepEqual(said, await probabilities(reference, tokens));
        assert.ok(exact.statistics.restoredTokens <= 640);
      }
    });
  }

  it('but not a tail of a block that was cut: it is what a fresh prefill computes', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    const longer = [...prompt, ...randomTokens('more', 100)];
    await sequence.evaluateWithoutGeneratingNewTokens(longer);
    await sequence.adaptStateToTokens(prompt.slice(0, -1), false);
    await engine.settle();
    const exact = await scene.engine(store, { exact: true });
    const said = await probabilities(exact, prompt);
    const reference = await scene.engine(await scene.store(), { restore: 'never' });
    assert.deepEqual(said, await probabilities(reference, prompt));
    assert.equal(exact.statistics.restoredTokens, prompt.length - 1);
  });

  it('and what any size of a batch computes is the same', async () => {
    const store = await scene.store();
    await fill(store, prompt.slice(0, 2 * 128 + 1));
    for (const batchSize of [128, 200, 300, 1024]) {
      const engine = await scene.engine(store, { exact: true, context: { batchSize } });
      const reference = await scene.engine(store, { restore: 'never' });
      assert.deepEqual(await probabilities(engine, prompt), await probabilities(reference, prompt));
      assert.equal(engine.statistics.restoredTokens, 256);
    }
  });

  /**
   * Goal: what was decoded is marked as such though the sequence moved on while it was saved.
   * Method: the store clears the sequence when the first payload comes.
   */
  it('also when the sequence is cleared while it is saved', async () => {
    const saved: BlockToSave[] = [];
    const inner = await scene.store();
    const store = withMethods(inner, {
      saveTail: async (...given) => {
        await sequence.clearHistory();
        return inner.saveTail(...given);
      },
      save: (blocks, options) => {
        saved.push(...blocks);
        return inner.save(blocks, options);
      },
    });
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    await generate(sequence, prompt.slice(), 200);
    await engine.settle();
    const flags = saved.map(({ hasDecodedTokens }) => hasDecodedTokens);
    assert.deepEqual(flags, [false, false, false, false, false, true, true]);
  });
});

describe('an engine without a store that works', () => {
  const failures: readonly [string, () => never][] = [
    ['throws StoreError', () => fail(new StoreError('UNAVAILABLE', 'gone (test)'))],
    ['throws any error', () => fail(new Error('anything (test)'))],
  ];
  for (const [name, failing] of failures) {
    it(`goes on when it ${name} on every call, and counts`, async () => {
      const store = withMethods(await scene.store(), failingMethods(failing));
      const engine = await scene.engine(store);
      const said = await generate(engine.getSequence(), prompt.slice(), 32);
      await engine.settle();
      assert.deepEqual(said, await uncached(prompt, 32));
      // The lookup, and the save.
      assert.equal(engine.statistics.failures, 2);
      assert.deepEqual(await stateFiles(), []);
    });
  }

  it('is one with a model that slides: it says why, and works', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store, { name: 'tiny-gemma3' });
    assert.match(engine.uncachedReason ?? '', /sliding window of 256/);
    assert.equal(engine.fingerprint, undefined);
    const said = await generate(engine.getSequence(), prompt.slice(0, 300), 8);
    assert.equal(said.length, 8);
    await engine.settle();
    assert.equal((await store.stats()).saved, 0);
  });

  it('keeps what the sequence holds when stored payloads have the wrong size', async () => {
    const inner = await scene.store();
    await fill(inner, prompt);
    const store = withMethods(inner, {
      load: async (...given) => {
        const borrow = await inner.load(...given);
        const blocks = borrow.blocks.map((block) => ({
          ...block,
          payload: block.payload.subarray(1),
        }));
        return { ...borrow, blocks };
      },
    });
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, 100));
    const said = await generate(sequence, prompt.slice(100), 32);
    assert.deepEqual(said, await uncached(prompt, 32));
    assert.equal(engine.statistics.failures, 1);
    assert.equal(engine.statistics.prefilledTokens, prompt.length - 1);
    assert.deepEqual(await stateFiles(), []);
  });

  it('goes on when the engine refuses a state file', async () => {
    const store = await scene.store();
    await fill(store, prompt);
    const engine = await scene.engine(store, { context: { sequences: 2 } });
    const sequence = engine.context.getSequence();
    sequence.loadStateFromFile = () => fail(new Error('refused (test)'));
    engine.context.getSequence = () => sequence;
    const said = await generate(engine.getSequence(), prompt.slice(), 32);
    assert.deepEqual(said, await uncached(prompt, 32));
    assert.equal(engine.statistics.failures, 1);
    assert.deepEqual(await stateFiles(), []);
  });

  it('refuses a bad namespace and block size before it loads anything', async () => {
    const store = await scene.store();
    await assert.rejects(scene.engine(store, { namespace: '' }), { name: 'RangeError' });
    await assert.rejects(scene.engine(store, { blockTokens: 100 }), { name: 'RangeError' });
  });
});

describe('state files', () => {
  it('are gone after saving and restoring, and were readable for their owner only', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store, { context: { sequences: 2 } });
    const sequence = engine.getSequence();
    const modes: number[] = [];
    const save = sequence.saveStateToFile.bind(sequence);
    sequence.saveStateToFile = async (path) => {
      const result = await save(path);
      modes.push((await stat(path)).mode & 0o777);
      return result;
    };
    await generate(sequence, prompt.slice(), 4);
    await engine.settle();
    assert.deepEqual(modes, [0o600]);
    await generate(engine.getSequence(), prompt.slice(), 4);
    assert.equal(engine.statistics.restores, 1);
    assert.deepEqual(await stateFiles(), []);
  });

  it('are gone after a save that failed', async () => {
    const inner = await scene.store();
    const gone = (): never => fail(new StoreError('BUSY', 'full (test)'));
    const engine = await scene.engine(withMethods(inner, { save: gone, saveTail: gone }));
    const sequence = engine.getSequence();
    await generate(sequence, prompt.slice(), 4);
    await engine.settle();
    sequence.saveStateToFile = () => fail(new Error('disk full (test)'));
    await engine.settle();
    assert.equal(engine.statistics.failures, 2);
    assert.deepEqual(await stateFiles(), []);
  });

  it('above the limit are not made, in either direction', async () => {
    const store = await scene.store();
    await fill(store, prompt);
    // The micro model has 512 bytes of KV per token.
    const engine = await scene.engine(store, { stateFileBytesMax: 300_000 });
    const sequence = engine.getSequence();
    await generate(sequence, [...prompt, ...randomTokens('more', 10)], 4);
    await engine.settle();
    const { tooLarge, exports, restores, failures } = engine.statistics;
    assert.deepEqual(
      { tooLarge, exports, restores, failures },
      { tooLarge: 1, exports: 0, restores: 0, failures: 0 },
    );
  });
});

describe('saving', () => {
  it('exports nothing when all is stored', async () => {
    const engine = await scene.engine(await scene.store());
    const sequence = engine.getSequence();
    await generate(sequence, prompt.slice(), 4);
    await engine.settle();
    await engine.settle();
    const { exports, skippedSaves } = engine.statistics;
    assert.deepEqual({ exports, skippedSaves }, { exports: 1, skippedSaves: 1 });
  });

  it('stores again what the store has lost', async () => {
    const store = await scene.store();
    const engine = await scene.engine(store);
    const sequence = engine.getSequence();
    for (const round of [1, 2]) {
      await sequence.clearHistory();
      await generate(sequence, prompt.slice(), 4);
      await engine.settle();
      assert.equal(engine.statistics.savedBlocks, 5 * round);
      assert.equal(engine.statistics.savedTails, 2 * round);
      await store.delete({ kind: 'namespace' });
    }
  });

  it('does not wait for a caller who left without a word', async () => {
    const engine = await scene.engine(await scene.store());
    const sequence = engine.getSequence();
    const iterator = sequence.evaluate(prompt.slice(), { temperature: 0 });
    await iterator.next();
    await engine.settle();
    assert.equal(engine.statistics.savedBlocks, 5);
  });

  it('keeps namespaces apart', async () => {
    const store = await scene.store();
    await fill(store, prompt, { namespace: 'one' });
    const other = await scene.engine(store, { namespace: 'other' });
    await generate(other.getSequence(), prompt.slice(), 4);
    assert.equal(other.statistics.restores, 0);
    const same = await scene.engine(store, { namespace: 'one' });
    await generate(same.getSequence(), prompt.slice(), 4);
    assert.equal(same.statistics.restoredTokens, prompt.length - 1);
  });
});

/** What an engine says that takes whatever is stored is what one says that computes everything. */
async function assertNothingWrong(store: KvStore, tokens: readonly Token[]): Promise<void> {
  const engine = await scene.engine(store);
  const said = await generate(engine.getSequence(), tokens.slice(), 32);
  assert.deepEqual(said, await uncached(tokens, 32));
}

/** Computed once for each prompt: an engine takes a quarter of a second to open. */
async function uncached(tokens: readonly Token[], count: number): Promise<Token[]> {
  const name = `${count} ${tokens.join(' ')}`;
  const known = references.get(name);
  if (known !== undefined) return known;
  const engine = await scene.engine(await scene.store(), { restore: 'never' });
  const said = await generate(engine.getSequence(), tokens.slice(), count);
  references.set(name, said);
  return said;
}

async function fill(
  store: KvStore,
  tokens: readonly Token[],
  options: Partial<LlamaEngineOptions> = {},
): Promise<void> {
  const engine = await scene.engine(store, options);
  await generate(engine.getSequence(), tokens.slice(), 1);
  await engine.settle();
}

/** The probabilities of all tokens to be next, and to follow that. */
async function probabilities(engine: LlamaEngine, tokens: readonly Token[]): Promise<unknown> {
  const all = [];
  const sequence = engine.getSequence();
  const items = sequence.evaluateWithMetadata(tokens.slice(), { probabilities: true });
  for await (const item of items) {
    all.push(item.probabilities);
    if (all.length === 4) break;
  }
  await sequence.dispose();
  return all;
}

function failingMethods(failing: () => never): Partial<KvStore> {
  return {
    lookup: failing,
    contains: failing,
    load: failing,
    save: failing,
    loadTail: failing,
    saveTail: failing,
  };
}

function fail(error: Error): never {
  throw error;
}
