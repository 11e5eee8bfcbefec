import { spawnSync } from 'node:child_process';
import type { StdioOptions } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { installCommandOf, tryInstall } from './debian.ts';
import { projectRoot } from './project.ts';

/** LMCache brings all of PyTorch with CUDA's libraries: 6.2 GB unpacked. */
const diskBytesMin = 10 * 1024 ** 3;
/** A link of a few megabytes a second. */
const installMs = 3_600_000;
/** The versions of Python that LMCache 0.5 and Mooncake 0.3 have wheels for. */
const pythons: readonly string[] = ['python3.12', 'python3.11', 'python3.10', 'python3'];
const packages: readonly string[] = ['python3-venv'];

/** The stores of bench/python-peers/requirements.txt, installed. */
export interface PythonPeers {
  /** The interpreter that has them. */
  readonly python: string;
  /** Each package that the requirements name, with its version. */
  readonly versions: Readonly<Record<string, string>>;
}

/**
 * Installs them by pip in a directory that is kept, where the next run finds them: minutes the first time.
 * Where they cannot be, says why and what to type.
 */
export function installPythonPeers(): PythonPeers | { readonly missing: string } {
  const requirements = join(projectRoot(), 'bench', 'python-peers', 'requirements.txt');
  const wanted = readFileSync(requirements, 'utf8');
  const versions = versionsOf(wanted);
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const parent = join(cache, 'wombatkv', 'python-peers');
  // Other versions are another place.
  const words = Object.entries(versions).map((pair) => pair.join('-'));
  const place = join(parent, words.join('_'));
  const python = join(place, 'bin', 'python');
  if (existsSync(join(place, 'installed'))) return { python, versions };
  mkdirSync(parent, { recursive: true });
  const { bavail, bsize } = statfsSync(parent);
  if (bavail * bsize < diskBytesMin) {
    return { missing: `${parent} has less than ${diskBytesMin} bytes free` };
  }
  rmSync(place, { recursive: true, force: true });
  if (!makeEnvironment(place)) {
    return { missing: `no Python with venv here; ${installCommandOf(packages)}` };
  }
  const pip = ['-m', 'pip', 'install', '--quiet', '--requirement', requirements];
  if (!succeeds(python, pip)) return { missing: `pip cannot install what ${requirements} names` };
  mkdirSync(join(place, 'installed'));
  return { python, versions };
}

function versionsOf(requirements: string): Record<string, string> {
  const lines = requirements.split('\n').filter((line) => line.includes('=='));
  return Object.fromEntries(lines.map((line) => line.trim().split('==') as [string, string]));
}

function makeEnvironment(place: string): boolean {
  const make = (): boolean =>
    pythons.some((python) => succeeds(python, ['-m', 'venv', '--clear', place], 'ignore'));
  if (make()) return true;
  tryInstall(packages);
  return make();
}

function succeeds(
  program: string,
  words: readonly string[],
  shown: 'ignore' | 'inherit' = 'inherit',
): boolean {
  const stdio: StdioOptions = ['ignore', 'ignore', shown];
  return spawnSync(program, words, { stdio, timeout: installMs }).status === 0;
}
