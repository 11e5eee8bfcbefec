import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { blake3Hex } from '../../src/base/blake3.ts';
import type { StoreConfig } from '../../src/index.ts';
import { chainOf } from '../support/chains.ts';
import type { StoreAnswer, StoreOrder } from './store-child.ts';

const script = fileURLToPath(new URL('./store-child.js', import.meta.url));

/** Another process with a store, which does what it is told until it is closed or killed. */
export class StoreProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** It ends with the test at the latest. */
  static async start(context: TestContext, config: StoreConfig): Promise<StoreProcess> {
    const child = fork(script, [JSON.stringify(config)], { execArgv: [] });
    context.after(() => child.kill('SIGKILL'));
    const process = new StoreProcess(child);
    await process.#answer();
    return process;
  }

  /** Saves a chain; resolves to how many blocks were new. */
  async save(name: string, count: number, options: { durable?: boolean } = {}): Promise<number> {
    const { durable = false } = options;
    return (await this.#obey({ kind: 'save', name, count, durable })).count ?? -1;
  }

  /** Checks that the process loads every block of the chain as it was saved. */
  async assertLoads(name: string, count: number): Promise<void> {
    const { digests } = await this.#obey({ kind: 'load', name, count });
    assert.deepEqual(
      digests,
      chainOf(name, count).blocks.map(({ payload }) => blake3Hex(payload)),
    );
  }

  async lookup(name: string, count: number): Promise<number> {
    return (await this.#obey({ kind: 'lookup', name, count })).count ?? -1;
  }

  async pending(): Promise<number> {
    return (await this.#obey({ kind: 'pending' })).count ?? -1;
  }

  async flush(): Promise<void> {
    await this.#obey({ kind: 'flush' });
  }

  async close(): Promise<void> {
    await this.#obey({ kind: 'close' });
    const exited = once(this.#child, 'exit');
    this.#child.disconnect();
    await exited;
  }

  async kill(): Promise<void> {
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  async #obey(order: StoreOrder): Promise<StoreAnswer> {
    const answered = this.#answer();
    this.#child.send(order);
    return answered;
  }

  /** The next message; one order is under way at a time. */
  async #answer(): Promise<StoreAnswer> {
    const ended = once(this.#child, 'exit').then(() => {
      throw new Error('the process ended before it answered');
    });
    const answered = once(this.#child, 'message');
    const [answer] = (await Promise.race([answered, ended])) as [StoreAnswer];
    ended.catch(() => undefined);
    assert.equal(answer.failure, undefined);
    return answer;
  }
}
