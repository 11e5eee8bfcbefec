import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { PutResult } from '../../src/objectstore/object-store.ts';
import type { PutRace, PutRaceOrder } from './object-store-harness.ts';

const script = fileURLToPath(new URL('put-race-child.js', import.meta.url));

/**
 * Processes that put at once, for any store that `openObjectStore` knows by its URL. They are started
 * by the first race that needs them and take part in those that follow, because starting one costs
 * a hundred times what its put does. Whoever made the fleet closes it.
 */
export class RaceFleet {
  readonly #contenders: Contender[] = [];

  /**
   * The race with a process for each contender, all with the store open before the first may put. The domain is as in
   * `virtual-host.ts`.
   */
  async race(url: string, race: PutRace, domain?: string): Promise<PutResult['outcome'][]> {
    while (this.#contenders.length < race.contenders) this.#contenders.push(new Contender());
    const racing = this.#contenders.slice(0, race.contenders);
    await Promise.all(
      racing.map((one, contender) => one.open({ ...race, url, contender, domain })),
    );
    return Promise.all(racing.map((one) => one.put()));
  }

  async close(): Promise<void> {
    await Promise.all(this.#contenders.splice(0).map((one) => one.close()));
  }
}

/** One process of the fleet, which `put-race-child.ts` is. */
class Contender {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor() {
    const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#child = child;
  }

  async open(order: PutRaceOrder): Promise<void> {
    this.#say(JSON.stringify(order));
    assert.equal((await this.#lines.next()).value, 'ready');
  }

  async put(): Promise<PutResult['outcome']> {
    this.#say('go');
    const { value } = await this.#lines.next();
    assert.ok(value === 'stored' || value === 'present' || value === 'changed', `said ${value}`);
    return value;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await exited;
  }

  #say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }
}
