import { Worker, parentPort } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import type { Deferred } from '../base/deferred.ts';
import { StoreError, isMemoryRefusal, isStoreError, messageOf } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import { collectGarbage } from './process-memory.ts';

export interface WorkerPoolOptions {
  /** The program of the workers; it calls {@link serveTasks}. */
  readonly module: URL;
  /** Threads at most. They are started when they are needed. */
  readonly workersMax: number;
  /** Tasks that may wait for a thread. */
  readonly tasksMax: number;
  /** Time for one task, from the moment a thread has it. */
  readonly taskMs: number;
}

/** What a handler returns when buffers of its result shall move instead of being copied. */
export interface TransferredResult<Result> {
  readonly result: Result;
  readonly transfer: readonly ArrayBuffer[];
}

/**
 * Worker threads for tasks that need nothing but their arguments. A thread has one task at a time.
 * Threads without a task do not keep the process alive; a running task does.
 *
 * @example
 * ```ts
 * const pool = new WorkerPool({
 *   module: new URL('./square-worker.js', import.meta.url), // serveTasks((n: number) => n * n);
 *   workersMax: 2,
 *   tasksMax: 100,
 *   taskMs: 1000,
 * });
 * await pool.run<number, number>(7); // 49
 * await pool.close();
 * ```
 */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  /** Every thread until it has really ended: a thread that is being ended takes its place still. */
  readonly #threads = new Set<Thread>();
  /** Threads without a task, the one used last at the end: its caches are warm. */
  readonly #idle: Thread[] = [];
  readonly #waiting: Job[] = [];
  #closing: Promise<void> | undefined = undefined;
  #hasAnswered = false;

  constructor(options: WorkerPoolOptions) {
    assert(options.workersMax > 0 && options.tasksMax >= 0, 'a pool has room for a task');
    this.#options = options;
  }

  /** False until a thread has done a task: those that start take their time. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /**
   * Runs the task in a worker. Views on a `SharedArrayBuffer` are shared; a view on an ordinary
   * buffer is copied with the *whole* buffer; buffers in `transfer` move, when a thread takes the
   * task, and are the caller's no longer from the call on.
   *
   * Rejects with the `StoreError` that the handler threw, and with `BUSY` when too many tasks wait or the handler had no
   * memory, `ABORTED` when the task took longer than `taskMs`, `UNAVAILABLE` when the worker died or threw
   * another error, `CLOSED` when the pool was closed. Whatever the outcome, the worker does not touch
   * shared memory of the task after it: a thread that took too long has ended by then.
   */
  run<Task, Result>(task: Task, transfer: readonly ArrayBuffer[] = []): Promise<Result> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    const { workersMax, tasksMax } = this.#options;
    const outcome = deferred<unknown>();
    const job: Job = { task, transfer, outcome };
    const idle = this.#idle.pop();
    if (idle !== undefined) this.#give(idle, job);
    else if (this.#threads.size < workersMax) this.#start(job);
    else if (this.#waiting.length < tasksMax) this.#waiting.push(job);
    else {
      const message = `${tasksMax} tasks wait for ${workersMax} worker threads already`;
      outcome.reject(new StoreError('BUSY', message));
    }
    // The types of task and result are agreed between the caller and the worker's module.
    return outcome.promise as Promise<Result>;
  }

  /** There will be nothing to do for a while: threads without a task collect their garbage. */
  rest(): void {
    for (const { worker } of this.#idle) worker.postMessage('rest' satisfies Order);
  }

  /** Ends every thread. Tasks that wait or run are rejected with `CLOSED`. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const job of this.#waiting.splice(0)) job.outcome.reject(closedError());
    await Promise.all(Array.from(this.#threads, (thread) => endByItself(thread, closedError())));
  }

  /** Starts a thread for the job. */
  #start(job: Job): void {
    let worker: Worker;
    try {
      worker = new Worker(this.#options.module, { execArgv: [] });
    } catch (error) {
      job.outcome.reject(failureOf('worker thread cannot be started', error));
      return;
    }
    const thread: Thread = { worker, job: undefined, timer: undefined, failure: undefined };
    this.#threads.add(thread);
    worker.on('message', (answer: Answer) => this.#onAnswer(thread, answer));
    worker.on('messageerror', (error) => {
      void end(thread, failureOf('answer of a worker cannot be read', error));
    });
    worker.on('error', (error) => {
      thread.failure ??= failureOf('worker thread failed', error);
      this.#removeIdle(thread);
    });
    worker.on('exit', (exitCode) => this.#onExit(thread, exitCode));
    this.#give(thread, job);
  }

  #give(thread: Thread, job: Job): void {
    assert(thread.job === undefined, 'a thread has one task at a time');
    const { worker } = thread;
    try {
      worker.postMessage({ task: job.task } satisfies Order, job.transfer);
    } catch (error) {
      job.outcome.reject(
        new TypeError(`task cannot be sent: ${messageOf(error)}`, { cause: error }),
      );
      this.#goOn(thread);
      return;
    }
    const { taskMs } = this.#options;
    thread.job = job;
    thread.timer = setTimeout(() => {
      void end(thread, new StoreError('ABORTED', `task of a worker took more than ${taskMs} ms`));
    }, taskMs);
    worker.ref();
  }

  #onAnswer(thread: Thread, answer: Answer): void {
    // An answer that comes while its thread is being ended is too late: its exit settles the task.
    if (thread.failure !== undefined) return;
    const { job } = thread;
    assert(job !== undefined, 'a worker answers what it was asked');
    clearTimeout(thread.timer);
    thread.job = undefined;
    this.#hasAnswered = true;
    if (answer.isDone) job.outcome.resolve(answer.result);
    else {
      const { code, message, stack } = answer;
      job.outcome.reject(new StoreError(code, message, { cause: stack }));
    }
    this.#goOn(thread);
  }

  /** The thread, which has no task now, takes the next one or rests. */
  #goOn(thread: Thread): void {
    const job = this.#waiting.shift();
    if (job !== undefined) {
      this.#give(thread, job);
      return;
    }
    thread.worker.unref();
    this.#idle.push(thread);
  }

  #onExit(thread: Thread, exitCode: number): void {
    clearTimeout(thread.timer);
    this.#threads.delete(thread);
    this.#removeIdle(thread);
    const message = `worker thread ended with exit code ${exitCode} during a task`;
    thread.job?.outcome.reject(thread.failure ?? new StoreError('UNAVAILABLE', message));
    const next = this.#waiting.shift();
    if (next !== undefined) this.#start(next);
  }

  #removeIdle(thread: Thread): void {
    const index = this.#idle.indexOf(thread);
    if (index >= 0) this.#idle.splice(index, 1);
  }
}

/** Ends this worker thread behind the answer to its task; the pool starts another when there is work. */
export function endThread(): void {
  setImmediate(() => process.exit());
}

/**
 * Called once in a worker's module: answers tasks until the pool closes. The handler may return a
 * {@link TransferredResult}. What it throws rejects the task and leaves the worker alive.
 */
export function serveTasks<Task, Result>(
  handler: (
    task: Task,
  ) => Result | TransferredResult<Result> | Promise<Result | TransferredResult<Result>>,
): void {
  const port = parentPort;
  assert(port !== null, 'tasks are served in a worker thread');
  port.on('message', (order: Order) => {
    if (order === 'end') port.close();
    else if (order === 'rest') collectGarbage();
    // Sent by a pool whose tasks are of this type.
    else void answerTask(port, () => handler(order.task as Task));
  });
}

interface Job {
  readonly task: unknown;
  readonly transfer: readonly ArrayBuffer[];
  readonly outcome: Deferred<unknown>;
}

/** A thread of the pool. While `job` is set, it has that task. */
interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
  timer: NodeJS.Timeout | undefined;
  /** Why the thread ends, once that is known. */
  failure: StoreError | undefined;
}

/** What a worker is sent. */
type Order = { readonly task: unknown } | 'end' | 'rest';

/** What a worker sends back. */
type Answer =
  | { readonly isDone: true; readonly result: unknown }
  | {
      readonly isDone: false;
      readonly code: StoreErrorCode;
      readonly message: string;
      readonly stack: string | undefined;
    };

/** How long a thread may take to end by itself: to load its program, or for the task that it has. */
const endingMsMax = 2000;

/**
 * Asks the thread to end, and ends it when it does not. One that is ended while Node loads its program
 * leaves the files of that program open in the process for ever (seen with Node 20).
 */
async function endByItself(thread: Thread, failure: StoreError): Promise<void> {
  thread.failure ??= failure;
  const { worker } = thread;
  const ended = deferred<void>();
  worker.once('exit', () => ended.resolve());
  worker.ref();
  worker.postMessage('end' satisfies Order);
  const timer = setTimeout(() => void end(thread, failure), endingMsMax);
  await ended.promise;
  clearTimeout(timer);
}

/** Ends the thread and then, by its `exit` event, its task. */
async function end(thread: Thread, failure: StoreError): Promise<void> {
  thread.failure ??= failure;
  await thread.worker.terminate();
}

async function answerTask(port: MessagePort, start: () => unknown): Promise<void> {
  try {
    const value = await start();
    const { result, transfer } = isTransferredResult(value)
      ? value
      : { result: value, transfer: [] };
    port.postMessage({ isDone: true, result } satisfies Answer, transfer);
  } catch (error) {
    const code = codeOf(error);
    const stack = error instanceof Error ? error.stack : undefined;
    port.postMessage({ isDone: false, code, message: messageOf(error), stack } satisfies Answer);
  }
}

function isTransferredResult(value: unknown): value is TransferredResult<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  return 'result' in value && 'transfer' in value && Array.isArray(value.transfer);
}

function codeOf(error: unknown): StoreErrorCode {
  if (isStoreError(error)) return error.code;
  return isMemoryRefusal(error) ? 'BUSY' : 'UNAVAILABLE';
}

function failureOf(what: string, error: unknown): StoreError {
  return new StoreError('UNAVAILABLE', `${what}: ${messageOf(error)}`, { cause: error });
}

function closedError(): StoreError {
  return new StoreError('CLOSED', 'the worker pool is closed');
}
