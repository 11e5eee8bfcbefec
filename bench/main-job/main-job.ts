import type { ScenarioResult, Table } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { collectAnswers } from './answers.ts';
import type { Answers } from './answers.ts';
import { breakdownTable } from './breakdown-table.ts';
import { distinctTokensMin, setUpJob } from './job-setup.ts';
import type { JobSetup } from './job-setup.ts';
import { lossTable } from './loss-table.ts';
import { saveTable } from './save-table.ts';
import { suffixTable } from './suffix-table.ts';
import { ttftTable } from './ttft-table.ts';

/** Rounds with all cores: they stand beside the others and have no bars. */
const allCoresRoundsMax = 3;

/** A real engine restarts and does not prefill again. */
export const mainJob: Scenario = {
  name: 'main-job',
  about: 'a real engine: restored, cache wiped, shared prefix, saving, never slower',
  run,
};

async function run(context: BenchContext): Promise<ScenarioResult> {
  const job = await setUpJob(context);
  const answers = await collectAnswers(context, job, '');
  const tables: Table[] = [
    ttftTable(job, answers, 'one core'),
    breakdownTable(answers),
    await suffixTable(context, job, answers.store),
    saveTable(answers),
    await lossTable(context, job, answers.store),
  ];
  const voidReasons = [...voidReasonsOf(job, answers)];
  if (context.hasAllCores) {
    const all = await onAllCores(context, job);
    tables.push(all.table);
    voidReasons.push(...all.voidReasons.map((reason) => `all cores: ${reason}`));
  }
  const { engine } = job;
  return {
    tables,
    settings: {
      ...{ model: job.modelName, promptTokens: job.prompt.length, rounds: job.rounds },
      ...{ contextSize: engine.contextSize, kvType: engine.kvType, threads: engine.threads },
      ...{ restore: job.restore, distinctReferenceTokens: distinctOf(answers) },
    },
    versions: answers.reference.versions,
    voidReasons,
  };
}

async function onAllCores(
  context: BenchContext,
  job: JobSetup,
): Promise<{ readonly table: Table; readonly voidReasons: readonly string[] }> {
  const rounds = Math.min(job.rounds, allCoresRoundsMax);
  const all = { ...job, rounds, engine: { ...job.engine, threads: 0 } };
  const answers = await collectAnswers(context, all, 'all cores, ');
  return { table: ttftTable(all, answers, 'all cores'), voidReasons: voidReasonsOf(all, answers) };
}

/** By the method of the bars: a dull or different answer proves nothing. */
function voidReasonsOf(job: JobSetup, answers: Answers): readonly string[] {
  const { reference, cold, restored, wiped } = answers;
  const reasons: string[] = [];
  const distinct = distinctOf(answers);
  if (distinct < distinctTokensMin) {
    reasons.push(`the reference answer has only ${distinct} distinct tokens`);
  }
  const isOther = ({ tokens }: { readonly tokens: readonly number[] }): boolean =>
    tokens.join(' ') !== reference.tokens.join(' ');
  const different = [...cold, ...restored, ...wiped].filter(isOther).length;
  if (different > 0) reasons.push(`${different} answers differ from the uncached one`);
  const most = job.prompt.length - 1;
  const short = [...restored, ...wiped].filter(({ restoredTokens }) => restoredTokens !== most);
  if (short.length > 0) reasons.push(`${short.length} processes did not restore ${most} tokens`);
  return reasons;
}

function distinctOf({ reference }: Answers): number {
  return new Set(reference.tokens).size;
}
