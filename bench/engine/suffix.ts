import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LlamaContextSequence } from 'node-llama-cpp';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { timed } from '../measure.ts';
import type { SuffixJob, SuffixResult } from './engine-job.ts';
import { asTokens, contextAlone, generate, loadStored, prefillButLast } from './loaded-engine.ts';

/**
 * Answers prefix and suffix from the store; then the suffix alone, by an engine that holds the
 * prefix already, in one call and in the adapter's calls.
 */
export async function runSuffix(job: SuffixJob): Promise<SuffixResult> {
  const { engine } = await loadStored(job.engine, job.store);
  const sequence = engine.getSequence();
  const prompt = [...job.prefix, ...job.suffix];
  const restoredMs = await timed(() => generate(sequence, prompt, 1));
  const { restoredTokens } = engine.statistics;
  await sequence.adaptStateToTokens(asTokens(job.prefix), false);
  const alone = (await contextAlone(engine.model, job.engine)).getSequence();
  await copyState(sequence, alone);
  const aloneMs = await timed(() => generate(alone, job.suffix, 1));
  await alone.adaptStateToTokens(asTokens(job.prefix), false);
  const aloneSameCutsMs = await timed(async () => {
    await prefillButLast(alone, prompt);
    await generate(alone, prompt.slice(-1), 1);
  });
  return { restoredMs, restoredTokens, aloneMs, aloneSameCutsMs };
}

/** Brings what the one sequence holds into the other, which is of a like context. */
export async function copyState(
  from: LlamaContextSequence,
  to: LlamaContextSequence,
): Promise<void> {
  const { host } = nodePlatform();
  const directory = host.memoryDirectory ?? host.temporaryDirectory;
  const path = join(directory, `wombatkv-bench-${process.pid}-copy.state`);
  try {
    await from.saveStateToFile(path);
    await to.loadStateFromFile(path, { acceptRisk: true });
  } finally {
    rmSync(path, { force: true });
  }
}
