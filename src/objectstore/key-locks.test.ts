import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, describe, it } from 'node:test';
import { inTime, rejectsWith } from '../../test/conformance/object-store-harness.ts';
import { withHookedFiles } from '../../test/support/hooked-files.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { deferred } from '../base/deferred.ts';
import { StoreError } from '../base/errors.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import type { Call } from './call-gate.ts';
import { KeyLocks } from './key-locks.ts';

const platform = nodePlatform();
const directory = await makeTemporaryDirectory('locks');
after(() => directory.remove());

const call: Call = { signal: undefined, check: () => undefined, hold: (task) => task() };

/** As another process would see the directory: nothing in common but its files. */
function otherProcess(staleMs = 5000): KeyLocks {
  return new KeyLocks(platform, directory.path, { staleMs });
}

/** Many holders at once, of which never two may be inside. */
async function contend(lockers: readonly KeyLocks[], name: string, rounds: number): Promise<void> {
  let inside = 0;
  const holder = async (locks: KeyLocks): Promise<void> => {
    for (let round = 0; round < rounds; round += 1) {
      await locks.hold(name, call, async (lock) => {
        inside += 1;
        assert.equal(inside, 1);
        await sleep(1);
        lock.check();
        inside -= 1;
      });
    }
  };
  await inTime(30_000, name, Promise.all(lockers.map(holder)));
}

describe('KeyLocks', () => {
  it('lets one holder in at a time within a process', async () => {
    const locks = otherProcess();
    await contend([locks, locks, locks, locks], 'within', 10);
    assert.deepEqual(await readdir(directory.path), []);
  });

  it('lets one holder in at a time among processes', async () => {
    await contend([otherProcess(), otherProcess(), otherProcess(), otherProcess()], 'among', 10);
    assert.deepEqual(await readdir(directory.path), []);
  });

  it('lets holders of different names in together', async () => {
    const locks = otherProcess();
    const result = await locks.hold('a', call, () => locks.hold('b', call, async () => 'both'));
    assert.equal(result, 'both');
  });

  it('gives the lock back when the task fails', async () => {
    const locks = otherProcess();
    const failing = locks.hold('failing', call, () => Promise.reject(new Error('no')));
    await assert.rejects(failing, /no/);
    assert.equal(await locks.hold('failing', call, async () => 'next'), 'next');
  });

  it('takes a dead owner’s lock away once, however many wait for it', async () => {
    await writeFile(`${directory.path}/lock-dead`, '');
    const start = performance.now();
    await contend(
      Array.from({ length: 8 }, () => otherProcess(300)),
      'dead',
      2,
    );
    assert.ok(performance.now() - start >= 300);
    assert.deepEqual(await readdir(directory.path), []);
  });

  // Goal: who saw a dead lock never removes the lock of somebody who was faster. Method: one waiter
  // is held up between what it saw and what it does, until another has taken the lock over.
  it('does not take away the lock of one who was faster', async () => {
    await writeFile(`${directory.path}/lock-slow-taker`, '');
    const [aboutToTake, mayTake, leave] = [deferred<void>(), deferred<void>(), deferred<void>()];
    const hooked = withHookedFiles(platform, (fileCall, path) => {
      if (fileCall !== 'open' || !path.endsWith('-guard')) return undefined;
      aboutToTake.resolve();
      return mayTake.promise;
    });
    const order: string[] = [];
    const slow = new KeyLocks(hooked, directory.path, { staleMs: 400 });
    const slowHold = slow.hold('slow-taker', call, async () => void order.push('slow'));
    await inTime(5000, 'the slow one sees a dead lock', aboutToTake.promise);
    const entered = deferred<void>();
    const fastHold = otherProcess(400).hold('slow-taker', call, async () => {
      entered.resolve();
      await leave.promise;
      order.push('fast');
    });
    await inTime(5000, 'the fast one takes it over', entered.promise);
    mayTake.resolve();
    await sleep(100);
    assert.deepEqual(order, [], 'the slow one is kept out');
    leave.resolve();
    await inTime(5000, 'both', Promise.all([fastHold, slowHold]));
    assert.deepEqual(order, ['fast', 'slow']);
  });

  // Goal: a death in mid-take-over locks a name for a while, not for ever. Method: two waiters in a
  // row never come back from the moment at which they hold the guard, as if they were killed there.
  it('takes a lock over from takers that died before they removed it', async () => {
    await writeFile(`${directory.path}/lock-taken-twice`, '');
    for (let death = 0; death < 2; death += 1) {
      const guarded = deferred<void>();
      let isGuarded = false;
      const hooked = withHookedFiles(platform, (fileCall, path) => {
        if (fileCall === 'close' && path.endsWith('-guard')) isGuarded = true;
        else if (isGuarded && fileCall === 'status') {
          guarded.resolve();
          return new Promise(() => undefined);
        }
        return undefined;
      });
      const dying = new KeyLocks(hooked, directory.path, { staleMs: 200 });
      void dying.hold('taken-twice', call, () => assert.fail('held by a dead one'));
      await inTime(5000, `death ${death}`, guarded.promise);
    }
    assert.equal((await readdir(directory.path)).length, 3);
    await contend([otherProcess(200), otherProcess(200), otherProcess(200)], 'taken-twice', 2);
    assert.deepEqual(await readdir(directory.path), []);
  });

  it('does not take a lock away that changes hands all the while', async () => {
    let isBusy = true;
    const busy = async (locks: KeyLocks): Promise<void> => {
      while (isBusy) {
        await locks.hold('busy', call, async (lock) => {
          await sleep(5);
          lock.check();
        });
      }
    };
    const holders = [busy(otherProcess(400)), busy(otherProcess(400))];
    await sleep(1200);
    isBusy = false;
    await inTime(10_000, 'holders', Promise.all(holders));
  });

  it('refuses to act when the lock was held for half of the time that makes it stale', async () => {
    const locks = otherProcess(100);
    const slow = locks.hold('slow', call, async (lock) => {
      await sleep(80);
      lock.check();
    });
    await rejectsWith('UNAVAILABLE', slow);
    // It is left in place, since it may be another's by now; the next one finds it dead.
    assert.deepEqual(await readdir(directory.path), ['lock-slow']);
    const next = inTime(
      5000,
      'next',
      locks.hold('slow', call, async () => 'next'),
    );
    assert.equal(await next, 'next');
  });

  it('stops waiting when the call should end', async () => {
    await writeFile(`${directory.path}/lock-waiting`, '');
    let checks = 0;
    const ending: Call = {
      ...call,
      check: () => {
        checks += 1;
        if (checks > 3) throw new StoreError('ABORTED', 'enough');
      },
    };
    const never = (): never => assert.fail('held');
    const waiting = otherProcess().hold('waiting', ending, never);
    await rejectsWith('ABORTED', inTime(5000, 'waiting', waiting));
  });
});
