import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../tools/project.ts';

export type Direction = 'get' | 'put';

/** Two processes that move bytes over a socket and do nothing else: what T and U are taken from. */
export class SocketLimit {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(program: string, args: readonly string[]) {
    this.#child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('the pair has no output');
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** C to C where there is a compiler; else two processes of Node with the same orders. */
  static start(kind: 'tcp' | 'unix', directory: string): SocketLimit {
    const program = join(directory, 'pair');
    const source = join(projectRoot(), 'bench', 'between-hosts', 'pair.c');
    const args = [kind, join(directory, `pair-${kind}.sock`)];
    const { status } = spawnSync('cc', ['-O2', '-o', program, source], { stdio: 'inherit' });
    if (status === 0) return new SocketLimit(program, args);
    const module = fileURLToPath(new URL('./pair-child.js', import.meta.url));
    return new SocketLimit(process.execPath, [module, ...args]);
  }

  /** True when the pair is of C. */
  static get isNative(): boolean {
    return spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0;
  }

  /** Milliseconds that so many bytes take. */
  async move(direction: Direction, bytes: number): Promise<number> {
    this.#child.stdin?.write(`${direction} ${bytes}\n`);
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the pair of sockets has ended');
    return Number(line.value) / 1e6;
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await ended;
  }
}
