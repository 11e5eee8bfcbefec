import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connect } from '../../src/client.ts';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { FrameRelay } from '../support/frame-relay.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

/** Enough of them for some milliseconds of copying. */
const blocks = 40;
const bytes = 700_000;
const rounds = 10;

/** Blocks of the chain that are there, each with its bytes. */
async function countWhole(store: KvStore, chain: Chain): Promise<number> {
  const stored = await store.contains(chain.keys);
  for (const [at, key] of chain.keys.entries()) {
    if (!stored[at]) continue;
    const borrow = await store.load([key]);
    assert.equal(borrow.blocks.length, 1, `block ${at}: ${borrow.reason}`);
    assert(Buffer.from(chain.blocks[at].payload).equals(borrow.blocks[0].payload), `block ${at}`);
    borrow.release();
  }
  return stored.filter(Boolean).length;
}

describe('a daemon that dies while a client fills its memory', { skip: withoutNative() }, () => {
  // Goal: the save fails, or is made with the next daemon, in time; nothing wrong is there, and the client goes on by
  // itself. Method: a relay between client and daemon sees memory being lent, and the daemon is killed then, or a moment
  // later; another client looks at every block of the save.
  it('costs that save at most', async (t) => {
    const temporary = await makeTemporaryDirectory('lender-kills');
    const home = temporary.path;
    const [run, front] = [join(home, 'run'), join(home, 'front')];
    for (const folder of [run, front]) mkdirSync(folder, { mode: 0o700 });
    const [socket, path] = [join(run, 'lender.sock'), join(front, 'lender.sock')];
    const start = async (): Promise<DaemonProcess> => {
      const one = new DaemonProcess(['--prefix', 'lender'], {
        ...{ HOME: home, WMBT_KV_RUNTIME_DIR: run, WMBT_KV_PUFFER_RAM_BYTES: '96MiB' },
      });
      await one.ready();
      copyFileSync(announcementOf(socket), announcementOf(path));
      return one;
    };
    let daemon = await start();
    const random = seededRandom('lender-kills');
    let [lent, killAt, delayMs] = [0, 0, 0];
    const relay = await FrameRelay.open({
      ...{ path, daemon: socket },
      alter: (type, body) => {
        if (type === 'lent') lent += 1;
        if (type !== 'lent' || lent !== killAt) return body;
        if (delayMs === 0) daemon.child.kill('SIGKILL');
        else setTimeout(() => daemon.child.kill('SIGKILL'), delayMs);
        return body;
      },
    });
    const counts = { failed: 0, accepted: 0, left: 0 };
    let client: KvStore | undefined;
    try {
      for (let round = 0; round < rounds; round += 1) {
        // A new one maps the memory at once; one whose daemon has died looks for it a second later, and must not
        // take the memory of the dead one for that of the next.
        client = await connect(`shm:${path}`);
        const chain = chainOf(`lender ${round}`, blocks, bytes);
        [lent, killAt, delayMs] = [0, 1, round % 2 === 0 ? 0 : 1 + random.below(5)];
        const saving = client.save(chain.blocks).then(
          () => true,
          (error: unknown) => {
            assert(isStoreError(error, 'UNAVAILABLE'), String(error));
            return false;
          },
        );
        const isAccepted = await saving;
        // What was aimed at may be over: then it dies behind the save.
        counts[isAccepted ? 'accepted' : 'failed'] += 1;
        await daemon.stop('SIGKILL');
        daemon = await start();
        const other = await connect(`unix:${socket}`);
        const whole = await countWhole(other, chain);
        if (isAccepted) assert.equal(whole, blocks);
        else counts.left += whole;
        // By itself, and with whatever the first attempt left there.
        const { saved, known } = await client.save(chain.blocks);
        assert.equal(saved + known, blocks);
        assert.equal(await countWhole(other, chain), blocks);
        await other.close();
        await client.close();
      }
      t.diagnostic(JSON.stringify(counts));
      assert(counts.failed >= rounds / 2, 'saves were cut off');
    } finally {
      await client?.close();
      await relay.close();
      await daemon.stop('SIGKILL');
      await temporary.remove();
    }
  });
});
