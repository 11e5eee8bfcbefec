// oxlint-disable-next-line import/no-nodejs-modules -- nothing but the demo starts processes
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { StoreError } from '../../base/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { DemoAnswer, DemoFlush, DemoJob, DemoMessage } from './demo-job.ts';

export interface ProcessOptions {
  readonly clock: Clock;
  /** Ends the process and the call. */
  readonly signal: AbortSignal;
  readonly onMessage: (message: DemoMessage) => void;
}

/** What a process of the demo brought. */
export type DemoResult = DemoAnswer | DemoFlush;

/** A prompt of 8,000 tokens on a large model and a small machine; beyond it something hangs. */
const processMs = 3_600_000;
type ChildProcess = ReturnType<typeof fork>;

/** What of a failed process's standard error goes into the message. */
const stderrCharactersMax = 2000;

/**
 * Runs the job in a fresh process of its own and resolves when the process has ended, to the result
 * that it told. One that waits for its death is ended by SIGKILL.
 *
 * @throws StoreError with the code that the process told, `UNAVAILABLE` when it ended without a
 * result, `ABORTED` by the signal.
 */
export async function runDemoProcess(job: DemoJob, options: ProcessOptions): Promise<DemoResult> {
  options.signal.throwIfAborted();
  const child = fork(fileURLToPath(new URL('./demo-child.js', import.meta.url)), {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  const waitsForDeath = job.kind === 'answer' && job.ending === 'wait-for-death';
  const outcome = new Outcome();
  child.on('message', (message: DemoMessage) => {
    options.onMessage(message);
    outcome.take(message);
    if (outcome.result !== undefined && waitsForDeath) child.kill('SIGKILL');
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => outcome.takeStderr(text));
  const timer = options.clock.schedule(processMs, () => child.kill('SIGKILL'));
  const onAbort = (): void => {
    child.kill('SIGKILL');
  };
  options.signal.addEventListener('abort', onAbort, { once: true });
  try {
    const end = await endOf(child, job);
    options.signal.throwIfAborted();
    return outcome.resultOr(end, waitsForDeath ? 'SIGKILL' : 'exit code 0');
  } finally {
    timer.cancel();
    options.signal.removeEventListener('abort', onAbort);
  }
}

/** Hands the job over and resolves to how the process ended. */
function endOf(child: ChildProcess, job: DemoJob): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode, signal) => resolve(signal ?? `exit code ${exitCode}`));
    // A process that ends before it takes the job says why by its end.
    child.send(job, () => undefined);
  });
}

/** What was heard from a process so far. */
class Outcome {
  result: DemoResult | undefined;
  #failure: StoreError | undefined;
  #stderr = '';

  take(message: DemoMessage): void {
    switch (message.kind) {
      case 'answered':
        this.result = message.answer;
        return;
      case 'flushed':
        this.result = message.flush;
        return;
      case 'failed':
        this.#failure = new StoreError(message.code, message.message);
        return;
      case 'activity':
      case 'token':
        return;
      default:
        message satisfies never;
    }
  }

  takeStderr(text: string): void {
    this.#stderr = (this.#stderr + text).slice(-stderrCharactersMax);
  }

  resultOr(end: string, expectedEnd: string): DemoResult {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.result !== undefined && end === expectedEnd) return this.result;
    const words = this.#stderr.trim() === '' ? '' : `: ${this.#stderr.trim()}`;
    throw new StoreError('UNAVAILABLE', `a process of the demo ended with ${end}${words}`);
  }
}
