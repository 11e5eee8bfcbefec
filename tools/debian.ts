import { spawnSync } from 'node:child_process';
import type { TestCounts } from './test-run.ts';

/** Options of apt-get that install what is named and nothing beside it. */
const installWords = ['install', '--yes', '--no-install-recommends'];

/** What a person types to have the packages. */
export function installCommandOf(packages: readonly string[]): string {
  return ['sudo', 'apt-get', ...installWords, ...packages].join(' ');
}

/** The words before a command that needs rights of root, if there is no password to type. */
export function asRoot(): readonly string[] {
  return process.getuid?.() === 0 ? [] : ['sudo', '-n'];
}

/**
 * Installs Debian packages, if that needs no password. No apt-get, no network, no rights: what is
 * missing then is found by its absence.
 */
export function tryInstall(packages: readonly string[]): void {
  const apt = [...asRoot(), 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get'];
  for (const words of [
    ['update', '--quiet'],
    [...installWords, ...packages],
  ]) {
    const [program = '', ...rest] = [...apt, ...words];
    console.log(`$ ${[program, ...rest].join(' ')}`);
    if (spawnSync(program, rest, { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0) return;
  }
}

/**
 * What a lane counts that cannot run here, after it has said what to type: a skipped test, and in CI a
 * failure.
 */
export function countsOfMissing(what: string, toType: string): TestCounts {
  console.log(`   ${what}, so it is NOT tested. To run it: ${toType}`);
  const isFailure = process.env['CI'] === 'true';
  return { passed: 0, failed: isFailure ? 1 : 0, skipped: isFailure ? 0 : 1 };
}
