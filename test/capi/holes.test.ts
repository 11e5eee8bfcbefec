import assert from 'node:assert/strict';
import { mkdirSync, statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger } from '../../src/base/logger.ts';
import { announcementOf } from '../../src/blocks/socket-path.ts';
import { connect } from '../../src/client/connect.ts';
import { resolveStoreConfig } from '../../src/config/store-config.ts';
import { openServedStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { doorOf, startDaemon } from '../support/daemon-world.ts';
import { LendingRig } from '../support/lending-rig.ts';
import { SmallFileSystem, withoutMounts } from '../support/small-file-system.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { buildHolesTest, runProgram, withoutTestCompiler } from './c-program.ts';
import type { ProgramEnd } from './c-program.ts';

const skip = withoutTestCompiler() || withoutNative() || withoutMounts();
const mib = 1024 * 1024;
const budgetBytes = 4 * mib;

/**
 * Goal: no client of a store on the host is ended by a read of shared memory, however late it comes and however full
 * the system's memory is (docs/decisions/0112).
 * Method: the store's files lie in a file system of some mebibytes. A client in C maps them all and stops; the store
 * supersedes its index and gives memory back; the file system is filled; the client goes on, and reads the index
 * that it has and writes to each place that it may have been lent. A tier does it alone, and then a daemon.
 */
describe('clients of a store whose memory is full', { skip }, () => {
  let small: SmallFileSystem;
  beforeEach(async () => {
    small = await SmallFileSystem.mount(32 * mib);
  });
  afterEach(() => small.close());

  /** Runs the client in C; the callback is what happens while it is stopped. */
  async function runClient(directory: string, meanwhile: () => Promise<void>): Promise<ProgramEnd> {
    const program = await buildHolesTest();
    return runProgram(program, [directory], {
      environment: {},
      onLine: (line) => (line === 'ready' ? meanwhile() : undefined),
    });
  }

  function assertSurvived({ status, signal, lines, notes }: ProgramEnd): void {
    const said = [...lines, notes].join('\n');
    assert.equal(signal, null, said);
    assert.equal(status, 0, said);
    assert.match(said, /^ready\nstate 2\nindex read, \d\nfilled 0\n/);
  }

  it('go on when a tier has given back what they had', async () => {
    const directory = join(small.path, 'memory');
    mkdirSync(directory, { mode: 0o700 });
    const rig = await LendingRig.open(budgetBytes, directory);
    rig.keepMany('before', 64, 4096);
    const lent = rig.lend(mib);
    const end = await runClient(directory, () => {
      rig.tier.endLoan(lent.place.number);
      lent.extent.unpin();
      rig.keepMany('small', 3000, 4096);
      rig.keepMany('large', 3, budgetBytes / 2);
      const filled = small.fill();
      assert(filled > 0);
      // The memory of the loan, and of all that was small, went back.
      const { blocks, size } = statSync(join(directory, 'segment-0'));
      assert(blocks * 512 < size / 2 + 4096, `${blocks} blocks of ${size}`);
      assert.equal(rig.reader.filler()?.fill(lent.place, new Uint8Array(1000)), undefined);
      return Promise.resolve();
    });
    assertSurvived(end);
    await rig.close();
  });

  it('go on when a daemon has, and are served', async () => {
    const temporary = await makeTemporaryDirectory('full');
    const { path } = temporary;
    const platform = nodePlatform();
    const places = { objectStore: `file://${path}/objects`, cacheDirectory: `${path}/cache` };
    const config = resolveStoreConfig({ ...places, memoryBytes: budgetBytes }, platform.host);
    const sharedDirectory = join(small.path, 'memory');
    const served = await openServedStore(config, platform, {
      ...{ logger: silentLogger, drainMs: 5000, sharedDirectory },
    });
    const daemon = await startDaemon(served, doorOf('shm', path, 'daemon'));
    const { url } = daemon.addresses[0];
    await writeFile(announcementOf(url.slice('unix:'.length)), sharedDirectory);
    const [idle, busy] = [await connect(url.replace('unix:', 'shm:')), await connect(url)];
    const chain = chainOf('kept', 3, 100_000);
    await busy.save(chain.blocks);
    (await idle.load(chain.keys)).release();
    const index = join(sharedDirectory, 'index');
    const first = statSync(index).ino;
    const end = await runClient(sharedDirectory, async () => {
      for (let round = 0; statSync(index).ino === first; round += 1) {
        assert(round < 400, 'the index is built anew');
        await busy.save(chainOf(`round ${round}`, 64, 1000).blocks);
      }
      await busy.save(chainOf('large', 2, mib).blocks);
      assert(small.fill() >= 0);
    });
    assertSurvived(end);
    for (let round = 0; round < 3; round += 1) {
      const borrow = await idle.load(chain.keys);
      assert.equal(borrow.blocks.length, 3);
      borrow.blocks.forEach(({ payload }, at) =>
        assert.deepEqual(Buffer.from(payload), Buffer.from(chain.blocks[at].payload)),
      );
      borrow.release();
      assert.equal((await idle.save(chainOf(`full ${round}`, 4, 200_000).blocks)).saved, 4);
    }
    await idle.close();
    await busy.close();
    await daemon.stop();
    await temporary.remove();
  });
});
