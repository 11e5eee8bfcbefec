import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { LlamaContextSequence, Token } from 'node-llama-cpp';
import { LlamaCompletion } from 'node-llama-cpp';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { MemoryObjectStore } from '../../src/objectstore/memory-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { inProcessHarness } from '../support/in-process-world.ts';
import { eventually, withTimeLimit } from '../support/waiting.ts';
import { EngineScene, generate, randomTokens } from './engine-scene.ts';
import { VirtualEngine, prefillMsPerToken } from './virtual-engine.ts';

/** Decisions, not times: what the adapter asks of the store, and when it does not. */
const prompt = randomTokens('never slower', 700);
const coldMs = (prompt.length - 1) * prefillMsPerToken;

let scene: EngineScene;
let store: KvStore;
let engine: VirtualEngine;
let sequence: LlamaContextSequence;

before(async () => {
  scene = await EngineScene.make('never-slower');
});
beforeEach(async () => {
  await engine?.dispose();
  await scene.disposeAll();
  store = await scene.store();
  engine = await VirtualEngine.open(scene, store, 5);
  sequence = engine.getSequence();
});
after(async () => {
  await engine.dispose();
  await scene.remove();
});

describe('a store that is slow', () => {
  it('is asked once for a cold prompt', async () => {
    await ask(prompt);
    assert.deepEqual(engine.takeCalls(), { lookup: 1, load: 0, loadTail: 0, save: 0, saveTail: 0 });
    assert.equal(engine.nowMs, coldMs + 1);
  });

  it('costs two per cent of the prompts and half a second, however slow its loads are', async () => {
    await fill(prompt);
    engine.times.loadMs = 3 * coldMs;
    const start = engine.nowMs;
    const prompts = 20;
    let loads = 0;
    for (let round = 0; round < prompts; round += 1) loads += (await again()).load;
    assert.equal(engine.statistics.restores, 0);
    assert.ok(loads >= 1 && loads <= 8, `${loads} loads`);
    const lossMs = engine.nowMs - start - prompts * coldMs;
    assert.ok(lossMs <= 0.02 * (prompts + 1) * coldMs + 500, `${lossMs} ms`);
  });

  it('is waited for when it was seen to be faster than computing, though slow', async () => {
    await fill(prompt);
    engine.times.loadMs = coldMs / 10;
    const start = engine.nowMs;
    let prompts = 0;
    for (; prompts < 50 && engine.statistics.restores === 0; prompts += 1) await again();
    assert.ok(prompts < 50, 'restored');
    assert.ok(engine.nowMs - start <= (1.02 * prompts + 0.02) * coldMs + 500);
    await again();
    assert.equal(engine.statistics.restores, 2);
  });

  it('gets deadlines: of a lookup two per cent, of a load at most half of the prefill', async () => {
    await fill(prompt);
    await clearAndAsk(prompt, 'keep');
    const [lookup, ...loads] = engine.calls;
    assert.ok((lookup.deadlineMs ?? Infinity) <= 0.02 * coldMs);
    assert.deepEqual(loads.map(({ kind }) => kind).sort(), ['load', 'loadTail']);
    for (const { deadlineMs } of loads) assert.ok((deadlineMs ?? Infinity) <= coldMs / 2);
  });
});

describe('a store that hangs', () => {
  it('costs two per cent and half a second when it hangs at lookups, and is asked no more', async () => {
    Object.assign(engine.times, { lookupMs: Infinity, loadMs: Infinity, tailMs: Infinity });
    const prompts = 10;
    for (let round = 0; round < prompts; round += 1) {
      const { load, loadTail } = await again();
      assert.deepEqual({ load, loadTail }, { load: 0, loadTail: 0 });
    }
    assert.ok(engine.nowMs <= 1.02 * prompts * coldMs + 501, `${engine.nowMs} ms`);
  });

  it('costs what the plan allows when it hangs at the load', async () => {
    await fill(prompt);
    Object.assign(engine.times, { loadMs: Infinity, tailMs: Infinity });
    const start = engine.nowMs;
    const calls = await clearAndAsk(prompt, 'keep');
    assert.equal(calls.load, 1);
    const allowed = engine.calls.reduce((sum, { deadlineMs = 0 }) => sum + deadlineMs, 0);
    assert.ok(engine.nowMs - start <= coldMs + allowed);
    assert.ok(engine.nowMs - start <= 1.06 * coldMs, 'of a first load, six per cent');
  });

  it('lets the answer come: a bucket that never replies, in real time', async () => {
    const harness = inProcessHarness(() => new MemoryObjectStore(nodePlatform().clock));
    const world = await harness.createWorld();
    await world.faults.setMode('slow');
    const hanging = await world.open('host');
    const cached = await scene.engine(hanging, { restore: 'when-it-pays' });
    const said = await withTimeLimit(20_000, 'the answer', () =>
      generate(cached.getSequence(), prompt.slice(), 32),
    );
    const uncached = await scene.engine(store, { restore: 'never' });
    assert.deepEqual(said, await generate(uncached.getSequence(), prompt.slice(), 32));
    await world.faults.setMode('none');
    await scene.disposeAll();
    await world.dispose();
    await harness.close();
  });
});

describe('what the engine holds itself', () => {
  it('is not asked for: the same prompt again', async () => {
    await ask(prompt);
    await engine.settle();
    engine.takeCalls();
    const start = engine.nowMs;
    await continueWith(prompt);
    assert.deepEqual(engine.takeCalls(), { lookup: 0, load: 0, loadTail: 0, save: 0, saveTail: 0 });
    assert.equal(engine.nowMs, start);
  });

  it('is not loaded again for a prompt that goes on', async () => {
    await ask(prompt);
    await engine.settle();
    engine.takeCalls();
    await continueWith([...prompt, ...randomTokens('more', 30)]);
    const { load, save } = engine.takeCalls();
    assert.deepEqual({ load, save }, { load: 0, save: 0 });
    assert.equal(engine.statistics.prefilledTokens, prompt.length - 1 + 30);
  });

  it('is left where it goes further than what is stored: no block is loaded for nothing', async () => {
    await fill(prompt.slice(0, 641));
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, 645));
    engine.takeCalls();
    await continueWith([...prompt, ...randomTokens('more', 60)]);
    const { load, loadTail } = engine.takeCalls();
    assert.deepEqual({ load, loadTail }, { load: 0, loadTail: 1 });
  });
});

describe('a short prompt', () => {
  it('is computed without asking, below what a lookup takes ten times', async () => {
    await ask(prompt);
    engine.takeCalls();
    for (const tokens of [1, 2]) {
      assert.equal((await clearAndAsk(prompt.slice(0, tokens))).lookup, 0, `${tokens} tokens`);
    }
  });

  it('of less than a block is neither stored nor asked for', async () => {
    await ask(prompt.slice(0, 127));
    await engine.settle();
    assert.deepEqual(await again(127), { lookup: 0, load: 0, loadTail: 0, save: 0, saveTail: 0 });
  });
});

describe('a save', () => {
  const isSaved = async (): Promise<boolean> => engine.calls.some(({ kind }) => kind === 'save');

  it('comes by itself when the sequence rests', async () => {
    await ask(prompt);
    engine.pass(19);
    assert.ok(!(await isSaved()));
    engine.pass(1);
    await eventually('it is saved', isSaved);
    await engine.settle();
    assert.equal(engine.statistics.savedBlocks, 5);
  });

  it('does not come while the sequence is asked again', async () => {
    await ask(prompt);
    engine.pass(19);
    await continueWith([...prompt, ...randomTokens('more', 30)]);
    engine.pass(19);
    assert.equal(engine.statistics.exports, 0);
    engine.pass(1);
    await eventually('it is saved', isSaved);
  });

  it('waits while another sequence computes, for twenty seconds at most', async () => {
    await ask(prompt);
    const other = engine.getSequence();
    const items = other.evaluate(randomTokens('other', 10), { temperature: 0 });
    await items.next();
    // The engine computes the next token; nobody has asked for its result yet.
    const computing = items.next();
    engine.pass(20_000);
    assert.equal(engine.statistics.exports, 0);
    engine.pass(120);
    await computing;
    await eventually('it is saved', isSaved);
    await items.return();
  });
});

describe('a completion', () => {
  it('asks once for each prompt, though the engine looks at its state twice', async () => {
    const completion = new LlamaCompletion({ contextSequence: sequence });
    await completion.generateCompletion(prompt.slice(), { maxTokens: 4, temperature: 0 });
    assert.deepEqual(engine.takeCalls(), { lookup: 1, load: 0, loadTail: 0, save: 0, saveTail: 0 });
    await engine.settle();
    engine.takeCalls();
    await sequence.clearHistory();
    await completion.generateCompletion(prompt.slice(), { maxTokens: 4, temperature: 0 });
    assert.deepEqual(engine.takeCalls(), { lookup: 1, load: 1, loadTail: 1, save: 0, saveTail: 0 });
    assert.equal(engine.statistics.restoredTokens, prompt.length - 1);
  });
});

describe('five users in turn', () => {
  it('restore only what is gone', async () => {
    const users = [sequence, ...[1, 2, 3, 4].map(() => engine.getSequence())];
    const prompts = users.map((_, user) => randomTokens(`user ${user}`, 300));
    const round = async (): Promise<void> => {
      for (const [user, own] of users.entries()) {
        prompts[user].push(...randomTokens(`turn ${prompts[user].length}`, 20));
        await continueWith(prompts[user], own);
      }
      await engine.settle();
    };
    await round();
    engine.takeCalls();
    await round();
    assert.equal(engine.takeCalls().load, 0);
    assert.equal(engine.statistics.restores, 0);
    // Another one takes the place of the third user for a while.
    await users[2].clearHistory();
    await continueWith(randomTokens('guest', 300), users[2]);
    engine.takeCalls();
    await round();
    assert.equal(engine.takeCalls().load, 1);
    assert.equal(engine.statistics.restores, 1);
  });
});

/** Evaluates the prompt on an empty sequence and takes a token. */
async function ask(tokens: readonly Token[]): Promise<void> {
  await generate(sequence, tokens.slice(), 1);
}

/** The same, and stores all of it. */
async function fill(tokens: readonly Token[]): Promise<void> {
  await ask(tokens);
  await engine.settle();
  engine.takeCalls();
}

async function clearAndAsk(
  tokens: readonly Token[],
  calls: 'take' | 'keep' = 'take',
): Promise<ReturnType<VirtualEngine['takeCalls']>> {
  await sequence.clearHistory();
  await ask(tokens);
  const kept = engine.calls.slice();
  const taken = engine.takeCalls();
  if (calls === 'keep') engine.calls.push(...kept);
  return taken;
}

function again(count = prompt.length): ReturnType<typeof clearAndAsk> {
  return clearAndAsk(prompt.slice(0, count));
}

/** As a chat does: keeps what the sequence shares with the prompt, then evaluates the rest. */
async function continueWith(tokens: readonly Token[], own = sequence): Promise<void> {
  await own.adaptStateToTokens(tokens.slice(0, -1), false);
  await generate(own, tokens.slice(own.nextTokenIndex), 1);
}
