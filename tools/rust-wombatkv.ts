import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { installCommandOf, tryInstall } from './debian.ts';
import { projectRoot } from './project.ts';

/** Which version is measured and linked to: the one of bench/rust-peer/Cargo.toml. */
const version = '0.1.0-alpha.pre1.0';
export const rustVersion = `wombatkv-cabi ${version}`;

/** The Rust WombatKV, built; paths are absolute. */
export interface RustWombatKv {
  /** Holds `libwombatkv.so`, without a soname, as engines were linked to it. */
  readonly libraryDirectory: string;
  /** The header inside its crate, as cargo's registry has it. */
  readonly header: string;
  readonly daemon: string;
  /** Of bench/rust-peer/crate/src/main.rs. */
  readonly program: string;
}

/** Hundreds of crates on two cores that do other things too. */
const buildMs = 3_600_000;
const messageBytesMax = 64 * 1024 * 1024;

/** Programs that the build needs, with the Debian package of each; cargo comes from elsewhere. */
const builders: Readonly<Record<string, string>> = {
  cmake: 'cmake',
  clang: 'clang',
  'pkg-config': 'pkg-config',
};
const packages: readonly string[] = [...Object.values(builders), 'libssl-dev'];

/**
 * What is missing to build it, and what to type; undefined when nothing is. Debian packages are installed first,
 * if that needs no password.
 */
export function missingForRust(): { readonly what: string; readonly toType: string } | undefined {
  if (absent().length > 0) tryInstall(packages);
  const missing = [...absent(), ...(isThere('cargo') ? [] : ['cargo'])];
  if (missing.length === 0) return undefined;
  return {
    what: `the Rust WombatKV cannot be built here: ${missing.join(', ')} missing`,
    toType: `${installCommandOf(packages)}, and Rust with cargo from https://rustup.rs`,
  };
}

function absent(): readonly string[] {
  const missing = Object.keys(builders).filter((program) => !isThere(program));
  const hasOpenssl = spawnSync('pkg-config', ['--exists', 'openssl']).status === 0;
  return hasOpenssl ? missing : [...missing, 'libssl-dev'];
}

function isThere(program: string): boolean {
  return spawnSync(program, ['--version']).status === 0;
}

/** Builds it in a directory that is kept: minutes the first time, and the next run finds it built. */
export function buildRustWombatKv(): RustWombatKv {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const directory = join(cache, 'wombatkv', 'rust-peer');
  mkdirSync(directory, { recursive: true });
  const crate = join(projectRoot(), 'bench', 'rust-peer', 'crate');
  // Cargo builds again what is newer than what was built.
  cpSync(crate, directory, { recursive: true, preserveTimestamps: true });
  const cargo = (...words: readonly string[]): string =>
    execFileSync('cargo', [...words, '--quiet'], {
      ...{ cwd: directory, timeout: buildMs, stdio: ['ignore', 'pipe', 'inherit'] },
      ...{ encoding: 'utf8', maxBuffer: messageBytesMax },
    });
  const messages = cargo('build', '--release', '--message-format', 'json');
  // Does nothing when that version is there.
  const place = ['--root', directory, '--target-dir', join(directory, 'target')];
  cargo('install', 'wombatkv-daemon', '--version', `=${version}`, ...place);
  const built = join(directory, 'target', 'release');
  return {
    libraryDirectory: placeLibrary(join(built, 'libwombatkv_rust.so'), join(directory, 'lib')),
    header: findHeader(messages),
    daemon: join(directory, 'bin', 'wombatkv-daemon'),
    program: join(built, 'wombatkv-peer'),
  };
}

/** By the name that engines ask for, in a directory without other libraries. */
function placeLibrary(built: string, directory: string): string {
  mkdirSync(directory, { recursive: true });
  const fresh = mkdtempSync(join(directory, 'new-'));
  copyFileSync(built, join(fresh, 'libwombatkv.so'));
  renameSync(join(fresh, 'libwombatkv.so'), join(directory, 'libwombatkv.so'));
  rmSync(fresh, { recursive: true });
  return directory;
}

/** Beside the manifest of the crate that cargo has built, or found built. */
function findHeader(messages: string): string {
  const artifacts = messages
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { manifest_path?: string; target?: { name: string } });
  const library = artifacts.find(({ target }) => target?.name === 'wombatkv');
  const header = join(dirname(library?.manifest_path ?? ''), 'include', 'wombatkv.h');
  if (!header.includes(`wombatkv-cabi-${version}`) || !existsSync(header)) {
    throw new Error(`cargo has built ${rustVersion}, and its header is not at ${header}`);
  }
  return header;
}
