import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client/connect.ts';
import type { Daemon } from '../../src/daemon/daemon.ts';
import { entriesStart, entryBytes } from '../../src/platform/shared-memory.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { patience } from '../support/patience.ts';
import { startSharedDaemon } from '../support/shared-daemon.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';

const memoryBytes = 64 * 1024 * 1024;

describe('a client of a daemon whose shared index is damaged', { skip: withoutNative() }, () => {
  let temporary: TemporaryDirectory;
  let daemon: Daemon;
  let store: KvStore;
  let index: string;

  before(async () => {
    temporary = await makeTemporaryDirectory('damaged-index');
    const shared = await startSharedDaemon(temporary.path, memoryBytes);
    ({ daemon } = shared);
    index = `${shared.memoryPath}/index`;
    store = await connect(shared.url.replace('unix:', 'shm:'), patience);
  });
  after(async () => {
    await store.close();
    await daemon.stop();
    await temporary.remove();
  });

  /** Every entry says that its payload is 2 GiB long. */
  async function spoilLengths(): Promise<void> {
    const file = await open(index, 'r+');
    const { size } = await file.stat();
    const bytes = Buffer.alloc(size);
    await file.read(bytes, 0, size, 0);
    for (let at = entriesStart; at < size; at += entryBytes) {
      if (bytes.readBigUInt64LE(at + 40) === 0n) continue;
      await file.write(Buffer.from([0xff, 0xff, 0xff, 0x7f]), 0, 4, at + 48);
    }
    await file.close();
  }

  it('loads by the socket, and counts what was damaged', async () => {
    const chain = chainOf('damaged', 3, 100_000);
    await store.save(chain.blocks);
    (await store.load(chain.keys)).release();
    const { corrupt, memory } = await store.stats();
    const before = await store.load(chain.keys);
    assert.equal(before.blocks.length, 3);
    before.release();
    await spoilLengths();
    const borrow = await store.load(chain.keys);
    assert.deepEqual(
      borrow.blocks.map(({ payload }) => Buffer.from(payload)),
      chain.blocks.map(({ payload }) => Buffer.from(payload)),
    );
    borrow.release();
    const after = await store.stats();
    assert.equal(after.corrupt, corrupt + 1);
    assert(after.memory.hits >= memory.hits + 6);
  });
});
