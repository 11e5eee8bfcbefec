import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { EngineJob, EngineMessage, EngineResults } from './engine-job.ts';

/** The longest job, on a slow machine; beyond it something hangs. */
const processMs = 3_600_000;
/** What of a failed process's standard error goes into the message. */
const stderrCharactersMax = 2000;

type ResultOf<Job extends EngineJob> = EngineResults[Job['kind']];

/** Runs the job in a fresh process, and resolves to its result when the process has ended. */
export async function runEngine<Job extends EngineJob>(job: Job): Promise<ResultOf<Job>> {
  const child = fork(fileURLToPath(new URL('./engine-child.js', import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let outcome: EngineMessage | undefined;
  let errors = '';
  child.on('message', (message: EngineMessage) => (outcome = message));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-stderrCharactersMax);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), processMs);
  try {
    const end = await new Promise<string>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode, signal) => resolve(signal ?? `exit code ${exitCode}`));
      // A process that ends before it takes the job says why by its end.
      child.send(job, () => undefined);
    });
    if (outcome?.kind === 'failed') throw new Error(`${job.kind}: ${outcome.message}`);
    if (outcome === undefined) {
      throw new Error(`a process of the benchmark ended with ${end}: ${errors.trim()}`);
    }
    // The parent is of the same build as the child, which answers each job with its result.
    return outcome.result as ResultOf<Job>;
  } finally {
    clearTimeout(timer);
  }
}
