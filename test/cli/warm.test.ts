import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { openStore } from '../../src/open-store.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

const mib = 1024 ** 2;

describe('wombatkv warm', { concurrency: 2 }, () => {
  let directory: TemporaryDirectory;
  let objectStore = '';
  const chain = chainOf('warm', 6, 100_000);

  before(async () => {
    directory = await makeTemporaryDirectory('cli-warm');
    objectStore = pathToFileURL(join(directory.path, 'objects')).href;
    await save(chain);
  });
  after(() => directory.remove());

  const save = async (saved: Chain): Promise<void> => {
    const store = await openStore({ objectStore, cacheDirectory: false, compression: 'off' });
    await store.save(saved.blocks, { durable: true, deadlineMs: 60_000 });
    await store.close();
  };

  const run = (cache: string, args: readonly string[], environment = {}): Promise<CliResult> => {
    const flags = ['--store', objectStore, '--cache-directory', join(directory.path, cache)];
    return runCli([...args, ...flags], { home: directory.path, environment });
  };

  it('brings a chain to disk, from where the next process has it without a request', async () => {
    const first = await run('twice', ['warm', ...chain.keys]);
    assert.equal(first.exitCode, 0, first.stderr);
    assert.match(first.stdout, /^object store +6 +586 KiB$/m);
    assert.match(first.stdout, /^6 of 6 blocks brought, by 6 get; 587 KiB read$/m);
    assert.match(first.stdout, /^6 of 6 on disk, in cache part 0$/m);
    assert.match(first.stderr, /^loading blocks \.\.\.\n {2}6 of 6 blocks$/m);
    const again = await run('twice', ['warm', '--json', ...chain.keys]);
    assert.equal(again.exitCode, 0, again.stderr);
    const { byTier, object, onDisk } = JSON.parse(again.stdout);
    assert.deepEqual(byTier.disk, { blocks: 6, bytes: 600_000 });
    assert.deepEqual(object.requests, { put: 0, get: 0, head: 0, list: 0, delete: 0 });
    assert.deepEqual(onDisk, { part: 0, blocks: 6, inUse: [] });
    const cacheDirectory = join(directory.path, 'twice');
    const store = await openStore({ objectStore, cacheDirectory });
    const borrow = await store.load(chain.keys);
    assert.deepEqual([...new Set(borrow.blocks.map(({ tier }) => tier))], ['disk']);
    assert.ok(
      borrow.blocks.every(({ payload }, at) => chain.blocks[at].payload.length === payload.length),
    );
    borrow.release();
    await store.close();
  });

  it('takes in more than the disk tier accepts at a time', async () => {
    const large = chainOf('warm-large', 7, 22 * mib);
    await save(large);
    const { exitCode, stdout } = await run('large', ['warm', ...large.keys]);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /^7 of 7 on disk, in cache part 0$/m);
  });

  it('says why the chain ends, and what did not find room', async () => {
    const longer = chainOf('warm', 8, 100_000);
    const ended = await run('ended', ['warm', ...longer.keys]);
    assert.equal(ended.exitCode, 1);
    assert.match(ended.stdout, /^block 6: unknown$/m);
    const broad = chainOf('warm-broad', 24, mib / 2);
    await save(broad);
    const small = { WMBT_KV_PUFFER_DISK_BYTES: '2MiB' };
    const full = await run('full', ['warm', ...broad.keys], small);
    assert.equal(full.exitCode, 1);
    assert.match(full.stdout.replaceAll('\n', ' '), /disk tier has 2 MiB .* no room for all of it/);
  });

  it('says that a living process does not see what was brought', async () => {
    const cacheDirectory = join(directory.path, 'beside');
    const store = await openStore({ objectStore, cacheDirectory });
    try {
      const { exitCode, stdout } = await run('beside', ['warm', ...chain.keys]);
      assert.equal(exitCode, 0, stdout);
      assert.match(stdout, /^6 of 6 on disk, in cache part 1$/m);
      assert.match(
        stdout.replaceAll('\n', ' '),
        /Cache part 0 is in use by a process, which does not/,
      );
    } finally {
      await store.close();
    }
  });

  it('ends with the reason when the object store is gone', async () => {
    const file = join(directory.path, 'a-file');
    await writeFile(file, 'in the way');
    const flags = ['--store', pathToFileURL(file).href, '--json'];
    const { exitCode, stdout } = await runCli(['warm', ...chain.keys, ...flags], {
      home: directory.path,
    });
    assert.equal(exitCode, 1);
    const { had, reason } = JSON.parse(stdout);
    assert.deepEqual([had, reason], [0, 'unavailable']);
  });

  it('exits with 2 where there is nothing to bring, or nowhere to bring it to', async () => {
    const without = await run('x', ['warm', ...chain.keys], { WMBT_KV_PUFFER_DISK_BYTES: '0' });
    assert.equal(without.exitCode, 2);
    assert.match(without.stderr, /there is no disk tier to bring blocks to/);
    const nothing = await runCli(['warm', ...chain.keys, '--store', 'memory:'], {
      home: directory.path,
    });
    assert.equal(nothing.exitCode, 2);
    assert.match(nothing.stderr, /an object store in memory has nothing to bring/);
  });
});
