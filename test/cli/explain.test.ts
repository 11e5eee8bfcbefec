import assert from 'node:assert/strict';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { StoreConfig } from '../../src/index.ts';
import { openStore } from '../../src/open-store.ts';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { S3Server } from '../support/s3-server/s3-server.ts';
import { blockObject, flipBitAt, objectKeys, rewriteObject } from '../support/stored-objects.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { eventually } from '../support/waiting.ts';
import { runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

/** What `--json` prints, as far as it is looked at here. */
interface ExplainedJson {
  readonly blocks: number;
  readonly had: number;
  readonly reason?: string;
  readonly detail?: string;
  readonly advice?: string;
  readonly laterStored: number;
  readonly notes: readonly string[];
  readonly runs: readonly {
    readonly from: number;
    readonly to: number;
    readonly durability: string;
    readonly objectStore: string;
    readonly disk: readonly { readonly part: number; readonly isPending: boolean }[];
  }[];
  readonly otherFingerprints: readonly {
    readonly fingerprint?: string;
    readonly objects: number;
  }[];
}

const ownModel = 'ab'.repeat(32);
const otherModel = 'cd'.repeat(32);

/** A bucket and a cache of their own, with a chain saved there by a process that has ended. */
interface Scene {
  readonly config: StoreConfig & { readonly objectStore: string; readonly cacheDirectory: string };
  readonly chain: Chain;
  readonly bucket: ObjectStore;
  readonly flags: readonly string[];
  /** The same without the cache: as on another host. */
  readonly elsewhere: readonly string[];
}

// Goal: every reason of a miss is told for what really happened, not for what was made up. Method:
// the compiled command on real stores, each brought into that state by what brings it there.
describe('wombatkv explain', { concurrency: 2 }, () => {
  let directory: TemporaryDirectory;
  const buckets: ObjectStore[] = [];

  before(async () => {
    directory = await makeTemporaryDirectory('cli-explain');
  });
  after(async () => {
    for (const bucket of buckets) await bucket.close();
    await directory.remove();
  });

  const sceneOf = async (name: string, count = 4): Promise<Scene> => {
    const objectStore = pathToFileURL(join(directory.path, `${name}-objects`)).href;
    const cacheDirectory = join(directory.path, `${name}-cache`);
    const config = { objectStore, cacheDirectory, compression: 'off' as const };
    const chain = chainOf(`explain-${name}`, count, 20_000);
    const store = await openStore(config);
    await store.save(chain.blocks, { durable: true, fingerprint: ownModel });
    await store.close();
    const bucket = openObjectStore(objectStore, nodePlatform());
    buckets.push(bucket);
    const cacheFlag = (path: string): string[] => ['--cache-directory', path];
    return {
      ...{ config, chain, bucket },
      flags: ['--store', objectStore, ...cacheFlag(cacheDirectory)],
      elsewhere: ['--store', objectStore, ...cacheFlag(`${cacheDirectory}-of-another-host`)],
    };
  };

  const run = (args: readonly string[], environment = {}): Promise<CliResult> =>
    runCli(['explain', ...args], { home: directory.path, environment });

  const explained = async (
    args: readonly string[],
    environment = {},
  ): Promise<ExplainedJson & { readonly exitCode: number | undefined }> => {
    const { exitCode, stdout, stderr } = await run(['--json', ...args], environment);
    assert.notEqual(stdout, '', stderr);
    return { exitCode, ...JSON.parse(stdout) };
  };

  it('shows where each block is, and that all can be had', async () => {
    const { chain, flags } = await sceneOf('whole');
    const { exitCode, stdout, stderr } = await run([...chain.keys, ...flags]);
    assert.equal(exitCode, 0, stderr);
    assert.match(stdout, /^result +all 4 blocks can be had$/m);
    assert.match(stdout, /^ +0–3 +disk \(part 0\), object store +durable +[0-9a-f]{16}$/m);
    assert.match(stdout, /^this look: 4 get, /m);
    assert.match(stderr, /^asking the object store \.\.\.\n {2}4 blocks there$/m);
    assert.doesNotMatch(stdout + stderr, /\u001b/, 'no escape codes in a pipe');
  });

  it('unknown: what nobody stored, from keys in a file and from tokens', async () => {
    const { chain, flags } = await sceneOf('unknown', 2);
    const longer = chainOf('explain-unknown', 5);
    const keyFile = join(directory.path, 'keys.txt');
    await writeFile(keyFile, `# a prompt\n\n${longer.keys.join('\n')}\n`);
    const { had, reason, runs, exitCode } = await explained(['--chain', keyFile, ...flags]);
    assert.deepEqual([had, reason, exitCode], [2, 'unknown', 1]);
    assert.deepEqual(
      runs.map(({ from, to, durability }) => [from, to, durability]),
      [
        [0, 1, 'durable'],
        [2, 4, 'none'],
      ],
    );
    const tokenFile = join(directory.path, 'tokens.json');
    await writeFile(tokenFile, JSON.stringify(Array.from({ length: 300 }, (_, index) => index)));
    const tokens = [
      '--token-file',
      tokenFile,
      '--seed-input',
      'nobody',
      '--fingerprint',
      otherModel,
    ];
    const other = await explained([...tokens, ...flags]);
    assert.deepEqual([other.blocks, other.had, other.reason], [2, 0, 'unknown']);
    assert.deepEqual(other.otherFingerprints, [{ fingerprint: ownModel, objects: 2 }]);
    assert.match(other.notes.join(' '), /None is cdcdcdcdcdcdcdcd: .*cannot be told from a hash/);
    assert.equal(chain.keys[0], longer.keys[0]);
  });

  it('evicted: what the budget of the object store removed', async () => {
    const objectStore = pathToFileURL(join(directory.path, 'evicted-objects')).href;
    const chain = chainOf('explain-evicted', 24, 64 * 1024);
    const store = await openStore({
      ...{ objectStore, cacheDirectory: false, compression: 'off' },
      objectStoreBytesMax: 1024 ** 2,
    });
    const bucket = openObjectStore(objectStore, nodePlatform());
    buckets.push(bucket);
    try {
      await store.save(chain.blocks, { durable: true });
      const isCollected = async (): Promise<boolean> => (await objectKeys(bucket)).length < 20;
      await eventually('the end of the chain is collected', isCollected, 30_000);
    } finally {
      await store.close();
    }
    const { had, reason, advice } = await explained([...chain.keys, '--store', objectStore]);
    assert.equal(reason, 'evicted');
    assert.equal(had, (await objectKeys(bucket)).length);
    assert.match(advice ?? '', /WMBT_KV_OBJECT_STORE_MAX_BYTES/);
  });

  it('corrupt: an object with a flipped byte, and a damaged copy without an object', async () => {
    const { chain, bucket, config, flags, elsewhere } = await sceneOf('corrupt');
    const object = await blockObject(bucket, { namespace: 'default', key: chain.keys[2] });
    await rewriteObject(bucket, object, flipBitAt(-1));
    const far = await explained([...chain.keys, ...elsewhere]);
    assert.deepEqual([far.had, far.reason], [2, 'corrupt']);
    assert.match(far.detail ?? '', /checksum/);
    // The copy on disk is whole, and a load takes it; headers alone do not tell.
    assert.equal((await explained([...chain.keys, ...flags])).had, 4);
    assert.equal((await explained(['--quick', ...chain.keys, ...elsewhere])).had, 4);
    await bucket.delete(object);
    await damageCache(config.cacheDirectory, chain.blocks[2].payload);
    const here = await explained([...chain.keys, ...flags]);
    assert.deepEqual([here.had, here.reason], [2, 'corrupt']);
    assert.match(here.detail ?? '', /cache part 0 is damaged/);
  });

  it('other-fingerprint and decoded: what is there, and not for this caller', async () => {
    const { chain, config, flags, elsewhere } = await sceneOf('refused');
    for (const place of [flags, elsewhere]) {
      const other = await explained([...chain.keys, '--fingerprint', otherModel, ...place]);
      assert.deepEqual([other.had, other.reason], [0, 'other-fingerprint']);
      const own = await explained([...chain.keys, '--fingerprint', ownModel, ...place]);
      assert.equal(own.reason, undefined);
    }
    const decoded = chainOf('explain-decoded', 2);
    const store = await openStore(config);
    const [first, last] = decoded.blocks;
    await store.save([first, { ...last, hasDecodedTokens: true }], { durable: true });
    await store.close();
    const exact = await explained([...decoded.keys, '--exact', ...elsewhere]);
    assert.deepEqual([exact.had, exact.reason], [1, 'decoded']);
    assert.equal((await explained([...decoded.keys, ...elsewhere])).reason, undefined);
  });

  it('unavailable: a bucket that is gone, after what waits for upload on this host', async () => {
    const root = join(directory.path, 'gone');
    const cacheDirectory = join(directory.path, 'gone-cache');
    const chain = chainOf('explain-gone', 5);
    await writeFile(root, 'in the way');
    const objectStore = pathToFileURL(root).href;
    const store = await openStore({ objectStore, cacheDirectory });
    try {
      await store.save(chain.blocks.slice(0, 3));
      const flags = ['--store', objectStore, '--cache-directory', cacheDirectory];
      const { had, reason, runs, notes } = await explained([...chain.keys, ...flags]);
      assert.deepEqual([had, reason], [3, 'unavailable']);
      assert.deepEqual(
        runs
          .map(({ from, to, durability, disk }) => [from, to, durability, disk.length])
          .slice(0, 2),
        [
          [0, 0, 'pending', 1],
          [1, 2, 'pending', 1],
        ],
      );
      assert.match(notes.join(' '), /pending/);
    } finally {
      await store.close();
      await rm(root);
    }
  });

  it('deadline: a bucket that is slow', async () => {
    const server = await S3Server.start({ accessKey: 'test', secretKey: 'testtest' });
    const accessKey = 'test';
    const secretKey = 'testtest';
    try {
      const chain = chainOf('explain-slow', 3);
      const s3 = { s3Endpoint: server.endpoint, s3AccessKey: accessKey, s3SecretKey: secretKey };
      const store = await openStore({ bucket: 'wombat', ...s3, cacheDirectory: false });
      await store.save(chain.blocks, { durable: true });
      await store.close();
      const environment = {
        WMBT_KV_BUCKET: 'wombat',
        WMBT_KV_S3_ENDPOINT: server.endpoint,
        WMBT_KV_S3_ACCESS_KEY: accessKey,
        WMBT_KV_S3_SECRET_KEY: secretKey,
        WMBT_KV_LOOKUP_DEADLINE_MS: '1',
        WMBT_KV_LOAD_DEADLINE_MS: '60000',
      };
      const fast = await run(chain.keys, environment);
      assert.equal(fast.exitCode, 0, fast.stderr);
      assert.match(
        fast.stdout.replaceAll('\n', ' '),
        /A lookup waits 1\.0 ms \(WMBT_KV_LOOKUP_DEADLINE_MS\)/,
      );
      assert.match(fast.stdout, /^this look: 3 get, .* read, less than \$0\.0001$/m);
      server.faults = () => ({ kind: 'slow', ms: 3000 });
      const hasty = { ...environment, WMBT_KV_LOAD_DEADLINE_MS: '300' };
      const { had, reason, runs } = await explained(chain.keys, hasty);
      assert.deepEqual([had, reason], [0, 'deadline']);
      assert.equal(runs[0].objectStore, 'deadline');
    } finally {
      server.faults = () => undefined;
      await server.close();
    }
  });

  it('tells the end of a save that was cut off from a prompt that nobody saved', async () => {
    const { chain, bucket, elsewhere } = await sceneOf('half');
    const object = await blockObject(bucket, { namespace: 'default', key: chain.keys[0] });
    await bucket.delete(object);
    const { had, reason, laterStored, notes } = await explained([...chain.keys, ...elsewhere]);
    assert.deepEqual([had, reason, laterStored], [0, 'unknown', 3]);
    assert.match(notes.join(' '), /Behind it 3 of the blocks are stored/);
  });

  it('names what is wrong with what it was given, and exits with 2', async () => {
    const { exitCode, stderr } = await run([]);
    assert.equal(exitCode, 2);
    assert.match(stderr, /^wombatkv: no chain is named; accepted: one of block keys/);
    const malformed = await run(['a'.repeat(64), '--fingerprint', 'zz']);
    assert.equal(malformed.exitCode, 2);
    assert.match(malformed.stderr, /--fingerprint must be 64 hex characters; got "zz"/);
  });
});

/** Flips a bit in the middle of the payload in the log of the first sub-directory. */
async function damageCache(cacheDirectory: string, payload: Uint8Array): Promise<void> {
  const place = join(cacheDirectory, 'v1', '0');
  for (const name of (await readdir(place)).filter((one) => one.startsWith('segment-'))) {
    const bytes = await readFile(join(place, name));
    const at = bytes.indexOf(payload);
    if (at < 0) continue;
    bytes[at + 10_000] ^= 4;
    await writeFile(join(place, name), bytes);
    return;
  }
  assert.fail('the payload is in no segment');
}
