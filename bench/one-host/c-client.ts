import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess, SpawnOptions, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { projectRoot } from '../../tools/project.ts';
import { buildCProgram } from '../c-program.ts';

/** Numbers that the client gives for an order; what they are is said in client.c. */
export type Numbers = readonly number[];

export interface CClientOptions {
  /** A descriptor for what it writes to standard error; this process's own when absent. */
  readonly notes?: number | 'inherit';
  /** It is ended after so long; never when absent. */
  readonly timeoutMs?: number;
}

/** A program in C that takes orders: bench/one-host/client.c, linked to the shared library as an engine is, or peers.c. */
export class CClient {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  private constructor(
    command: readonly string[],
    environment: Readonly<Record<string, string>>,
    { notes = 'inherit', timeoutMs }: CClientOptions = {},
  ) {
    const [program, ...args] = command;
    const stdio: StdioOptions = ['pipe', 'pipe', notes];
    const options: SpawnOptions = { stdio, env: environment, killSignal: 'SIGKILL' };
    this.#child = spawn(program, args, { ...options, timeout: timeoutMs });
    this.#ended = once(this.#child, 'close');
    if (this.#child.stdout === null) throw new Error('the client has no output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Compiles the client; gives its path. */
  static build(directory: string): Promise<string> {
    return buildCProgram(directory, 'one-host/client.c');
  }

  /** Compiles the client of the peers into the directory; undefined where a library of theirs is missing. */
  static buildPeers(directory: string): string | undefined {
    const program = join(directory, 'one-host-peers');
    return compile('peers.c', program, ['-lhiredis', '-llmdb']) ? program : undefined;
  }

  static start(
    command: readonly [string, ...string[]],
    environment: Readonly<Record<string, string>>,
    options: CClientOptions = {},
  ): CClient {
    return new CClient(command, environment, options);
  }

  /**
   * System calls of the client between the two that mark something in the orders, on all threads, by strace;
   * undefined where there is none.
   */
  static async countCalls(
    program: string,
    environment: Readonly<Record<string, string>>,
    orders: readonly string[],
    directory: string,
  ): Promise<number | undefined> {
    if (spawnSync('strace', ['-V']).status !== 0) return undefined;
    const log = join(directory, 'strace.txt');
    const client = new CClient(['strace', '-f', '-o', log, program], environment);
    for (const order of orders) await client.order(order);
    await client.stop();
    const lines = readFileSync(log, 'utf8').split('\n');
    const marks = lines.flatMap((line, at) => (line.includes(' getppid()') ? [at] : []));
    if (marks.length !== 2) throw new Error(`strace shows ${marks.length} marks instead of 2`);
    return marks[1] - marks[0] - 1;
  }

  async order(line: string): Promise<Numbers> {
    this.#child.stdin?.write(`${line}\n`);
    const answer = await this.#lines.next();
    if (answer.done === true) throw new Error(`the client in C has ended: ${line}`);
    return answer.value.split(' ').map(Number);
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }
}

function compile(source: string, program: string, flags: readonly string[]): boolean {
  const path = join(projectRoot(), 'bench', 'one-host', source);
  const { status } = spawnSync('cc', ['-O2', path, ...flags, '-o', program], { stdio: 'inherit' });
  return status === 0;
}
