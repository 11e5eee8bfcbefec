import { writeFileSync } from 'node:fs';
import { llamaSeedInput } from '../../src/blocks/fingerprint.ts';
import { limits } from '../../src/blocks/limits.ts';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import type { ExportJob, ExportResult } from './engine-job.ts';
import { generate, loadStored, versionsOf } from './loaded-engine.ts';

/** Computes the prompt and writes the payloads of its blocks as the store has them. */
export async function runExport({ engine: setup, prompt, path }: ExportJob): Promise<ExportResult> {
  const config = { objectStore: 'memory:', cacheDirectory: false, compression: 'off' } as const;
  const { store, engine } = await loadStored(setup, { config, restore: 'never' });
  await generate(engine.getSequence(), prompt, 1);
  await engine.settle();
  const { fingerprint } = engine;
  if (fingerprint === undefined) throw new Error('the engine has no fingerprint');
  const prefix = new Prefix(seedOf(llamaSeedInput(fingerprint, limits.blockTokensUnit)));
  prefix.append(prompt);
  const borrow = await store.load(prefix.keys);
  if (borrow.blocks.length === 0) throw new Error(`no block was stored: ${borrow.reason}`);
  writeFileSync(path, Buffer.concat(borrow.blocks.map(({ payload }) => payload)));
  return {
    blocks: borrow.blocks.length,
    blockBytes: borrow.blocks[0].payload.length,
    versions: await versionsOf(engine.model),
  };
}
