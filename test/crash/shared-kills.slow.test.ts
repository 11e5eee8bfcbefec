import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from '../../src/client/connect.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { patience } from '../support/patience.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

const program = fileURLToPath(new URL('shared-child.js', import.meta.url));
const chains = 24;
const length = 12;
const bytes = 60_000;
const killsWanted = 6;

/**
 * Goal: readers that borrow from the daemon's memory never see other bytes than were saved, while what
 * they read is evicted and used again, and while readers are killed in the midst of it; the pins of
 * the dead are given up, and borrows outlive the daemon.
 * Method: 17 MB of chains through a memory tier of 8 MiB, so that memory is used again all the time;
 * two readers that compare every byte twice, one killed by SIGKILL every 300 ms and replaced.
 */
test(
  'readers of shared memory are killed, and nobody reads wrong bytes',
  { skip: withoutNative() },
  async () => {
    const home = await makeTemporaryDirectory('shared-kills');
    const environment = {
      HOME: home.path,
      WMBT_KV_RUNTIME_DIR: join(home.path, 'run'),
      WMBT_KV_PUFFER_RAM_BYTES: '8MiB',
      WMBT_KV_PUFFER_DISK_BYTES: '512MiB',
    };
    const daemon = new DaemonProcess([], environment);
    const readers = new Set<ChildProcess>();
    const faults: string[] = [];
    let borrows = 0;
    let shared = 0;
    const startReader = async (url: string): Promise<ChildProcess> => {
      const args = [url, String(chains), String(length), String(bytes)];
      const child = fork(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      readers.add(child);
      child.on('message', (message: string) => {
        if (message.startsWith('wrong')) faults.push(message);
        const [, count, ofThem] = /^borrows (\d+) (\d+)$/.exec(message) ?? [];
        if (count !== undefined) {
          borrows += 20;
          shared = Math.max(shared, Number(ofThem));
        }
      });
      await once(child, 'message');
      return child;
    };
    try {
      const [unix] = await daemon.ready();
      const url = unix.replace('unix:', 'shm:');
      const memory = readFileSync(`${unix.slice('unix:'.length)}.shm`, 'utf8').trim();
      const store = await connect(url, patience);
      for (let i = 0; i < chains; i += 1)
        await store.save(chainOf(`shared-${i}`, length, bytes).blocks);
      const alive = [await startReader(url), await startReader(url)];
      let kills = 0;
      for (; kills < killsWanted; kills += 1) {
        await new Promise((done) => setTimeout(done, 300));
        const victim = alive[kills % alive.length];
        victim.kill('SIGKILL');
        await once(victim, 'exit');
        readers.delete(victim);
        alive[kills % alive.length] = await startReader(url);
      }
      assert.deepEqual(faults, []);
      assert(borrows > 50 && shared > 0, `${kills} kills, ${borrows} borrows, ${shared}`);

      // Whatever the dead had pinned, everything can be had anew within the budget.
      for (const child of alive) child.kill('SIGKILL');
      for (let i = 0; i < chains; i += 1) {
        const chain = chainOf(`shared-${i}`, length, bytes);
        const borrow = await store.load(chain.keys);
        assert.equal(borrow.blocks.length, length);
        borrow.release();
      }
      const { evictions, bytes: held } = (await store.stats()).memory;
      assert(evictions > 100 && held <= 8 * 1024 * 1024, `${evictions} evictions, ${held} bytes`);

      // A borrow outlives the store that lent it, however that ends.
      const kept = chainOf('shared-0', length, bytes);
      await store.load(kept.keys).then((borrow) => borrow.release());
      const borrow = await store.load(kept.keys);
      assert(borrow.blocks.every(({ payload }) => payload.buffer.byteLength > 1024 * 1024));
      await daemon.stop('SIGKILL');
      for (const [i, { payload }] of borrow.blocks.entries()) {
        assert.equal(Buffer.compare(payload, kept.blocks[i].payload), 0);
      }
      borrow.release();
      await store.close();
      const own = ['clients', 'index', 'known', 'loans', 'place', 'segment-0', 'uses-0'];
      assert.deepEqual(readdirSync(memory).sort(), own);
    } finally {
      for (const child of readers) child.kill('SIGKILL');
      await daemon.stop('SIGKILL');
      await home.remove();
    }
  },
);
