import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fuzzPlants } from '../test/capi/fuzz-plants.ts';
import type { FuzzPlant } from '../test/capi/fuzz-plants.ts';
import { librarySources } from './capi-build.ts';
import { compile } from './capi-compile.ts';
import type { CSource } from './capi-compile.ts';
import { fuzzTarget, fuzzToolchain, linkTarget, runTarget, sideBySide } from './capi-fuzz.ts';
import { projectRoot } from './project.ts';
import type { TestCounts } from './test-run.ts';

/**
 * Puts each of the faults for these targets into a copy of the file that it is in, and gives the target so many seconds
 * to find it, from its seeds alone. One that is not found is said and counted: the target would not find a real one.
 */
export async function findPlants(names: readonly string[], seconds: number): Promise<TestCounts> {
  const sources = librarySources();
  const objects = await compile(fuzzToolchain, sources);
  const wanted = fuzzPlants.filter(({ target }) => names.includes(target));
  return sideBySide(wanted, async (plant) => {
    const at = sources.findIndex(({ file }) => file === plant.change.file);
    const source = sources[at];
    if (source === undefined) throw new Error(`${plant.change.file} is no file of the library`);
    const label = `fuzz ${plant.target}: ${plant.name}`;
    const digest = createHash('sha256').update(plant.name).digest('hex').slice(0, 12);
    const folder = join('build/capi/fuzz', plant.target, `planted-${digest}`);
    rmSync(join(projectRoot(), folder), { recursive: true, force: true });
    const [changed = ''] = await compile(fuzzToolchain, [plantIn(source, plant, folder)]);
    return find(plant, objects.with(at, changed), { folder, label, seconds });
  });
}

async function find(
  plant: FuzzPlant,
  objects: readonly string[],
  run: { readonly folder: string; readonly label: string; readonly seconds: number },
): Promise<boolean> {
  const target = fuzzTarget(plant.target);
  const folder = join(projectRoot(), run.folder);
  const program = await linkTarget(target, objects, folder);
  const { status, inputs, output } = await runTarget(target, program, run.seconds, folder);
  rmSync(folder, { recursive: true });
  // A target that cannot begin ends too, but writes no input.
  if (status !== 0 && inputs !== undefined && output.includes('Test unit written to')) {
    console.log(`${run.label}: found, ${inputs} inputs`);
    return true;
  }
  console.log(`${run.label}: NOT FOUND, ended with ${status} after ${inputs ?? 'no'} inputs`);
  if (status !== 0) console.log(output);
  return false;
}

/** The source with the fault, in the folder; what it includes is where it was. */
function plantIn(source: CSource, { change, name }: FuzzPlant, folder: string): CSource {
  const text = readFileSync(join(projectRoot(), source.file), 'utf8');
  const parts = text.split(change.from);
  if (parts.length !== 2) throw new Error(`${name}: its text is not in ${source.file} once`);
  const file = join(folder, basename(source.file));
  mkdirSync(join(projectRoot(), folder), { recursive: true });
  writeFileSync(join(projectRoot(), file), parts.join(change.to));
  // What is left unused by a fault is no fault of its own.
  const flags = [...source.flags, '-iquote', dirname(source.file), '-Wno-error'];
  return { ...source, file, flags };
}
