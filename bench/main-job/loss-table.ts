import { runEngine } from '../engine/engine-process.ts';
import type { LossCase, LossResult, StoreSetup } from '../engine/engine-job.ts';
import { atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import type { JobSetup } from './job-setup.ts';
import { storeAt } from './job-setup.ts';

const users = 5;
/** Context of one of several users. */
const userContextSize = 2048;

/** Where a cache can only lose: the engine has everything, or nothing is stored. */
export async function lossTable(
  context: BenchContext,
  job: JobSetup,
  stored: StoreSetup,
): Promise<Table> {
  const { prompt, engine, vocabularySize, lossRounds: rounds } = job;
  const common = { kind: 'loss', vocabularySize, rounds } as const;
  const single: readonly LossCase[] = [
    { kind: 'same prompt', prompt },
    { kind: 'next turn', prompt, turnTokens: 64 },
    { kind: 'next turn', prompt, turnTokens: 100 },
    { kind: 'new prompt', promptTokens: 64 },
    { kind: 'new prompt', promptTokens: 200 },
  ];
  const together: LossCase = {
    ...{ kind: 'users', users, promptTokens: 300, turnTokens: 32, answerTokens: 8 },
  };
  // What a user meets: the adapter decides by itself.
  const restore = 'when-it-pays' as const;
  context.progress.begin(`never slower: one user, ${rounds} rounds`);
  const results = await runEngine({
    ...common,
    engine,
    store: { ...stored, restore },
    cases: single,
  });
  context.progress.end('done');
  context.progress.begin(`never slower: ${users} users, ${rounds} rounds`);
  const empty = storeAt(job, { objects: 'objects-users', cache: 'cache-users' });
  const shared = await runEngine({
    ...common,
    engine: { ...engine, contextSize: userContextSize, sequences: users },
    store: { ...empty, restore },
    cases: [together],
  });
  context.progress.end('done');
  return {
    name: 'never-slower',
    title: 'Never slower',
    rows: [...results, ...shared].map((result) =>
      rowOf({
        ...{ what: nameOf(result.case), unit: 'ms', samples: result.withMs, bar: atMost(1.02) },
        against: { what: 'without WombatKV', value: result.withoutMs },
      }),
    ),
    notes: [rangesOf([...results, ...shared])],
  };
}

function nameOf(one: LossCase): string {
  switch (one.kind) {
    case 'same prompt':
      return `same process, the same ${one.prompt.length} tokens again: TTFT`;
    case 'next turn':
      return `the engine's own cache is warm, ${one.turnTokens} new tokens: TTFT`;
    case 'new prompt':
      return `short prompt, ${one.promptTokens} new tokens: TTFT`;
    case 'users':
      return `${one.users} users in turn, ${one.turnTokens} new tokens and ${one.answerTokens} of answer each: whole round`;
    default:
      return one satisfies never;
  }
}

/** The other side's ranges, which the table has no room for. */
function rangesOf(results: readonly LossResult[]): string {
  const ranges = results.map(({ withoutMs }) => {
    const [least, most] = [Math.min(...withoutMs), Math.max(...withoutMs)];
    return `${least.toFixed(0)}–${most.toFixed(0)} ms`;
  });
  return (
    'Both sides in one process, taking turns in who begins; what the store does after the last ' +
    'answer of a round is not in it. The ratio is the median of the ratios of the rounds, of which ' +
    `neighbours ran under the same load. Ranges without WombatKV, row by row: ${ranges.join(', ')}.`
  );
}
