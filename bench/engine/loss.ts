import type { LlamaContext, LlamaContextSequence } from 'node-llama-cpp';
import { timed } from '../measure.ts';
import { randomTokens } from '../prompts.ts';
import type { LossCase, LossJob, LossResult } from './engine-job.ts';
import { asTokens, contextAlone, generate, loadStored } from './loaded-engine.ts';
import { copyState } from './suffix.ts';

/** One side of the comparison. */
interface Side {
  readonly context: Pick<LlamaContext, 'getSequence'>;
  /** Ends what the side does by itself after an answer, so that it does not disturb the other. */
  settle(): Promise<void>;
}

/** Sequences of one side, which a case uses as it likes. */
interface Play {
  /** Brings the sequences where the round begins; not timed. */
  prepare(round: number): Promise<void>;
  /** What is timed. */
  run(round: number): Promise<unknown>;
  end(): Promise<void>;
}

/**
 * Plays each case with and without the store in one process, taking turns in which side begins.
 * What the store does between answers is part of the time; what it does after the last is not.
 */
export async function runLoss(job: LossJob): Promise<readonly LossResult[]> {
  const { engine, store } = await loadStored(job.engine, job.store, { savesByItself: true });
  const plain = await contextAlone(engine.model, job.engine);
  const settle = async (): Promise<void> => {
    await engine.settle();
    await store.flush();
  };
  const withStore: Side = { context: engine, settle };
  const without: Side = { context: plain, settle: () => Promise.resolve() };
  const results: LossResult[] = [];
  for (const one of job.cases) {
    const plays = await playsOf(one, job, [withStore, without]);
    const withMs: number[] = [];
    const withoutMs: number[] = [];
    // One round more comes first and does not count: it warms both sides up.
    for (let round = 0; round <= job.rounds; round += 1) {
      const times = await playRound(plays, [withStore, without], round);
      if (round === 0) continue;
      withMs.push(times[0]);
      withoutMs.push(times[1]);
    }
    for (const play of plays) await play.end();
    results.push({ case: one, withMs, withoutMs });
  }
  return results;
}

/** Milliseconds of each side. */
async function playRound(
  plays: readonly Play[],
  sides: readonly Side[],
  round: number,
): Promise<readonly number[]> {
  const times: number[] = [];
  for (const side of round % 2 === 0 ? [0, 1] : [1, 0]) {
    await plays[side].prepare(round);
    times[side] = await timed(() => plays[side].run(round));
    await sides[side].settle();
  }
  return times;
}

/** A turn of a conversation: the engine keeps what it has of the tokens, as its chat sessions do. */
async function ask(
  sequence: LlamaContextSequence,
  tokens: readonly number[],
  answerTokens = 1,
): Promise<readonly number[]> {
  await sequence.adaptStateToTokens(asTokens(tokens.slice(0, -1)), false);
  return generate(sequence, tokens.slice(sequence.nextTokenIndex), answerTokens);
}

function playsOf(one: LossCase, job: LossJob, sides: readonly Side[]): Promise<readonly Play[]> {
  switch (one.kind) {
    case 'same prompt':
      return playsAfter(one.prompt, sides, () => []);
    case 'next turn':
      return playsAfter(one.prompt, sides, (round) =>
        randomTokens(`turn ${round}`, one.turnTokens, job.vocabularySize),
      );
    case 'new prompt':
      return Promise.resolve(
        sides.map((side) =>
          newPromptPlay(side.context.getSequence(), (round) =>
            randomTokens(`new ${one.promptTokens} ${round}`, one.promptTokens, job.vocabularySize),
          ),
        ),
      );
    case 'users':
      return Promise.resolve(sides.map((side) => usersPlay(one, side, job.vocabularySize)));
    default:
      return one satisfies never;
  }
}

/** The prompt is live in both sides' sequences; asked is the prompt with more tokens, or itself. */
async function playsAfter(
  prompt: readonly number[],
  sides: readonly Side[],
  more: (round: number) => readonly number[],
): Promise<readonly Play[]> {
  const sequences = sides.map(({ context }) => context.getSequence());
  // The first side restores it; the second gets a copy instead of computing it all.
  await ask(sequences[0], prompt);
  await copyState(sequences[0], sequences[1]);
  return sequences.map((sequence) => ({
    prepare: () => sequence.adaptStateToTokens(asTokens(prompt), false),
    run: (round) => ask(sequence, [...prompt, ...more(round)]),
    end: async () => sequence.dispose(),
  }));
}

function newPromptPlay(
  sequence: LlamaContextSequence,
  promptOf: (round: number) => readonly number[],
): Play {
  return {
    prepare: () => sequence.clearHistory(),
    run: (round) => ask(sequence, promptOf(round)),
    end: async () => sequence.dispose(),
  };
}

/** Users with a sequence each ask one after another; what is timed is when all have their answers. */
function usersPlay(
  one: Extract<LossCase, { kind: 'users' }>,
  { context }: Side,
  vocabularySize: number,
): Play {
  const users = Array.from({ length: one.users }, (_, user) => ({
    sequence: context.getSequence(),
    prompt: randomTokens(`user ${user}`, one.promptTokens, vocabularySize),
  }));
  return {
    prepare: async () => {
      for (const { sequence, prompt } of users) {
        await sequence.adaptStateToTokens(asTokens(prompt), false);
        const rest = prompt.slice(sequence.nextTokenIndex);
        if (rest.length > 0) await generate(sequence, rest, 1);
        await sequence.adaptStateToTokens(asTokens(prompt), false);
      }
    },
    run: async (round) => {
      for (const [user, { sequence, prompt }] of users.entries()) {
        const turn = randomTokens(`turn ${user} ${round}`, one.turnTokens, vocabularySize);
        await ask(sequence, [...prompt, ...turn], one.answerTokens);
      }
    },
    end: async () => {
      for (const { sequence } of users) await sequence.dispose();
    },
  };
}
