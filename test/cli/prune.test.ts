import assert from 'node:assert/strict';
import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { legacyBlockObjectKey, legacyRawTailObjectKey } from '../../src/format/object-keys.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { openStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { chainOf } from '../support/chains.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

/**
 * Each test has a bucket with three chains in `team`: one of an hour ago with a tail, one of two
 * days ago, and one of two days ago whose last two blocks are an hour old; and one old in `other`.
 */
describe('wombatkv prune', () => {
  const chains = {
    fresh: chainOf('fresh', 2),
    old: chainOf('old', 70),
    mixed: chainOf('mixed', 5),
  };
  const hourMs = 3_600_000;
  let directory: TemporaryDirectory;
  let root = '';
  let scenes = 0;

  before(async () => {
    directory = await makeTemporaryDirectory('cli-prune');
  });
  after(() => directory.remove());
  beforeEach(async () => {
    scenes += 1;
    root = join(directory.path, `objects-${scenes}`);
    const store = await openStore({ objectStore: pathToFileURL(root).href, cacheDirectory: false });
    const team = { namespace: parseNamespace('team'), durable: true };
    for (const chain of Object.values(chains)) await store.save(chain.blocks, team);
    const payload = new Uint8Array(100);
    await store.saveTail({ tip: chains.fresh.keys[1], tokens: [1, 2], payload }, team);
    await store.saveTail({ tip: chains.old.keys[69], tokens: [3], payload }, team);
    await store.saveRawTail(chains.old.keys[69], payload, team);
    await store.save(chains.old.blocks.slice(0, 3), {
      ...{ namespace: parseNamespace('other'), durable: true },
    });
    await store.close();
    const young = [...chains.fresh.keys, ...chains.mixed.keys.slice(3)];
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const isYoung = young.some((key) => path.includes(key));
      const at = new Date(Date.now() - (isYoung ? hourMs : 48 * hourMs));
      await utimes(path, at, at);
    }
  });

  const run = (...args: string[]): Promise<CliResult> => {
    const flags = ['--store', pathToFileURL(root).href, '--namespace', 'team'];
    return runCli(['prune', ...args, ...flags], { home: directory.path });
  };

  const stored = async (namespace: string): Promise<number> => {
    const entries = await readdir(root, { recursive: true, withFileTypes: true });
    return entries.filter((one) => one.isFile() && one.parentPath.includes(`/${namespace}/`))
      .length;
  };

  it('--dry-run tells what would go, ends of chains first, and removes nothing', async () => {
    const count = await stored('team');
    const { exitCode, stdout } = await run('--older-than', '1d', '--dry-run', '--json');
    assert.equal(exitCode, 0);
    const { objects, removedObjects, listedObjects, isDryRun } = JSON.parse(stdout);
    assert.deepEqual([removedObjects, listedObjects, isDryRun], [72, 80, true]);
    const order: string[] = objects
      .filter(({ kind }: { kind: string }) => kind === 'block')
      .map(({ key }: { key: string }) => key);
    assert.deepEqual(order, [...chains.old.keys].reverse());
    assert.notEqual(objects[0].kind, 'block');
    assert.equal(await stored('team'), count);
  });

  it('removes old chains, and leaves what younger blocks hang on', async () => {
    const { exitCode, stdout } = await run('--older-than', '36h');
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /^removed 72 objects, .* of 80 objects, .* in namespace "team"$/m);
    assert.equal(await stored('team'), 8);
    assert.equal(await stored('other'), 3);
    const store = await openStore({
      ...{ objectStore: pathToFileURL(root).href, cacheDirectory: false },
      // A busy machine shall not make a lookup find less than there is.
      lookupDeadlineMs: 10_000,
    });
    const namespace = parseNamespace('team');
    assert.equal((await store.lookup(chains.mixed.keys, { namespace })).matched, 5);
    assert.equal((await store.lookup(chains.fresh.keys, { namespace })).matched, 2);
    assert.equal((await store.lookup(chains.old.keys, { namespace })).matched, 0);
    await store.close();
    assert.match((await run('--older-than', '36h')).stdout, /^removed 0 objects/m);
  });

  it('removes old objects of the v1 format, unless these are not to be read', async () => {
    // The v1 format spells this name as it is, our own format does not.
    const tenant = parseNamespace('rust fleet');
    const bucket = openObjectStore(pathToFileURL(root).href, nodePlatform());
    const { keys } = chainOf('v1', 3, 10);
    const names = [
      ...keys.map((key) => legacyBlockObjectKey('kv/cabi', tenant, key)),
      legacyRawTailObjectKey('kv/cabi', tenant, keys[2]),
    ];
    for (const name of names) await bucket.put(parseObjectKey(name), [new Uint8Array(500)]);
    await bucket.close();
    const at = new Date(Date.now() - 48 * hourMs);
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (entry.name.startsWith('b3')) await utimes(join(entry.parentPath, entry.name), at, at);
    }
    const args = ['prune', '--older-than', '1d', '--json', '--namespace', tenant];
    const prune = async (environment: Readonly<Record<string, string>>) => {
      const flags = [...args, '--store', pathToFileURL(root).href];
      const { stdout, exitCode } = await runCli(flags, { home: directory.path, environment });
      assert.equal(exitCode, 0);
      return JSON.parse(stdout);
    };
    const unread = await prune({ WMBT_KV_READ_V1: 'off' });
    assert.deepEqual([unread.listedObjects, unread.removedObjects], [4, 0]);
    const { removedObjects, objects } = await prune({});
    assert.equal(removedObjects, 4);
    assert.ok(objects.every(({ format }: { format: string }) => format === 'v1'));
  });

  it('says which duration is wrong, and what is accepted, and exits with 2', async () => {
    for (const given of ['soon', '5', '10s', '-3d']) {
      const { exitCode, stderr } = await run(`--older-than=${given}`);
      assert.equal(exitCode, 2, given);
      assert.match(stderr, /--older-than must be a duration .*at least 60s\); got "/);
    }
    const without = await run();
    assert.equal(without.exitCode, 2);
    assert.match(without.stderr, /required option '--older-than <duration>'/);
  });
});
