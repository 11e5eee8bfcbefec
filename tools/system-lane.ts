/**
 * Runs the suites that need programs of Debian and rights of root (`*.system.test.ts`): systemd's
 * checks, promtool and the Prometheus client for Python, network namespaces. What is missing is
 * installed, or for Prometheus unpacked into a cache, if that needs no password; else the lane is
 * skipped with what to type. With CI=true that is a failure. The last line counts single tests.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { asRoot, countsOfMissing, installCommandOf, tryInstall } from './debian.ts';
import { projectRoot } from './project.ts';
import { formatCounts } from './test-run.ts';

/** Programs, and the package that has each. */
const programs: Readonly<Record<string, string>> = {
  'systemd-analyze': 'systemd',
  'systemd-notify': 'systemd',
  ip: 'iproute2',
  openssl: 'openssl',
  python3: 'python3-minimal',
};

/** Unpacked only: installing the first would start a server. */
const unpacked: readonly string[] = ['prometheus', 'python3-prometheus-client'];

const cache = join(
  process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'),
  'wombatkv',
  'prometheus',
);

process.exitCode = await main(process.argv.slice(2));

async function main(filters: readonly string[]): Promise<number> {
  const absent = missingPrograms().map((program) => programs[program]);
  if (absent.length > 0) tryInstall([...new Set(absent)]);
  if (!isUnpacked()) tryUnpack();
  const missing = [...missingPrograms(), ...(isUnpacked() ? [] : unpacked)];
  // Network namespaces are root's.
  if (!tryRun([...asRoot(), 'unshare', '--net', 'true']))
    missing.push('root with network namespaces');
  if (missing.length > 0) {
    const packages = installCommandOf([...new Set(Object.values(programs))]);
    const what = `the system lane cannot run here: ${missing.join(', ')} missing`;
    const counts = countsOfMissing(what, `${packages}; then npm run system, as root`);
    console.log(formatCounts(counts));
    return counts.failed;
  }
  return runSuites(filters);
}

function missingPrograms(): readonly string[] {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return Object.keys(programs).filter(
    (program) => !directories.some((directory) => existsSync(join(directory, program))),
  );
}

function isUnpacked(): boolean {
  const python = join(cache, 'usr/lib/python3/dist-packages/prometheus_client');
  return existsSync(join(cache, 'usr/bin/promtool')) && existsSync(python);
}

function tryUnpack(): void {
  mkdirSync(cache, { recursive: true });
  const download = ['apt-get', 'download', ...unpacked];
  if (!tryRun(download, cache)) {
    tryRun([...asRoot(), 'apt-get', 'update', '--quiet']);
    if (!tryRun(download, cache)) return;
  }
  for (const name of readdirSync(cache).filter((one) => one.endsWith('.deb'))) {
    tryRun(['dpkg-deb', '--extract', name, '.'], cache);
  }
}

/** What fails is found by what is missing then. */
function tryRun([program = '', ...rest]: readonly string[], cwd = projectRoot()): boolean {
  try {
    console.log(`$ ${[program, ...rest].join(' ')}`);
    execFileSync(program, rest, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
    return true;
  } catch {
    return false;
  }
}

async function runSuites(filters: readonly string[]): Promise<number> {
  const script = join(projectRoot(), 'dist', 'tools', 'test.js');
  const path = [join(cache, 'usr/bin'), process.env['PATH'] ?? '', '/usr/sbin', '/sbin'];
  const variables = [
    `PATH=${path.join(delimiter)}`,
    `PYTHONPATH=${join(cache, 'usr/lib/python3/dist-packages')}`,
    `CI=${process.env['CI'] ?? ''}`,
  ];
  const words = [process.execPath, script, '--system-only', '--concurrency', '1', ...filters];
  const [program = '', ...rest] = [...asRoot(), 'env', ...variables, ...words];
  const tests = spawn(program, rest, { stdio: 'inherit' });
  const [status] = (await once(tests, 'exit')) as [number | null];
  return status ?? 1;
}
