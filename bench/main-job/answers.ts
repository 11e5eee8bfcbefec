import { runEngine } from '../engine/engine-process.ts';
import type { AnswerJob, AnswerResult, StoreSetup } from '../engine/engine-job.ts';
import type { BenchContext } from '../scenario.ts';
import { formatQuantity } from '../report-text.ts';
import { storeAt } from './job-setup.ts';
import type { JobSetup } from './job-setup.ts';

/** Answers of fresh processes to the same prompt, one of each kind per round. */
export interface Answers {
  /** The engine without WombatKV. */
  readonly alone: readonly AnswerResult[];
  /** With an empty store. */
  readonly cold: readonly AnswerResult[];
  /** After a restart: object store and cache directory are left. */
  readonly restored: readonly AnswerResult[];
  /** Only the object store is left. */
  readonly wiped: readonly AnswerResult[];
  /** The engine without WombatKV, in its calls: what the others' tokens must equal. */
  readonly reference: AnswerResult;
  /** A store that holds the prompt, with its local cache. */
  readonly store: StoreSetup;
}

/** Runs the processes one after another. `label` tells runs of different settings apart. */
export async function collectAnswers(
  context: BenchContext,
  job: JobSetup,
  label: string,
): Promise<Answers> {
  const alone: AnswerResult[] = [];
  const cold: AnswerResult[] = [];
  const restored: AnswerResult[] = [];
  const wiped: AnswerResult[] = [];
  const answer = (title: string, part: Pick<AnswerJob, 'use' | 'ending'>): Promise<AnswerResult> =>
    runOne(context, `${label}${title}`, { ...answerJobOf(job), ...part });
  let store: StoreSetup | undefined;
  for (let round = 1; round <= job.rounds; round += 1) {
    const of = `${round} of ${job.rounds}`;
    const place = `${job.engine.threads}-${round}`;
    const names = { objects: `objects-${place}`, cache: `cache-${place}` };
    store = storeAt(job, names);
    const answerAlone = async (): Promise<void> => {
      alone.push(await answer(`engine alone, ${of}`, { use: 'alone', ending: 'drop' }));
    };
    // They are compared by percents, so they take turns in who begins.
    const aloneBegins = round % 2 === 1;
    if (aloneBegins) await answerAlone();
    cold.push(await answer(`cold, ${of}`, { use: store, ending: 'measure-save' }));
    if (!aloneBegins) await answerAlone();
    restored.push(await answer(`restored, ${of}`, { use: store, ending: 'drop' }));
    const empty = storeAt(job, { ...names, cache: `${names.cache}-wiped` });
    wiped.push(await answer(`restored, cache wiped, ${of}`, { use: empty, ending: 'drop' }));
  }
  if (store === undefined) throw new RangeError(`rounds must be 1 or more; got ${job.rounds}`);
  const reference = await answer('reference', { use: 'alone, same cuts', ending: 'drop' });
  return { alone, cold, restored, wiped, reference, store };
}

function answerJobOf(job: JobSetup): Omit<AnswerJob, 'use' | 'ending'> {
  const { engine, prompt, answerTokens } = job;
  return { kind: 'answer', engine, prompt, answerTokens };
}

async function runOne(
  { progress }: BenchContext,
  title: string,
  job: AnswerJob,
): Promise<AnswerResult> {
  progress.begin(title);
  const result = await runEngine(job);
  progress.end(`first token after ${formatQuantity(result.firstTokenMs, 'ms')}`);
  return result;
}
