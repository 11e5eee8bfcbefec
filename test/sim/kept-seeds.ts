import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../../tools/project.ts';

/** A seed that failed once, and what it found. Every test run tries it again. */
export interface KeptSeed {
  readonly seed: number;
  readonly found: string;
}

const path = join(projectRoot(), 'test', 'sim', 'kept-seeds.json');

export function readKeptSeeds(): readonly KeptSeed[] {
  return JSON.parse(readFileSync(path, 'utf8')) as readonly KeptSeed[];
}

/** Adds the seed to the file, unless it is there. */
export function keepSeed(kept: KeptSeed): void {
  const known = readKeptSeeds();
  if (known.some(({ seed }) => seed === kept.seed)) return;
  const all = [...known, kept].sort((a, b) => a.seed - b.seed);
  writeFileSync(path, `${JSON.stringify(all, undefined, 2)}\n`);
}
