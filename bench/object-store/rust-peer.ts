import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { promisify } from 'node:util';
import type { BucketAccess } from './client-job.ts';

const run = promisify(execFile);

const runMs = 120_000;
const outputBytesMax = 4 * 1024 * 1024;

/** What the peer took, in milliseconds. */
export interface RustResult {
  readonly openMs: number;
  readonly ms: number;
}

export interface RustJob {
  readonly verb: 'put' | 'get';
  readonly access: BucketAccess;
  readonly cacheDirectory: string;
  /** Files of keys and payloads, as bench/rust-peer/crate/src/main.rs wants them. */
  readonly keysPath: string;
  readonly payloadsPath: string;
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
