import { limits } from '../../src/blocks/limits.ts';
import type { StoreSetup, SuffixResult } from '../engine/engine-job.ts';
import { runEngine } from '../engine/engine-process.ts';
import { randomTokens } from '../prompts.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { formatQuantity } from '../report-text.ts';
import type { BenchContext } from '../scenario.ts';
import type { JobSetup } from './job-setup.ts';

const suffixLengths = [256, 2048];

/** A stored prefix with a new suffix, against prefilling only the suffix. */
export async function suffixTable(
  context: BenchContext,
  job: JobSetup,
  store: StoreSetup,
): Promise<Table> {
  const blocks = Math.floor((job.prompt.length - 1) / limits.blockTokensUnit);
  const prefix = job.prompt.slice(0, blocks * limits.blockTokensUnit);
  const rows: Row[] = [];
  for (const length of suffixLengths) {
    const results: SuffixResult[] = [];
    for (let round = 1; round <= job.suffixRounds; round += 1) {
      const suffix = randomTokens(`suffix ${length} ${round}`, length, job.vocabularySize);
      context.progress.begin(
        `shared prefix, ${length} new tokens, ${round} of ${job.suffixRounds}`,
      );
      const result = await runEngine({ kind: 'suffix', engine: job.engine, store, prefix, suffix });
      if (result.restoredTokens !== prefix.length) {
        throw new Error(`${result.restoredTokens} tokens restored instead of ${prefix.length}`);
      }
      context.progress.end(`first token after ${formatQuantity(result.restoredMs, 'ms')}`);
      results.push(result);
    }
    rows.push(...rowsOf(length, results));
  }
  return {
    name: 'suffix',
    title: 'Shared prefix, new suffix',
    rows,
    notes: [
      `The prefix has ${prefix.length} tokens, stored by another process. "Only the suffix" is ` +
        'the same engine without WombatKV, its sequence holding the prefix already. "Same calls" ' +
        'computes the last token by itself, as the exactness rule wants.',
    ],
  };
}

function rowsOf(length: number, results: readonly SuffixResult[]): Row[] {
  const what = `TTFT with ${length} new tokens`;
  const unit = 'ms';
  const samples = results.map(({ restoredMs }) => restoredMs);
  // By rounds: neighbours ran on the same machine, which another minute's processes did not.
  const alone = results.map(({ aloneMs }) => aloneMs);
  const sameCuts = results.map(({ aloneSameCutsMs }) => aloneSameCutsMs);
  return [
    rowOf({
      ...{ what, unit, samples, bar: atMost(1.05) },
      against: { what: 'only the suffix', value: alone },
    }),
    rowOf({ what, unit, samples, against: { what: 'same calls', value: sameCuts } }),
  ];
}
