import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ClientAnswer, ClientJob, ClientResults } from './client-job.ts';

/** The longest job; beyond it something hangs. */
const jobMs = 120_000;
/** What of a failed process's standard error goes into the message. */
const stderrCharactersMax = 2000;

/** A process of its own for one kind of client, so that CPU time is that client's alone. */
export class ClientProcess {
  readonly #child: ChildProcess;
  #errors = '';

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./client-child.js', import.meta.url)), {
      // Each job begins without the garbage of the one before.
      execArgv: ['--expose-gc'],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.on('error', () => undefined);
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-stderrCharactersMax);
    });
  }

  /** Does one job after another; the process stays warm between them. */
  async run<Job extends ClientJob>(job: Job): Promise<ClientResults[Job['kind']]> {
    const child = this.#child;
    const timer = setTimeout(() => child.kill('SIGKILL'), jobMs);
    const heard = new AbortController();
    const { signal } = heard;
    try {
      const answered = once(child, 'message', { signal });
      const ended = once(child, 'exit', { signal });
      ended.catch(() => undefined);
      answered.catch(() => undefined);
      child.send(job, () => undefined);
      const answer = await Promise.race([
        answered.then(([message]) => message as ClientAnswer),
        ended.then(() => undefined),
      ]);
      if (answer === undefined) throw new Error(`${job.kind}: ended early: ${this.#errors.trim()}`);
      if (!answer.isDone) throw new Error(`${job.kind}: ${answer.message}`);
      // The parent is of the same build as the child, which answers each job with its result.
      return answer.result as ClientResults[Job['kind']];
    } finally {
      clearTimeout(timer);
      heard.abort();
    }
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** One job in a fresh process. */
export async function runFresh<Job extends ClientJob>(
  job: Job,
): Promise<ClientResults[Job['kind']]> {
  const client = new ClientProcess();
  try {
    return await client.run(job);
  } finally {
    await client.stop();
  }
}
