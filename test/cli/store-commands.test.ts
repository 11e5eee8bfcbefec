import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Prefix, seedOf } from '../../src/blocks/prefix.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import { openStore } from '../../src/open-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { blockObject, flipBitAt, rewriteObject, tailObjects } from '../support/stored-objects.ts';
import { rustNamespaces, rustObjects } from '../golden/rust-bucket.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

/** What `--json` prints, as far as it is looked at here. */
interface ListedJson {
  readonly kind: string;
  readonly namespace?: string;
  readonly key?: string;
  readonly tip?: string;
  readonly tokens?: number;
  readonly position?: number;
  readonly rawBytes?: number;
  readonly storedBytes: number;
  readonly codec?: string;
  readonly verdict: string;
  readonly reason?: string;
  readonly objectKey: string;
}

/**
 * A bucket with known content: three blocks and a tail in `team`, a block and a raw tail in
 * `default`, an object of somebody else; and a cache directory that a closed store left behind.
 */
describe('the commands that look at a store', () => {
  const prefix = new Prefix(seedOf('cli'));
  prefix.append(Array.from({ length: 400 }, (_, index) => index));
  const [first, second, third] = prefix.keys;
  const team = parseNamespace('team');
  let directory: TemporaryDirectory;
  let bucket: ObjectStore;
  let url = '';
  let flags: readonly string[] = [];

  before(async () => {
    directory = await makeTemporaryDirectory('cli');
    url = pathToFileURL(join(directory.path, 'objects')).href;
    const cacheDirectory = join(directory.path, 'cache');
    flags = ['--store', url, '--cache-directory', cacheDirectory];
    const store = await openStore({ objectStore: url, cacheDirectory });
    const payload = new Uint8Array(100_000).fill(3);
    const blocks = prefix.keys.map((key, index) => ({
      ...{ key, payload, tokens: 128, position: index * 128 },
    }));
    const tokens = prefix.tokens(384);
    await store.save(blocks, { namespace: team, durable: true });
    const tail = { tip: prefix.tip(), tokens, payload, position: 384 };
    await store.saveTail(tail, { namespace: team, durable: true });
    await store.save(blocks.slice(0, 1), { durable: true });
    await store.saveRawTail(first, payload, { durable: true });
    await store.close();
    bucket = openObjectStore(url, nodePlatform());
    const foreign = parseObjectKey('kv/cabi/notes.txt');
    await bucket.put(foreign, [new TextEncoder().encode('not ours')]);
    await rewriteObject(
      bucket,
      await blockObject(bucket, { namespace: 'team', key: third }),
      flipBitAt(-1),
    );
  });
  after(async () => {
    await bucket.close();
    await directory.remove();
  });

  const run = async (args: readonly string[]): Promise<CliResult> => {
    const result = await runCli([...args, ...flags], { home: directory.path });
    assert.doesNotMatch(result.stdout + result.stderr, /\u001b/, 'no escape codes in a pipe');
    return result;
  };

  const list = async (...args: string[]): Promise<readonly ListedJson[]> => {
    const { exitCode, stdout } = await run(['ls', '--json', ...args]);
    assert.equal(exitCode, 0);
    return JSON.parse(stdout).objects;
  };

  it('ls lists what lies in all namespaces, chains in their order', async () => {
    const listed = await list();
    assert.deepEqual(
      listed.map(({ namespace, kind, position }) => [namespace, kind, position]),
      [
        [undefined, 'other', undefined],
        ['default', 'block', 0],
        ['default', 'raw-tail', undefined],
        ['team', 'block', 0],
        ['team', 'block', 128],
        ['team', 'block', 256],
        ['team', 'tail', 384],
      ],
    );
    const block = listed.find(({ namespace, key }) => namespace === 'team' && key === second);
    assert.equal(block?.tokens, 128);
    assert.equal(block.rawBytes, 100_000);
    assert.equal(block.codec, 'zstd');
    assert.ok(block.storedBytes < 10_000);
    // A flipped bit in a payload shows only when all of it is read.
    assert.equal(block.verdict, 'sound');
    const tail = listed.find(({ kind }) => kind === 'tail');
    assert.equal(tail?.tip, third);
    assert.equal(tail.tokens, 16);
  });

  it('ls takes a namespace and a limit, and says when there is more', async () => {
    assert.equal((await list('--namespace', 'team')).length, 4);
    assert.equal((await list('--namespace', 'nobody')).length, 0);
    assert.equal((await list('--limit', '2')).length, 2);
    const { stdout } = await run(['ls', '--limit', '2']);
    assert.match(stdout, /^the first 2 objects, .*; there are more \(--limit\)$/m);
  });

  it('ls as text has a line for each object, with a key that inspect takes', async () => {
    const { exitCode, stdout } = await run(['ls', '--namespace', 'team']);
    assert.equal(exitCode, 0);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines.length, 6, stdout);
    assert.match(lines[1], /^block +0 +128 +97\.7 KiB .* team +[0-9a-f]{16}$/);
    assert.match(lines[5], /^4 objects, /);
    const key = lines[1].split(' ').at(-1) ?? '';
    const inspected = await run(['inspect', key, '--namespace', 'team']);
    assert.equal(inspected.exitCode, 0, inspected.stderr);
    assert.match(inspected.stdout, new RegExp(`^key +${first}$`, 'm'));
  });

  it('ls names an object whose header is damaged', async () => {
    const [objectKey] = await tailObjects(bucket, { namespace: 'team', key: third });
    await rewriteObject(bucket, objectKey, flipBitAt(20));
    try {
      const damaged = (await list('--namespace', 'team')).filter(
        ({ verdict }) => verdict !== 'sound',
      );
      assert.deepEqual(
        damaged.map(({ kind, verdict }) => [kind, verdict]),
        [['tail', 'damaged']],
      );
      assert.match(damaged[0].reason ?? '', /header/);
    } finally {
      await rewriteObject(bucket, objectKey, flipBitAt(20));
    }
  });

  it('inspect shows the header and checks every byte', async () => {
    const { exitCode, stdout } = await run(['inspect', second, '--namespace', 'team', '--json']);
    assert.equal(exitCode, 0);
    const { objects } = JSON.parse(stdout);
    assert.equal(objects.length, 1);
    const [{ header, verdict, kind }] = objects;
    assert.equal(verdict, 'sound');
    assert.equal(kind, 'block');
    assert.equal(header.key, second);
    assert.equal(header.parent, first);
    assert.equal(header.tokens, 128);
    assert.equal(header.position, 128);
    assert.equal(header.rawLength, 100_000);
    assert.match(header.namespaceDigest, /^[0-9a-f]{64}$/);
  });

  it('inspect finds a damaged payload, and exits with 1', async () => {
    const { exitCode, stdout } = await run(['inspect', third, '--namespace', 'team']);
    assert.equal(exitCode, 1);
    // The tip of the tail is the same key, so the tail is shown too.
    const verdicts = [...stdout.matchAll(/^verdict +(.*)$/gm)].map(([, verdict]) => verdict);
    assert.equal(verdicts.length, 2);
    assert.match(verdicts[0], /^damaged: .*checksum/);
    assert.match(verdicts[1], /^sound/);
  });

  it('inspect takes an object key, and a raw tail by its tip', async () => {
    const objectKey = await blockObject(bucket, { namespace: 'team', key: first });
    const byName = await run(['inspect', objectKey]);
    assert.equal(byName.exitCode, 0, byName.stderr);
    assert.match(byName.stdout, /^namespace +team$/m);
    const byTip = await run(['inspect', first.slice(0, 12), '--json']);
    assert.equal(byTip.exitCode, 0);
    const { objects }: { objects: readonly ListedJson[] } = JSON.parse(byTip.stdout);
    assert.deepEqual(
      objects.map(({ kind }) => kind),
      ['block', 'raw-tail'],
    );
  });

  it('inspect says when nothing is there, and what is not a frame', async () => {
    const nothing = await run(['inspect', '00'.repeat(32)]);
    assert.equal(nothing.exitCode, 1);
    assert.match(nothing.stderr, /^wombatkv: nothing is stored under 0{64} in namespace "default"/);
    const absent = await run(['inspect', 'kv/cabi/nothing']);
    assert.equal(absent.exitCode, 1);
    assert.match(absent.stderr, /^wombatkv: there is no object kv\/cabi\/nothing/);
    const foreign = await run(['inspect', 'kv/cabi/notes.txt']);
    assert.equal(foreign.exitCode, 1);
    assert.match(foreign.stdout, /^verdict +foreign/m);
  });

  it('status shows settings, sub-directories of the cache, and use by namespace', async () => {
    const { exitCode, stdout } = await run(['status', '--json']);
    assert.equal(exitCode, 0);
    const { settings, cacheDirectories, objectStore } = JSON.parse(stdout);
    assert.equal(settings.objectStore, url);
    assert.deepEqual(
      cacheDirectories.map(({ number, state }: { number: number; state: string }) => [
        number,
        state,
      ]),
      [[0, 'dead']],
    );
    assert.ok(cacheDirectories[0].byteLength > 100_000);
    assert.equal(cacheDirectories[0].owner.processId, process.pid);
    assert.deepEqual([cacheDirectories[0].pending, cacheDirectories[0].pendingBytes], [0, 0]);
    assert.equal(objectStore.meter.requests.list, 1);
    assert.equal(objectStore.isReachable, true);
    assert.equal(objectStore.isCut, false);
    const uses: { namespace?: string; objects: number; byKind: unknown }[] = objectStore.namespaces;
    assert.deepEqual(
      uses.map(({ namespace, objects, byKind }) => [namespace, objects, byKind]),
      [
        ['default', 2, { block: 1, 'raw-tail': 1 }],
        [undefined, 1, { other: 1 }],
        ['team', 4, { block: 3, tail: 1 }],
      ],
    );
  });

  it('status shows what waits for upload in the cache', async () => {
    const cacheDirectory = join(directory.path, 'pending-cache');
    const away = join(directory.path, 'away');
    const store = await openStore({ objectStore: pathToFileURL(away).href, cacheDirectory });
    try {
      await rm(away, { recursive: true, force: true });
      await writeFile(away, 'in the way');
      await store.save([{ key: first, payload: new Uint8Array(2048) }]);
      const args = ['status', '--store', pathToFileURL(away).href];
      const flagsOfAway = [...args, '--cache-directory', cacheDirectory];
      const result = await runCli(flagsOfAway, { home: directory.path });
      assert.equal(result.exitCode, 1);
      assert.match(result.stdout, /^ +0 .* 1 payload, 2 KiB +– +0 +in use/m);
    } finally {
      await store.close();
    }
  });

  it('status counts up to a limit and says so', async () => {
    const { exitCode, stdout } = await run(['status', '--limit', '3']);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^Settings {2}\(wombatkv config shows all\)$/m);
    assert.match(stdout, /left behind; the next store takes it over/);
    assert.match(stdout, /only the first 3 objects were counted \(--limit\)/);
  });

  it('status shows a living owner, and the cache of another object store', async () => {
    const config = { objectStore: url, cacheDirectory: join(directory.path, 'cache') };
    const store = await openStore(config);
    try {
      assert.match((await run(['status'])).stdout, /^ +0 .* in use +process \d+/m);
      const other = [
        ...['--store', pathToFileURL(join(directory.path, 'other')).href],
        ...['--cache-directory', config.cacheDirectory],
      ];
      const result = await runCli(['status', ...other], { home: directory.path });
      assert.equal(result.exitCode, 0, result.stderr);
      assert.match(result.stdout, /belongs to another object store/);
      assert.match(result.stdout, /not there yet; the first save makes it/);
    } finally {
      await store.close();
    }
  });

  it('status exits with 1 when the object store is out of reach', async () => {
    const file = join(directory.path, 'a-file');
    await rm(file, { force: true });
    await nodePlatform()
      .files.open(file, 'create-new')
      .then((open) => open.close());
    const store = pathToFileURL(file).href;
    const result = await runCli(['status', '--store', store], { home: directory.path });
    assert.equal(result.exitCode, 1, result.stdout);
    assert.match(result.stdout, /not reachable: .*a-file is a file/);
  });

  it('inspect decodes what the Rust WombatKV wrote', async () => {
    const object = rustObjects().find(({ isEnveloped }) => isEnveloped);
    assert.ok(object !== undefined, 'the golden bucket has compressed objects');
    const legacyUrl = pathToFileURL(join(directory.path, 'legacy')).href;
    const legacy = openObjectStore(legacyUrl, nodePlatform());
    await legacy.put(parseObjectKey(object.objectKey), [object.body]);
    await legacy.close();
    const args = ['inspect', object.objectKey, '--store', legacyUrl, '--json'];
    const result = await runCli(args, { home: directory.path });
    assert.equal(result.exitCode, 0, result.stderr);
    const { objects } = JSON.parse(result.stdout) as { objects: { legacyPayload: unknown }[] };
    const { byteLength, blake3 } = object;
    const legacyPayload = { byteLength, blake3, isMd5Checked: false };
    assert.deepEqual(objects[0].legacyPayload, legacyPayload);
  });

  it('inspect, ls and verify know the blocks and raw tails of the Rust WombatKV', async () => {
    const { namespace, keyPrefix, keys, blocks, tip, tail } = rustNamespaces()[0];
    const legacyUrl = pathToFileURL(join(directory.path, 'legacy-named')).href;
    const legacy = openObjectStore(legacyUrl, nodePlatform());
    for (const { objectKey, body } of [...blocks, tail]) {
      await legacy.put(parseObjectKey(objectKey), [body]);
    }
    await legacy.close();
    const flagsOf = ['--store', legacyUrl, '--namespace', namespace, '--json'];
    const options = { home: directory.path, environment: { WMBT_KV_S3_PREFIX: keyPrefix } };
    const inspected = await runCli(['inspect', tip.slice(0, 16), ...flagsOf], options);
    assert.equal(inspected.exitCode, 0, inspected.stderr);
    const { objects } = JSON.parse(inspected.stdout) as { objects: { objectKey: string }[] };
    const found = objects.map(({ objectKey }) => objectKey);
    assert.deepEqual(found, [blocks[5].objectKey, tail.objectKey], 'the tip and its raw tail');
    const listed = await runCli(['ls', ...flagsOf], options);
    const list = (JSON.parse(listed.stdout) as { objects: ListedJson[] }).objects;
    assert.deepEqual(
      [...new Set(list.map(({ kind, verdict }) => `${kind} ${verdict}`))],
      ['v1 sound'],
    );
    const listedKeys = list.flatMap(({ key }) => key ?? []);
    assert.deepEqual(listedKeys.sort(), [...keys].sort());
    const verified = await runCli(['verify', ...flagsOf], options);
    assert.equal(verified.exitCode, 0, verified.stdout);
  });
});
