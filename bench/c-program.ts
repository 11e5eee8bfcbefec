import { spawnSync } from 'node:child_process';
import { basename, join } from 'node:path';
import { cachedLibrary } from '../tools/capi-build.ts';
import { projectRoot } from '../tools/project.ts';

/**
 * Compiles a program of one file below bench/, linked to the shared library as an engine is, into the directory; gives
 * its path.
 */
export async function buildCProgram(directory: string, source: string): Promise<string> {
  const { prefix } = await cachedLibrary({ compiler: 'cc', flavour: 'plain' });
  const program = join(directory, `${basename(source, '.c')}-program`);
  const flags = [`-I${prefix}/include`, `-L${prefix}/lib`, `-Wl,-rpath,${prefix}/lib`];
  const words = ['-O2', '-pthread', join(projectRoot(), 'bench', source), ...flags, '-lwombatkv'];
  if (spawnSync('cc', [...words, '-o', program], { stdio: 'inherit' }).status !== 0) {
    throw new Error(`bench/${source} cannot be compiled`);
  }
  return program;
}

/** Whether there is a compiler for them. */
export function hasCompiler(): boolean {
  return spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0;
}
