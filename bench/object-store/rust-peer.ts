import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../tools/project.ts';
import type { BucketAccess } from './client-job.ts';

const run = promisify(execFile);

/** Hundreds of crates on two cores that do other things too. */
const buildMs = 3_600_000;
const runMs = 120_000;
const outputBytesMax = 4 * 1024 * 1024;

/** The crate that the peer's program is built on. */
export const rustVersion = 'wombatkv-cabi 0.1.0-alpha.pre1.0';

/** What the peer took, in milliseconds. */
export interface RustResult {
  readonly openMs: number;
  readonly ms: number;
}

export interface RustJob {
  readonly verb: 'put' | 'get';
  readonly access: BucketAccess;
  readonly cacheDirectory: string;
  /** Files of keys and payloads, as bench/object-store/rust-peer/src/main.rs wants them. */
  readonly keysPath: string;
  readonly payloadsPath: string;
}

/**
 * Builds the program, in a directory that is kept: the next run finds it built. Needs cargo, cmake,
 * clang, pkg-config and the headers of OpenSSL.
 */
export function buildRustPeer(): string {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const directory = join(cache, 'wombatkv', 'rust-peer');
  mkdirSync(directory, { recursive: true });
  const source = join(projectRoot(), 'bench', 'object-store', 'rust-peer');
  cpSync(source, directory, { recursive: true });
  execFileSync('cargo', ['build', '--release', '--quiet'], {
    ...{ cwd: directory, timeout: buildMs, stdio: ['ignore', 'inherit', 'inherit'] },
  });
  return join(directory, 'target', 'release', 'wombatkv-peer');
}

/** Runs the program once; it opens its store on the bucket and the cache directory. */
export async function runRustPeer(program: string, job: RustJob): Promise<RustResult> {
  const { verb, access, cacheDirectory, keysPath, payloadsPath } = job;
  mkdirSync(cacheDirectory, { recursive: true });
  const { stdout } = await run(program, [verb, keysPath, payloadsPath], {
    timeout: runMs,
    maxBuffer: outputBytesMax,
    env: {
      ...process.env,
      WMBT_KV_S3_ENDPOINT: access.endpoint,
      WMBT_KV_BUCKET: access.bucket,
      WMBT_KV_S3_ACCESS_KEY: access.accessKey,
      WMBT_KV_S3_SECRET_KEY: access.secretKey,
      WMBT_KV_S3_PREFIX: 'rust',
      WMBT_KV_PUFFER_DIR: cacheDirectory,
    },
  });
  const line = stdout.trim().split('\n').at(-1) ?? '';
  const { openMs, ms } = JSON.parse(line) as RustResult;
  if (Number.isFinite(openMs) && Number.isFinite(ms)) return { openMs, ms };
  throw new Error(`the Rust WombatKV said ${line}`);
}
