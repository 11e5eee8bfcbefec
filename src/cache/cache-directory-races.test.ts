import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ClaimOrder, ClaimReport } from '../../test/support/claim-child.ts';
import { killablePlatform } from '../../test/support/killable-platform.ts';
import type { KillablePlatform } from '../../test/support/killable-platform.ts';
import { seededRandom } from '../../test/support/random.ts';
import type { SeededRandom } from '../../test/support/random.ts';
import { deferred } from '../base/deferred.ts';
import { limits } from '../blocks/limits.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Platform } from '../platform/platform.ts';
import { claimDirectory } from './cache-directory.ts';
import { encodeOwnerFields } from './cache-owner.ts';

const childFile = fileURLToPath(new URL('../../test/support/claim-child.js', import.meta.url));
const identity = { url: 's3://bucket', keyPrefix: 'wombatkv' };
const platform = nodePlatform();

/** A test that hangs leaves children at work; many times what it takes on a busy machine. */
const timeout = 120_000;

let cacheDirectory: string;
const children = new Set<ClaimChild>();

describe('cache directory of several processes', { timeout }, () => {
  beforeEach(async () => {
    // In memory where there is such a place: waiting for a disk would cost most of the rounds.
    const { memoryDirectory, temporaryDirectory } = platform.host;
    cacheDirectory = await mkdtemp(join(memoryDirectory ?? temporaryDirectory, 'wombatkv-claims-'));
  });

  afterEach(async () => {
    await Promise.all([...children].map((child) => child.kill()));
    await rm(cacheDirectory, { recursive: true, force: true });
  });

  it('gives a directory on after kill and release, not while its owner lives', async () => {
    const [first, second] = await Promise.all([startChild(), startChild()]);
    assert.equal(await first.claim(), 0);
    assert.equal(await second.claim(), 1);
    await writeFile(join(cacheDirectory, 'v1', '0', 'segment-1.log'), 'blocks');

    // A stopped owner is alive.
    first.process.kill('SIGSTOP');
    const third = await claimDirectory(platform, cacheDirectory, identity);
    assert.equal(third?.number, 2);

    await first.kill();
    const heir = await claimDirectory(platform, cacheDirectory, identity);
    assert.equal(heir?.number, 0);
    assert.equal(heir.wasUsed, true);
    const names = (await platform.files.list(heir.path)).map(({ name }) => name);
    assert.ok(names.includes('segment-1.log'));
    // The dead owner's socket is gone: the one left is the heir's.
    assert.equal(names.filter((name) => name.endsWith('.sock')).length, 1);

    await second.tell('release', 'released');
    const next = await claimDirectory(platform, cacheDirectory, identity);
    assert.equal(next?.number, 1);
    await Promise.all([third.release(), heir.release(), next.release()]);
  });

  it('gives twelve processes that claim at once eight different directories', async () => {
    const claimers = await Promise.all(Array.from({ length: 12 }, startChild));
    const numbers = await Promise.all(claimers.map((child) => child.claim()));
    const taken = numbers.filter((number) => number !== undefined);
    assert.deepEqual(new Set(taken), new Set([0, 1, 2, 3, 4, 5, 6, 7]));
    assert.equal(taken.length, 8);
  });

  it('never has two owners while processes are killed at any moment', async () => {
    await leaveOneDirectory();
    const killed = new Set<number>();
    let holds = 0;
    let found = 0;
    const random = seededRandom('kill');
    const watch = (child: ClaimChild, report: ClaimReport): void => {
      if (report.event === 'holding') holds += 1;
      if (report.event === 'failed') assert.fail(report.message);
      if (report.event !== 'found') return;
      found += 1;
      assert.ok(killed.has(report.processId), `${child.process.pid} met ${report.processId}`);
    };
    const failures: unknown[] = [];
    const startRacer = async (): Promise<ClaimChild> => {
      const child = await startChild();
      child.process.on('message', (report: ClaimReport) => {
        try {
          watch(child, report);
        } catch (error) {
          failures.push(error);
        }
      });
      child.process.send('race' satisfies ClaimOrder);
      return child;
    };
    const racers = await Promise.all(Array.from({ length: 4 }, startRacer));
    for (let round = 0; round < 10 || holds < 20 || found === 0; round += 1) {
      const index = random.below(racers.length);
      const victim = racers[index];
      assert.ok(victim);
      // Half of the time at once, so that it dies holding the directory or on the way to it.
      if (random.below(2) === 0) await Promise.race([once(victim.process, 'message'), wait(200)]);
      killed.add(victim.process.pid ?? 0);
      const [racer] = await Promise.all([startRacer(), victim.kill()]);
      racers[index] = racer;
      assert.deepEqual(failures, []);
    }
  });

  /**
   * Many more rounds than real processes give: six claimers in this process want one directory,
   * every step of theirs takes a random time, sometimes a long one, and each is killed at a random
   * step. What a killed one had begun counts as done, and its socket closes, as in a real death.
   */
  it('never has two owners when every step takes any time', async () => {
    await leaveOneDirectory();
    const random = seededRandom('steps');
    let owner: Platform | undefined;
    let holds = 0;
    let kills = 0;

    const live = async ({ platform: own, gate }: KillablePlatform): Promise<void> => {
      for (;;) {
        const directory = await claimDirectory(own, cacheDirectory, identity);
        if (directory === undefined) {
          await gate.pass(() => wait(random.below(10)));
          continue;
        }
        assert.equal(owner, undefined, 'two owners');
        owner = own;
        holds += 1;
        await gate.pass(() => wait(random.below(3)));
        assert.equal(owner, own, 'the owner was replaced');
        owner = undefined;
        await directory.release();
      }
    };
    const runOne = async (): Promise<void> => {
      while (holds < 50 || kills < 30) {
        const death = deferred<void>();
        let stepsLeft = random.below(200);
        const countStep = (): void => {
          stepsLeft -= 1;
          if (stepsLeft < 0) death.resolve();
        };
        const life = killablePlatform(slowPlatform(random, countStep));
        await Promise.race([live(life), death.promise]);
        // From here on nothing of it happens, so what it owned is free once its socket closes.
        const killing = life.kill();
        if (owner === life.platform) owner = undefined;
        kills += 1;
        await killing;
      }
    };
    await Promise.all(Array.from({ length: 6 }, runOne));
  });
});

/** Every directory but the first belongs to a version that does not exist yet. */
async function leaveOneDirectory(): Promise<void> {
  for (let number = 1; number < limits.cacheDirectoriesMax; number += 1) {
    const path = join(cacheDirectory, 'v1', String(number));
    await mkdir(path, { recursive: true });
    await writeFile(join(path, 'owner-1'), encodeOwnerFields({ formatVersion: 2 }));
  }
}

/** The platform with a random pause before each operation on the one directory wanted. */
function slowPlatform(random: SeededRandom, countStep: () => void): Platform {
  const wanted = join(cacheDirectory, 'v1', '0');
  const pause = async (path: unknown): Promise<void> => {
    if (typeof path !== 'string' || !path.startsWith(wanted)) return;
    countStep();
    if (random.below(60) === 0) await wait(random.below(30));
    for (let turns = random.below(4); turns > 0; turns -= 1) await platform.clock.yield();
  };
  return {
    ...platform,
    files: slowed(platform.files, pause),
    endpoints: slowed(platform.endpoints, pause),
  };
}

function slowed<Target extends object>(
  target: Target,
  pause: (path: unknown) => Promise<void>,
): Target {
  const methods = Object.entries(target).map(([name, method]: [string, AsyncMethod]) => [
    name,
    async (...args: unknown[]) => {
      await pause(args[0]);
      return method.apply(target, args);
    },
  ]);
  return Object.fromEntries(methods) as Target;
}

type AsyncMethod = (...args: unknown[]) => Promise<unknown>;

/** Unlike the clock's sleep, keeps the test running. */
function wait(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

class ClaimChild {
  readonly process: ChildProcess;

  constructor(process: ChildProcess) {
    this.process = process;
  }

  async claim(): Promise<number | undefined> {
    const report = await this.tell('claim', 'claimed');
    assert.equal(report.event, 'claimed');
    return report.number;
  }

  async tell(order: ClaimOrder, answer: ClaimReport['event']): Promise<ClaimReport> {
    this.process.send(order);
    return this.hear(answer);
  }

  async hear(answer: ClaimReport['event']): Promise<ClaimReport> {
    for await (const [message] of on(this.process, 'message')) {
      const report = message as ClaimReport;
      if (report.event === answer) return report;
      assert.fail(`${report.event} instead of ${answer}`);
    }
    return assert.fail('no answer');
  }

  async kill(): Promise<void> {
    children.delete(this);
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exit = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exit;
  }
}

async function startChild(): Promise<ClaimChild> {
  const child = new ClaimChild(fork(childFile, [cacheDirectory]));
  children.add(child);
  await child.hear('ready');
  return child;
}
