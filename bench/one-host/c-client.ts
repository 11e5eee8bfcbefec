import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { cachedLibrary } from '../../tools/capi-build.ts';
import { projectRoot } from '../../tools/project.ts';

/** Numbers that the client gives for an order; what they are is said in client.c. */
export type Numbers = readonly number[];

/** bench/one-host/client.c, linked to the shared library as an engine is. */
export class CClient {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  private constructor(command: readonly string[], environment: Readonly<Record<string, string>>) {
    const [program, ...args] = command;
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'], env: environment });
    this.#ended = once(this.#child, 'close');
    if (this.#child.stdout === null) throw new Error('the client has no output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Compiles the client; gives its path. */
  static async build(directory: string): Promise<string> {
    const { prefix } = await cachedLibrary({ compiler: 'cc', flavour: 'plain' });
    const program = join(directory, 'one-host-client');
    const source = join(projectRoot(), 'bench', 'one-host', 'client.c');
    const flags = ['-O2', `-I${prefix}/include`, `-L${prefix}/lib`, `-Wl,-rpath,${prefix}/lib`];
    const args = [...flags, source, '-lwombatkv', '-o', program];
    const { status } = spawnSync('cc', args, { stdio: 'inherit' });
    if (status !== 0) throw new Error('the client in C cannot be compiled');
    return program;
  }

  static start(program: string, environment: Readonly<Record<string, string>>): CClient {
    return new CClient([program], environment);
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
