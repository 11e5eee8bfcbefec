import { spawn } from 'node:child_process';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';
import type { EngineJob, EngineResult } from './engine-job.ts';

const childPath = fileURLToPath(new URL('./engine-child.js', import.meta.url));
/** A process takes about two seconds; a loaded machine takes longer, a deadlock for ever. */
const processMsMax = 60_000;

/** Does the job in a fresh process. */
export async function runEngine(
  job: EngineJob,
  environment: Readonly<Record<string, string>> = {},
): Promise<EngineResult> {
  const child = spawn(process.execPath, ['--enable-source-maps', childPath], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status, signal) => resolve(signal ?? String(status)));
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), processMsMax);
  child.stdin.end(JSON.stringify(job));
  const startedAt = performance.now();
  const ending = await ended;
  clearTimeout(timer);
  const expected = job.ending === 'die' ? 'SIGKILL' : '0';
  if (ending !== expected || output === '') {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    throw new Error(`the engine process ended with ${ending} after ${seconds} s: ${errors}`);
  }
  return JSON.parse(output) as EngineResult;
}
