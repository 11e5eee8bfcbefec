import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem, type as systemName } from 'node:os';

/** Where a benchmark ran. Figures of two machines are not compared. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Means over 1, 5 and 15 minutes when the run began. */
  readonly loadAverage: readonly number[];
}

export function readMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: `${systemName()} ${release()}`,
    node: process.version,
    loadAverage: loadavg().map((load) => Number(load.toFixed(2))),
  };
}

/** The machine in the name of a file: `amd-epyc-2`. */
export function machineName({ cpu, cores }: Machine): string {
  const words = cpu
    .toLowerCase()
    .replaceAll(/\((?:r|tm)\)|\bcpu\b|\bprocessor\b|@.*$/g, ' ')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  return `${words === '' ? 'machine' : words}-${cores}`;
}

export interface SourceVersion {
  readonly commit: string;
  /** True when the tree had changes beyond that commit. */
  readonly isChanged: boolean;
}

/** The commit of the sources, where git tells. */
export function readSourceVersion(root: string): SourceVersion {
  const commit = git(root, ['rev-parse', '--short=12', 'HEAD']);
  const changes = git(root, ['status', '--porcelain', '--untracked-files=no', '--', 'src']);
  return { commit: commit ?? 'unknown', isChanged: changes !== '' };
}

function git(root: string, args: readonly string[]): string | undefined {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
