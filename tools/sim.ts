/** Runs simulations; `--help` says how. */
import { parseArgs } from 'node:util';
import { FaultCounts } from '../test/sim/fault-counts.ts';
import { keepSeed } from '../test/sim/kept-seeds.ts';
import { planOf } from '../test/sim/plan.ts';
import { sharingSeeds } from '../test/sim/profile.ts';
import { shrink } from '../test/sim/shrink.ts';
import { simulate } from '../test/sim/simulate.ts';
import type { SimResult } from '../test/sim/simulate.ts';

const help = `npm run sim -- [options]

  --seed N       replays one seed and prints the end of its trace when it fails
  --seeds A-B    runs these seeds
  --minutes M    explores new seeds for so long
  --trace        prints all of the trace

A seed that fails is shrunk, and kept in test/sim/kept-seeds.json for every test run.
`;

/** Seeds of an exploration begin here, behind those of every test run. */
const explorationStart = 1000;

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      seed: { type: 'string' },
      seeds: { type: 'string', default: '0-19' },
      minutes: { type: 'string' },
      trace: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const counts = new FaultCounts();
  let failed = 0;
  for (const seed of seedsOf(values)) {
    const result = await simulate(planOf(seed), { keepsTrace: values.trace });
    counts.addAll(result.counts);
    report(seed, result);
    if (values.trace) console.log(result.lines.join('\n'));
    if (result.failure === undefined) continue;
    failed += 1;
    await explain(seed, result);
  }
  console.log(counts.toString());
  console.log(failed === 0 ? 'everything held' : `${failed} seeds failed`);
  return failed === 0 ? 0 : 1;
}

interface Choice {
  readonly seed?: string | undefined;
  readonly seeds: string;
  readonly minutes?: string | undefined;
}

function* seedsOf({ seed, seeds, minutes }: Choice): Generator<number> {
  if (minutes !== undefined) {
    const endMs = performance.now() + Number(minutes) * 60_000;
    const offset = Math.random() < 0.5 ? sharingSeeds : 0;
    const first = offset + explorationStart + Math.floor(Math.random() * 2 ** 29);
    for (let next = first; performance.now() < endMs; next += 1) yield next;
    return;
  }
  const [first, last = first] = (seed ?? seeds).split('-').map(Number);
  for (let next = first; next <= last; next += 1) yield next;
}

function report(seed: number, result: SimResult): void {
  const { theme } = planOf(seed).profile;
  const { digest, operations, events, comparisons, virtualMs } = result;
  const seconds = Math.round(virtualMs / 1000);
  const what = `${operations} operations, ${events} events, ${comparisons} payloads compared`;
  const outcome = result.failure === undefined ? 'ok' : 'FAILED';
  console.log(`seed ${seed} (${theme}): ${outcome}; ${what}, ${seconds} s; trace ${digest}`);
}

/** Prints the end of the trace, and a shorter plan that fails too. */
async function explain(seed: number, { failure, lines }: SimResult): Promise<void> {
  console.log(lines.slice(-60).join('\n'));
  console.log(failure);
  keepSeed({ seed, found: (failure ?? '').split('\n')[0].replace(/^Error: /, '') });
  const shorter = await shrink(planOf(seed));
  const again = await simulate(shorter);
  const kinds = shorter.operations.map(({ id, kind }) => `${id} ${kind}`).join(', ');
  console.log(`seed ${seed} shrunk to ${shorter.operations.length} operations: ${kinds}`);
  console.log(again.lines.slice(-40).join('\n'));
  console.log(again.failure);
}
