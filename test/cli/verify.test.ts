import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hashModel } from '../../src/engines/llama/model-hash.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import { openStore } from '../../src/open-store.ts';
import type { StoreConfig } from '../../src/index.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { chainOf } from '../support/chains.ts';
import { blockObject, flipBitAt, objectKeys, rewriteObject } from '../support/stored-objects.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

/** Each test has a bucket and a cache of its own, with one chain of four blocks in both. */
describe('wombatkv verify', () => {
  const chain = chainOf('verify', 4, 20_000);
  let directory: TemporaryDirectory;
  let bucket: ObjectStore;
  let config: StoreConfig;
  let scenes = 0;

  before(async () => {
    directory = await makeTemporaryDirectory('cli-verify');
  });
  after(async () => {
    await bucket.close();
    await directory.remove();
  });
  beforeEach(async () => {
    scenes += 1;
    const objectStore = pathToFileURL(join(directory.path, `objects-${scenes}`)).href;
    config = {
      ...{ objectStore, cacheDirectory: join(directory.path, `cache-${scenes}`) },
      compression: 'off',
    };
    const store = await openStore(config);
    await store.save(chain.blocks, { durable: true });
    await store.close();
    bucket = openObjectStore(objectStore, nodePlatform());
  });

  const run = (...args: string[]): Promise<CliResult> => {
    const { objectStore, cacheDirectory } = config;
    const flags = ['--store', String(objectStore), '--cache-directory', String(cacheDirectory)];
    return runCli(['verify', ...args, ...flags], { home: directory.path });
  };

  const objectOf = (index: number) =>
    blockObject(bucket, { namespace: 'default', key: chain.keys[index] });

  /** Flips a bit in the middle of the payload in the log of the first sub-directory. */
  const damageCache = async (index: number): Promise<void> => {
    const place = join(String(config.cacheDirectory), 'v1', '0');
    let damaged = 0;
    for (const name of await readdir(place)) {
      if (!name.startsWith('segment-')) continue;
      const bytes = await readFile(join(place, name));
      const at = bytes.indexOf(chain.blocks[index].payload);
      if (at < 0) continue;
      bytes[at + 10_000] ^= 4;
      damaged += 1;
      await writeFile(join(place, name), bytes);
    }
    assert.equal(damaged, 1);
  };

  it('reads all of a sound store, and exits with 0', async () => {
    const { exitCode, stdout, stderr } = await run();
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /^object store: 4 objects, .*: 4 sound$/m);
    assert.match(stdout, /^cache part 0: 4 payloads, 78\.1 KiB: 0 damaged$/m);
    // Plain lines where there is no terminal.
    assert.match(stderr, /^checking objects \.\.\.\n {2}4 objects, /m);
    assert.doesNotMatch(stdout + stderr, /\u001b/);
  });

  it('finds a flipped bit and a swapped object, and changes nothing unasked', async () => {
    await rewriteObject(bucket, await objectOf(1), flipBitAt(-1));
    const swapped = await bucket.get(await objectOf(0));
    assert.ok(swapped !== undefined);
    await bucket.put(await objectOf(3), [swapped.bytes]);
    const { exitCode, stdout } = await run('--json');
    assert.equal(exitCode, 1);
    const { objectStore } = JSON.parse(stdout);
    assert.equal(objectStore.byVerdict.damaged, 2);
    assert.equal(objectStore.byVerdict.sound, 2);
    const reasons: { objectKey: string; reason: string }[] = objectStore.findings;
    const reasonOf = (objectKey: string): string =>
      reasons.find((finding) => finding.objectKey === objectKey)?.reason ?? '';
    assert.match(reasonOf(await objectOf(1)), /checksum/);
    assert.match(reasonOf(await objectOf(3)), /says that it is/);
    assert.equal((await objectKeys(bucket)).length, 4);
  });

  it('--repair removes what is damaged and nothing else, and the next save mends it', async () => {
    await rewriteObject(bucket, await objectOf(1), flipBitAt(-1));
    await bucket.put(parseObjectKey('kv/cabi/notes.txt'), [new Uint8Array(5)]);
    const repaired = await run('--repair');
    assert.equal(repaired.exitCode, 1);
    assert.match(repaired.stdout, /^damaged {2}.*stored bytes fail their checksum – removed$/m);
    assert.equal((await objectKeys(bucket)).length, 4);
    const again = await run();
    assert.equal(again.exitCode, 0, again.stdout);
    assert.match(again.stdout, /3 sound, 1 foreign/);
    const store = await openStore({ ...config, cacheDirectory: false });
    await store.save(chain.blocks, { durable: true });
    await store.close();
    assert.match((await run()).stdout, /4 sound/);
  });

  it('finds damage in a cache that nobody uses, and --repair drops it', async () => {
    await damageCache(2);
    const found = await run('--json');
    assert.equal(found.exitCode, 1);
    const [{ findings }] = JSON.parse(found.stdout).cacheDirectories;
    assert.equal(findings.length, 1);
    assert.equal(findings[0].kind, 'payload');
    assert.equal(findings[0].record.key, chain.keys[2]);
    assert.equal(findings[0].isPending, false);
    assert.match((await run('--repair')).stdout, new RegExp(`${chain.keys[2]} – dropped$`, 'm'));
    const again = await run();
    assert.equal(again.exitCode, 0, again.stdout);
    assert.match(again.stdout, /^cache part 0: 3 payloads/m);
  });

  it('leaves the cache of a living process to it', async () => {
    const store = await openStore(config);
    try {
      await damageCache(0);
      const { exitCode, stdout } = await run('--repair');
      assert.equal(exitCode, 1);
      assert.match(stdout, / – left to the process that owns the cache$/m);
      const borrow = await store.load(chain.keys);
      assert.equal(borrow.blocks.length, 4);
      borrow.release();
    } finally {
      await store.close();
    }
  });

  it('finds records that cannot be read in the middle of a log', async () => {
    const place = join(String(config.cacheDirectory), 'v1', '0');
    const [name] = (await readdir(place)).filter((file) => file.startsWith('segment-'));
    const bytes = await readFile(join(place, name));
    const at = bytes.indexOf(chain.blocks[2].payload);
    bytes[at - 60] ^= 1;
    await writeFile(join(place, name), bytes);
    const { exitCode, stdout } = await run();
    assert.equal(exitCode, 1, stdout);
    assert.match(stdout, /^damaged {2}cache part 0, records in 20,\d\d\d bytes from/m);
    assert.match(stdout, /^cache part 0: 3 payloads/m);
  });

  /** Changes a byte of a file in the cache's first place, and tells its path. */
  const damageFile = async (pattern: RegExp, at: number): Promise<string> => {
    const place = join(String(config.cacheDirectory), 'v1', '0');
    const [name] = (await readdir(place)).filter((file) => pattern.test(file));
    const path = join(place, name);
    const bytes = await readFile(path);
    bytes[at] ^= 0x20;
    await writeFile(path, bytes);
    return path;
  };

  it('finds a damaged index file, and --repair makes it again from its segment', async () => {
    const store = await openStore(config);
    await store.save(chainOf('many', 20, 100).blocks, { durable: true });
    await store.close();
    const place = join(String(config.cacheDirectory), 'v1', '0');
    const [name] = (await readdir(place)).filter((file) => file.endsWith('.index'));
    const whole = await readFile(join(place, name));
    for (const at of [0, 9, 20, 63, 66, 74, 90, whole.length - 1]) {
      const path = await damageFile(/\.index$/, at);
      const found = await run('--json');
      assert.equal(found.exitCode, 1, `byte ${at}`);
      const [{ findings, corrupt, damagedRecords }] = JSON.parse(found.stdout).cacheDirectories;
      assert.deepEqual([corrupt, damagedRecords], [0, 1]);
      assert.deepEqual([findings[0].kind, findings[0].path], ['index', path]);
      const { stdout } = await run('--repair');
      assert.match(stdout, /^damaged {2}cache part 0, index file .*\.index – rebuilt$/m);
      assert.match(stdout, /^cache part 0: 24 payloads, .*: 0 damaged, and 1 damaged records$/m);
      assert.deepEqual(await readFile(path), whole, `byte ${at}`);
    }
    // The beginning of it is what a crash leaves; without its segment it is of no use.
    await writeFile(join(place, name), whole.subarray(0, 100));
    assert.equal((await run()).exitCode, 0);
    await writeFile(join(place, 'segment-0000000099.index'), whole);
    assert.match((await run('--repair')).stdout, /0099\.index – removed$/m);
    assert.equal((await run()).exitCode, 0);
  });

  it('finds a damaged catalog file, and --repair removes it', async () => {
    const path = await damageFile(/^catalog$/, 3000);
    const found = await run('--json');
    assert.equal(found.exitCode, 1);
    const [{ findings, damagedRecords }] = JSON.parse(found.stdout).cacheDirectories;
    assert.deepEqual([findings[0].kind, findings[0].path, damagedRecords], ['catalog', path, 1]);
    const { stdout } = await run('--repair');
    assert.match(stdout, /^damaged {2}cache part 0, catalog file .*catalog – removed$/m);
    assert.equal((await run()).exitCode, 0);
  });

  it('reads a segment whose header is damaged, and --repair writes the header again', async () => {
    const path = await damageFile(/^segment-.*\.log$/, 20);
    const { exitCode, stdout } = await run('--repair');
    assert.equal(exitCode, 1);
    assert.match(stdout, /header of .*; its records were read all the same – mended$/m);
    assert.match(
      stdout,
      /^cache part 0: 4 payloads, 78\.1 KiB: 0 damaged, and 1 damaged records$/m,
    );
    const again = await run();
    assert.equal(again.exitCode, 0, again.stdout);
    assert.match(again.stdout, /^cache part 0: 4 payloads, 78\.1 KiB: 0 damaged$/m);
    await damageFile(new RegExp(basename(path)), 12);
    const status = ['status', '--json', '--store', String(config.objectStore)];
    const flags = ['--cache-directory', String(config.cacheDirectory)];
    const told = await runCli([...status, ...flags], { home: directory.path });
    assert.equal(JSON.parse(told.stdout).cacheDirectories[0].damagedRecords, 1);
  });

  it('finds a damaged owner file, and --repair takes the place over', async () => {
    const path = await damageFile(/^owner-\d+$/, 30);
    const found = await run();
    assert.equal(found.exitCode, 1);
    assert.match(found.stdout, new RegExp(`^damaged {2}cache part 0, owner file ${path}$`, 'm'));
    assert.match((await run('--repair')).stdout, /owner file .* – mended$/m);
    assert.equal((await run()).exitCode, 0);
  });

  it('finds damage in the remembered hashes of models, and --repair removes them', async () => {
    const home = join(directory.path, `home-${scenes}`);
    const path = join(home, '.wombatkv', 'model-hashes.json');
    const model = join(home, 'model.gguf');
    await mkdir(home);
    await writeFile(model, 'a model');
    await hashModel(nodePlatform(), model, path);
    const { objectStore, cacheDirectory } = config;
    const flags = ['--store', String(objectStore), '--cache-directory', String(cacheDirectory)];
    const verify = (...args: string[]) => runCli(['verify', ...args, ...flags], { home });
    assert.equal((await verify()).exitCode, 0);
    const bytes = await readFile(path);
    bytes[80] ^= 1;
    await writeFile(path, bytes);
    const found = await verify('--json');
    assert.equal(found.exitCode, 1);
    assert.deepEqual(JSON.parse(found.stdout).modelHashes, { path, state: 'damaged' });
    const repaired = await verify('--repair');
    assert.match(repaired.stdout, /^damaged {2}remembered hashes of models, .* – removed$/m);
    assert.equal((await verify()).exitCode, 0);
  });

  it('checks the caches when the object store is out of reach, and says so', async () => {
    await damageCache(2);
    const { objectStore } = config;
    const root = fileURLToPath(String(objectStore));
    await rename(root, `${root}-away`);
    await writeFile(root, 'in the way');
    const { exitCode, stdout } = await run();
    assert.equal(exitCode, 1);
    assert.match(stdout, /^damaged {2}cache part 0, block /m);
    assert.match(stdout, /^object store: not checked: .* is a file, not a directory$/m);
    assert.match(stdout, /^cache part 0: 4 payloads, .*: 1 damaged$/m);
  });

  it('says when there is nothing to check', async () => {
    const { exitCode, stdout } = await runCli(['verify'], { home: directory.path });
    assert.equal(exitCode, 0);
    assert.match(stdout, /^object store: nothing is stored under kv\/cabi\/$/m);
    assert.match(
      stdout,
      /^cache directory: nothing of this object store in .*\.wombatkv\/puffer$/m,
    );
  });
});
