import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestTask } from '../../test/support/worker-pool-test-worker.ts';
import { StoreError } from '../base/errors.ts';
import type { StoreErrorCode } from '../base/errors.ts';
import { WorkerPool } from './worker-pool.ts';
import type { WorkerPoolOptions } from './worker-pool.ts';

const module = new URL('../../test/support/worker-pool-test-worker.js', import.meta.url);
const pools: WorkerPool[] = [];

function openPool(options: Partial<WorkerPoolOptions> = {}): WorkerPool {
  const pool = new WorkerPool({
    module,
    workersMax: 1,
    tasksMax: 8,
    taskMs: 60_000,
    ...options,
  });
  pools.push(pool);
  return pool;
}

function ask<Result = unknown>(pool: WorkerPool, task: TestTask): Promise<Result> {
  return pool.run<TestTask, Result>(task);
}

function sharedFlag(): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4));
}

function isError(code: StoreErrorCode, message: RegExp): (error: unknown) => boolean {
  return (error) =>
    error instanceof StoreError && error.code === code && message.test(error.message);
}

after(() => Promise.all(pools.map((pool) => pool.close())));

describe('a worker pool', () => {
  it('runs a task in another thread and answers with its result', async () => {
    const pool = openPool();
    const value = { text: 'wombat', list: [1, 2n, undefined], bytes: new Uint8Array([1, 2]) };
    assert.deepEqual(await ask(pool, { kind: 'echo', value }), value);
    assert.notEqual(await ask(pool, { kind: 'thread' }), 0);
  });

  it('uses one thread for tasks that come one after another', async () => {
    const pool = openPool({ workersMax: 4 });
    const threads = new Set<unknown>();
    for (let i = 0; i < 5; i += 1) threads.add(await ask(pool, { kind: 'thread' }));
    assert.equal(threads.size, 1);
  });

  it('has its threads collect their garbage when there is nothing to do', async () => {
    const pool = openPool();
    await ask(pool, { kind: 'drop' });
    assert.equal(await ask(pool, { kind: 'has-dropped' }), false);
    pool.rest();
    assert.equal(await ask(pool, { kind: 'has-dropped' }), true);
  });

  it('runs up to workersMax tasks at once, and the others in order', async () => {
    const pool = openPool({ workersMax: 2 });
    const flags = [sharedFlag(), sharedFlag()];
    const blocked = flags.map((flag) => ask(pool, { kind: 'wait-until-set', flag }));
    const order: number[] = [];
    const later = [0, 1, 2].map(async (value) => {
      await ask(pool, { kind: 'echo', value });
      order.push(value);
    });
    await sleep(50);
    assert.deepEqual(order, []);
    set(flags[1]);
    await Promise.all(later);
    assert.deepEqual(order, [0, 1, 2]);
    set(flags[0]);
    await Promise.all(blocked);
  });

  it('shares views on shared memory with the worker', async () => {
    const memory = new SharedArrayBuffer(16);
    await ask(openPool(), { kind: 'fill', bytes: new Uint8Array(memory, 4, 8), value: 9 });
    assert.deepEqual([...new Uint8Array(memory)], [0, 0, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0]);
  });

  it('moves what the transfer lists name, there and back', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const task: TestTask = { kind: 'move', bytes };
    const moved = await openPool().run<TestTask, Uint8Array>(task, [bytes.buffer]);
    assert.equal(bytes.length, 0);
    assert.deepEqual([...moved], [1, 2, 3]);
  });

  it('rejects with BUSY when tasksMax tasks wait', async () => {
    const pool = openPool({ tasksMax: 2 });
    const flag = sharedFlag();
    const tasks = [
      ask(pool, { kind: 'wait-until-set', flag }),
      ask(pool, { kind: 'echo', value: 1 }),
      ask(pool, { kind: 'echo', value: 2 }),
    ];
    await assert.rejects(ask(pool, { kind: 'echo', value: 3 }), isError('BUSY', /2 tasks wait/));
    set(flag);
    assert.deepEqual(await Promise.all(tasks), [undefined, 1, 2]);
  });

  it('rejects with the StoreError that the handler threw', async () => {
    const pool = openPool();
    await assert.rejects(
      ask(pool, { kind: 'throw-store-error' }),
      isError('CORRUPT', /^bytes 7 to 9 are wrong$/),
    );
    assert.equal(await ask(pool, { kind: 'echo', value: 1 }), 1);
  });

  it('rejects with BUSY when the thread has no memory', async () => {
    const pool = openPool();
    await assert.rejects(ask(pool, { kind: 'want-memory' }), isError('BUSY', /allocation failed/));
    assert.notEqual(await ask(pool, { kind: 'thread' }), 0);
  });

  it('rejects with UNAVAILABLE and the message of any other error', async () => {
    const pool = openPool();
    const thread = await ask(pool, { kind: 'thread' });
    await assert.rejects(
      ask(pool, { kind: 'throw-other' }),
      isError('UNAVAILABLE', /^not a store error$/),
    );
    await assert.rejects(
      ask(pool, { kind: 'return-function' }),
      isError('UNAVAILABLE', /could not be cloned/),
    );
    assert.equal(await ask(pool, { kind: 'thread' }), thread, 'the worker lives on');
  });

  it('refuses a task that cannot be sent, and goes on', async () => {
    const pool = openPool();
    const task: TestTask = { kind: 'echo', value: () => undefined };
    await assert.rejects(ask(pool, task), TypeError);
    assert.equal(await ask(pool, { kind: 'echo', value: 1 }), 1);
  });
});

describe('a worker that fails', () => {
  it('by process.exit rejects its task, and the next one gets a new worker', async () => {
    const pool = openPool();
    const failing = ask(pool, { kind: 'exit' });
    const next = ask(pool, { kind: 'echo', value: 'next' });
    await assert.rejects(failing, isError('UNAVAILABLE', /exit code 3/));
    assert.equal(await next, 'next');
  });

  it('by an uncaught error rejects its task, and the next one gets a new worker', async () => {
    const pool = openPool();
    const failing = ask(pool, { kind: 'throw-later' });
    await assert.rejects(failing, isError('UNAVAILABLE', /nobody catches this/));
    assert.equal(await ask(pool, { kind: 'echo', value: 'next' }), 'next');
  });

  it('between two tasks is replaced', async () => {
    const pool = openPool();
    assert.equal(await ask(pool, { kind: 'exit-after-answer' }), 'answer');
    await sleep(100);
    assert.equal(await ask(pool, { kind: 'echo', value: 1 }), 1);
  });

  it('because its module is absent rejects every task', async () => {
    const pool = openPool({ module: new URL('./absent.js', import.meta.url) });
    const tasks = [1, 2, 3].map((value) => ask(pool, { kind: 'echo', value }));
    await Promise.all(
      tasks.map((task) => assert.rejects(task, isError('UNAVAILABLE', /Cannot find module/))),
    );
  });

  // On a busy machine a thread may not even have started in the time of a task: hence the loops.
  it('by taking too long is ended before its task is rejected, and replaced', async () => {
    const pool = openPool({ taskMs: 300 });
    const isAborted = isError('ABORTED', /more than 300 ms/);
    const counter = sharedFlag();
    while (counter[0] === 0) {
      await assert.rejects(ask(pool, { kind: 'count-forever', counter }), isAborted);
    }
    const count = counter[0];
    const next = async (): Promise<unknown> =>
      ask(pool, { kind: 'echo', value: 'next' }).catch((error: unknown) => {
        assert.ok(isAborted(error));
        return next();
      });
    assert.equal(await next(), 'next');
    assert.equal(counter[0], count, 'it does not touch shared memory any more');
  });
});

describe('a closed worker pool', () => {
  it('rejects what waits, runs or comes later with CLOSED', async () => {
    const pool = openPool();
    const running = ask(pool, { kind: 'count-forever', counter: sharedFlag() });
    const waiting = ask(pool, { kind: 'echo', value: 1 });
    const closing = pool.close();
    const later = ask(pool, { kind: 'echo', value: 2 });
    await Promise.all(
      [running, waiting, later].map((task) => assert.rejects(task, isError('CLOSED', /closed/))),
    );
    await closing;
    await pool.close();
  });
});

describe('the process', () => {
  it('ends with idle workers, and not before a running task', () => {
    const program = `
      import { WorkerPool } from ${JSON.stringify(new URL('./worker-pool.js', import.meta.url).href)};
      const module = new URL(${JSON.stringify(module.href)});
      const pool = new WorkerPool({ module, workersMax: 1, tasksMax: 1, taskMs: 60000 });
      pool.run({ kind: 'echo', value: 1 })
        .then(() => new Promise((next) => setTimeout(next, 50)))
        .then(() => pool.run({ kind: 'echo', value: 'done' }))
        .then((text) => process.stdout.write(text));
    `;
    const started = performance.now();
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.equal(child.stderr, '');
    assert.equal(child.stdout, 'done');
    assert.equal(child.status, 0);
    assert.ok(performance.now() - started < 30_000);
  });
});

function set(flag: Int32Array): void {
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}
