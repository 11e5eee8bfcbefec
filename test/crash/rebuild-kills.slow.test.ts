import assert from 'node:assert/strict';
import { existsSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connect } from '../../src/client/connect.ts';
import { isStoreError } from '../../src/base/errors.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const length = 40;
const bytes = 1500;
const chainsMax = 600;

/** How a daemon is killed. */
interface Plan {
  readonly title: string;
  /** Of the memory tier: with little of it old entries fill the index, with much the first index is too small. */
  readonly memory: string;
  readonly kills: number;
  /** Milliseconds from the beginning of a build to the kill, at most. */
  readonly withinMs: number;
}

const plans: readonly Plan[] = [
  { title: 'as large as before', memory: '4MiB', kills: 6, withinMs: 4 },
  { title: 'larger than before', memory: '128MiB', kills: 5, withinMs: 40 },
];

/**
 * Goal: what a daemon accepted is there, byte for byte, after it was killed while it built its index anew; and whoever
 * reads its memory meanwhile reads what was saved.
 * Method: one client saves chains until the file of a new index appears, and reads some of them through shared memory;
 * a moment later the daemon gets SIGKILL. The next one must give every chain that was accepted.
 */
describe('SIGKILL of a daemon that builds its index anew', { skip: withoutNative() }, () => {
  for (const plan of plans) {
    it(`loses nothing that was accepted: an index ${plan.title}`, async (context) => {
      const home = await makeTemporaryDirectory('rebuild-kills');
      try {
        const counts = { accepted: 0, unfinished: 0, lent: 0 };
        for (let kill = 0; kill < plan.kills; kill += 1) {
          const name = `${plan.memory}-${kill}`;
          const { accepted, isUnfinished, lent } = await killInBuild(home, plan, name);
          await checkAccepted(home, plan, name, accepted);
          counts.accepted += accepted;
          counts.unfinished += Number(isUnfinished);
          counts.lent += lent;
        }
        context.diagnostic(
          `${plan.kills} kills, ${counts.unfinished} of them in the midst of a build; ` +
            `${counts.accepted} chains were accepted, ${counts.lent} read from shared memory`,
        );
        assert(counts.unfinished > 0, 'no kill met a build that was not finished');
        assert(counts.lent > 0, 'nothing was read from shared memory');
      } finally {
        await home.remove();
      }
    });
  }
});

function startDaemon(home: TemporaryDirectory, { memory }: Plan): DaemonProcess {
  return new DaemonProcess([], {
    HOME: home.path,
    WMBT_KV_RUNTIME_DIR: join(home.path, 'run'),
    WMBT_KV_PUFFER_RAM_BYTES: memory,
  });
}

/** Saves and reads until the daemon is killed. */
async function killInBuild(
  home: TemporaryDirectory,
  plan: Plan,
  name: string,
): Promise<{ accepted: number; isUnfinished: boolean; lent: number }> {
  const daemon = startDaemon(home, plan);
  const [unix] = await daemon.ready();
  const memory = readFileSync(`${unix.slice('unix:'.length)}.shm`, 'utf8').trim();
  const store = await connect(unix.replace('unix:', 'shm:'));
  let killing: Promise<unknown> | undefined;
  const watcher = watch(memory, (_, file) => {
    if (file !== 'index-next') return;
    killing ??= new Promise((done) => {
      setTimeout(() => void daemon.stop('SIGKILL').then(done), Math.random() * plan.withinMs);
    });
  });
  let [accepted, lent] = [0, 0];
  let isCutShort = false;
  try {
    for (; accepted < chainsMax && !isCutShort; accepted += 1) {
      const chain = chainOf(`${name}-${accepted}`, length, bytes);
      await store.save(chain.blocks);
      if (accepted % 4 !== 0) continue;
      const borrow = await store.load(chain.keys);
      // Of a daemon that is killed in the midst of an answer a client has its beginning.
      isCutShort = killing !== undefined && borrow.reason === 'unavailable';
      if (!isCutShort) assert.equal(borrow.blocks.length, length, borrow.reason);
      for (const [i, { payload }] of borrow.blocks.entries()) {
        assert.equal(Buffer.compare(payload, chain.blocks[i].payload), 0, `block ${i}`);
      }
      const isLent = borrow.blocks.every(({ payload }) => payload.buffer.byteLength > 1024 * 1024);
      if (isLent && !isCutShort) lent += 1;
      borrow.release();
    }
    assert.ok(isCutShort, `no index was built anew for ${chainsMax} chains`);
  } catch (error) {
    if (!isStoreError(error)) throw error;
  } finally {
    watcher.close();
    await (killing ?? daemon.stop('SIGKILL'));
    await store.close();
  }
  return { accepted, isUnfinished: existsSync(join(memory, 'index-next')), lent };
}

/** The next daemon has all of them. */
async function checkAccepted(
  home: TemporaryDirectory,
  plan: Plan,
  name: string,
  accepted: number,
): Promise<void> {
  const daemon = startDaemon(home, plan);
  try {
    const [unix] = await daemon.ready();
    const store = await connect(unix.replace('unix:', 'shm:'));
    for (let at = 0; at < accepted; at += 1) {
      const chain = chainOf(`${name}-${at}`, length, bytes);
      const borrow = await store.load(chain.keys);
      assert.equal(borrow.blocks.length, length, `chain ${at} of ${accepted}`);
      for (const [i, { payload }] of borrow.blocks.entries()) {
        assert.equal(Buffer.compare(payload, chain.blocks[i].payload), 0, `block ${i} of ${at}`);
      }
      borrow.release();
    }
    await store.close();
  } finally {
    await daemon.stop('SIGKILL');
  }
}
