import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { tryInstall } from './debian.ts';

/** It brings the headers of macOS, and links for it: https://pypi.org/project/ziglang. 350 MB unpacked. */
const version = '0.17.1';
/** A link of a megabyte a second. */
const installMs = 300_000;
const packages: readonly string[] = ['python3-pip'];

/** The C compiler of Zig, by which other systems are compiled for: a script, for it is a word of a larger program. */
export function zigCompiler(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'wombatkv', `ziglang-${version}`, 'zig-cc');
}

/** Installs it by pip in a directory that is kept. What is missing then is found by its absence. */
export function tryInstallZig(): void {
  const compiler = zigCompiler();
  if (existsSync(compiler)) return;
  const place = dirname(compiler);
  mkdirSync(dirname(place), { recursive: true });
  const fresh = mkdtempSync(`${place}.`);
  try {
    if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0) tryInstall(packages);
    const words = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--root-user-action=ignore'];
    const args = [...words, '--target', fresh, `ziglang==${version}`];
    console.log(`$ python3 ${args.join(' ')}`);
    const { status } = spawnSync('python3', args, {
      ...{ timeout: installMs, stdio: ['ignore', 'ignore', 'inherit'] },
    });
    if (status !== 0) return;
    const script = '#!/bin/sh\nexec "${0%/*}/ziglang/zig" cc "$@"\n';
    writeFileSync(join(fresh, 'zig-cc'), script);
    chmodSync(join(fresh, 'zig-cc'), 0o755);
    rmSync(place, { recursive: true, force: true });
    renameSync(fresh, place);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
