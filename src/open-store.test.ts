import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { chainOf } from '../test/support/chains.ts';
import { patience } from '../test/support/patience.ts';
import { makeTemporaryDirectory } from '../test/support/temporary-directory.ts';
import { isStoreError } from './base/errors.ts';
import type { LogFields, Logger } from './base/logger.ts';
import { parseBlockKey } from './blocks/block-key.ts';
import { parseNamespace } from './blocks/namespace.ts';
import type { StoreConfig } from './config/store-config.ts';
import { openStore } from './open-store.ts';

const gib = 1024 ** 3;
const root = await makeTemporaryDirectory('open-store');
after(() => root.remove());

let made = 0;
function freshPath(): string {
  made += 1;
  return `${root.path}/${made}`;
}

/** A configuration that touches nothing outside of a directory of its own. */
function freshConfig(changes: StoreConfig = {}): StoreConfig {
  const path = freshPath();
  return {
    objectStore: `file://${path}/objects`,
    cacheDirectory: `${path}/cache`,
    memoryBytes: 8 * 1024 ** 2,
    diskBytes: 64 * 1024 ** 2,
    ...patience,
    ...changes,
  };
}

/** How a program ended that used the library. */
interface ProgramEnd {
  readonly exitCode: number;
  readonly output: string;
  readonly errors: string;
}

/** Time for a program of these tests; one that is kept alive by something is killed after it. */
const programMsMax = 30_000;

/** Runs a program in a process of its own, which has `wombatkv` to import and no other variables. */
function runProgram(
  lines: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<ProgramEnd> {
  const library = JSON.stringify(new URL('./index.js', import.meta.url).href);
  const program = [`import * as wombatkv from ${library};`, ...lines].join('\n');
  const options = {
    env: { PATH: process.env['PATH'] ?? '', HOME: root.path, ...environment },
    timeout: programMsMax,
    killSignal: 'SIGKILL' as const,
  };
  return new Promise((resolve) => {
    const given = ['--input-type=module', '--eval', program];
    execFile(process.execPath, given, options, (error, output, errors) => {
      const exitCode = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ exitCode, output, errors });
    });
  });
}

/** Runs a program that must end well, and gives what it printed as JSON. */
async function printedBy(
  lines: readonly string[],
  environment?: Readonly<Record<string, string>>,
): Promise<unknown> {
  const { exitCode, output, errors } = await runProgram(lines, environment);
  assert.deepEqual({ exitCode, errors }, { exitCode: 0, errors: '' });
  return output === '' ? undefined : JSON.parse(output);
}

describe('openStore()', () => {
  it('opens a store that saves and loads, as its documentation shows', async () => {
    const store = await openStore({ objectStore: 'memory:', cacheDirectory: false });
    const keys = [parseBlockKey('00'.repeat(32))];
    await store.save([{ key: keys[0], payload: new Uint8Array([1, 2, 3]) }]);
    const borrow = await store.load(keys);
    assert.deepEqual([...(borrow.blocks[0]?.payload ?? [])], [1, 2, 3]);
    borrow.release();
    await store.close();
  });

  it('keeps what was saved, over restarts, in memory, on disk and in the bucket', async () => {
    const config = freshConfig();
    const chain = chainOf('kept', 4, 5000);
    const store = await openStore(config);
    assert.equal((await store.save(chain.blocks)).saved, 4);
    await store.close();
    for (const cacheDirectory of [config.cacheDirectory, freshPath(), false as const]) {
      const next = await openStore({ ...config, cacheDirectory });
      const borrow = await next.load(chain.keys);
      assert.equal(borrow.blocks.length, 4);
      for (const [index, { payload }] of borrow.blocks.entries()) {
        assert.deepEqual(new Uint8Array(payload), chain.blocks[index].payload);
      }
      borrow.release();
      await next.close();
    }
  });

  it('keeps a key of zeros like any other, over restarts too', async () => {
    const config = freshConfig();
    const zeros = parseBlockKey('00'.repeat(32));
    const payload = new Uint8Array([4, 5, 6]);
    for (const cacheDirectory of [config.cacheDirectory, config.cacheDirectory, freshPath()]) {
      const store = await openStore({ ...config, cacheDirectory });
      await store.save([{ key: zeros, payload }]);
      await store.saveTail({ tip: zeros, tokens: [1, 2], payload });
      const borrow = await store.load([zeros]);
      const tail = await store.loadTail({ tip: zeros, tokens: [1, 2, 3] });
      assert.deepEqual([borrow.blocks.length, tail?.tokens], [1, 2]);
      borrow.release();
      tail?.release();
      await store.close();
    }
  });

  it('opens several stores on the same directories at once', async () => {
    const config = freshConfig();
    const stores = await Promise.all([1, 2, 3].map(() => openStore(config)));
    const chain = chainOf('several', 2);
    await stores[0].save(chain.blocks, { durable: true });
    for (const store of stores) assert.equal((await store.lookup(chain.keys)).matched, 2);
    await Promise.all(stores.map((store) => store.close()));
  });

  it('keeps the namespace of its configuration apart from others', async () => {
    const config = freshConfig();
    const chain = chainOf('tenant', 2);
    const red = await openStore({ ...config, namespace: 'red' });
    await red.save(chain.blocks, { durable: true });
    const blue = await openStore({ ...config, namespace: 'blue' });
    assert.equal((await blue.lookup(chain.keys)).matched, 0);
    const namespace = parseNamespace('red');
    assert.equal((await blue.lookup(chain.keys, { namespace })).matched, 2);
    await red.close();
    await blue.close();
  });

  it('gives up clearly when the cache directory cannot be used', async () => {
    const file = freshPath();
    await writeFile(file, 'not a directory');
    await assert.rejects(openStore(freshConfig({ cacheDirectory: `${file}/cache` })), (error) => {
      assert.ok(isStoreError(error, 'UNAVAILABLE'));
      assert.match(error.message, /cache/);
      return true;
    });
  });

  it('tells its logger what happens, and nobody else', async () => {
    const events: [string, LogFields | undefined][] = [];
    const note = (event: string, fields?: LogFields): unknown => events.push([event, fields]);
    const logger: Logger = { error: note, info: note, debug: note };
    const file = freshPath();
    await writeFile(file, 'in the place of the bucket');
    const store = await openStore(freshConfig({ objectStore: `file://${file}` }), { logger });
    await store.save(chainOf('logged', 1).blocks);
    await assert.rejects(store.flush());
    await store.close();
    assert.ok(events.some(([event]) => event.startsWith('uploads: an attempt failed')));
  });

  const wrong: readonly (readonly [string, object, RegExp])[] = [
    ['a field that there is not', { cacheDir: '/x' }, /cacheDir.*cacheDirectory/s],
    ['a number that is text', { memoryBytes: '1GiB' }, /memoryBytes/],
    ['a negative budget', { diskBytes: -1 }, /diskBytes/],
    ['an unknown compression', { compression: 'lz5' }, /compression/],
    ['a level that zstd does not have', { compressionLevel: 23 }, /compressionLevel/],
    ['a relative cache directory', { cacheDirectory: 'cache' }, /cacheDirectory/],
    ['an object store of no known kind', { objectStore: 'ftp://host' }, /objectStore/],
    ['a namespace that is too long', { namespace: 'n'.repeat(81) }, /namespace/],
    ['a deadline that is none', { lookupDeadlineMs: Number.NaN }, /lookupDeadlineMs/],
    [
      'a cache inside of the object store',
      { objectStore: 'file:///srv/kv', cacheDirectory: '/srv/kv/cache' },
      /objectStore.*cacheDirectory/s,
    ],
  ];
  for (const [what, config, names] of wrong) {
    it(`names the field for ${what}`, async () => {
      const opening = openStore(config as StoreConfig);
      await assert.rejects(opening, (error) => {
        assert.ok(
          error instanceof TypeError ||
            error instanceof RangeError ||
            isStoreError(error, 'INVALID'),
        );
        assert.match(error.message, names);
        return true;
      });
    });
  }
});

describe('openStore() and openFromEnvironment() in a program', { concurrency: 2 }, () => {
  it('have the documented defaults', async () => {
    const home = freshPath();
    const printed = await printedBy(
      ['console.log(JSON.stringify(wombatkv.configFromEnvironment()));'],
      { HOME: home },
    );
    assert.deepEqual(printed, {
      namespace: 'default',
      objectStore: `file://${home}/.wombatkv/objects`,
      objectStoreBytesMax: 20 * gib,
      keyPrefix: 'kv/cabi',
      cacheDirectory: `${home}/.wombatkv/puffer`,
      memoryBytes: gib,
      diskBytes: 8 * gib,
      compression: 'zstd',
      compressionLevel: 1,
      readV1: 'auto',
      writeFormat: 'v2',
      putDurable: false,
      lookupDeadlineMs: 250,
      loadDeadlineMs: 10_000,
      callDeadlineMsMax: 30_000,
      native: 'auto',
      bucket: '',
      s3Endpoint: '',
      s3AccessKey: '',
      s3SecretKey: '',
      s3Region: 'us-east-1',
      s3CaFile: '',
      s3PathStyle: 'auto',
      s3ReadBytesPerSecond: false,
      s3WriteBytesPerSecond: false,
      localDevelopment: false,
    });
  });

  it('use these defaults, and make their directories', async () => {
    const home = freshPath();
    await printedBy(
      [
        'const store = await wombatkv.openStore();',
        "const key = wombatkv.parseBlockKey('ab'.repeat(32));",
        'await store.save([{ key, payload: new Uint8Array(100) }]);',
        'await store.close();',
      ],
      { HOME: home },
    );
    const objects = await readdir(`${home}/.wombatkv/objects`, { recursive: true });
    assert.ok(objects.some((name) => name.endsWith('ab'.repeat(32))));
    assert.ok(existsSync(`${home}/.wombatkv/puffer/v1/0`));
  });

  it('take their settings from the environment', async () => {
    const path = freshPath();
    const printed = await printedBy(
      [
        'const store = await wombatkv.openFromEnvironment();',
        "const key = wombatkv.parseBlockKey('cd'.repeat(32));",
        'await store.save([{ key, payload: new Uint8Array(100) }]);',
        'const { memory, disk, pending } = await store.stats();',
        'const budgets = [memory.budgetBytes, disk.budgetBytes, pending];',
        'await store.close();',
        'console.log(JSON.stringify(budgets));',
      ],
      {
        WMBT_KV_OBJECT_STORE: `file://${path}/objects`,
        WMBT_KV_PUFFER_DIR: `${path}/cache`,
        WMBT_KV_PUFFER_RAM_BYTES: String(16 * 1024 ** 2),
        WMBT_KV_PUFFER_DISK_BYTES: String(32 * 1024 ** 2),
        WMBT_KV_NAMESPACE: 'from-environment',
        WMBT_KV_PUT_DURABLE: 'yes',
      },
    );
    // The save was durable, so nothing is pending.
    assert.deepEqual(printed, [16 * 1024 ** 2, 32 * 1024 ** 2, 0]);
    const objects = await readdir(`${path}/objects`, { recursive: true });
    assert.ok(objects.some((name) => name.includes('from-environment')));
  });

  it('name the variable that is wrong, and mention an unknown one once', async () => {
    const attempt = [
      'const lines = [];',
      'const note = (event, fields) => lines.push(fields?.line ?? event);',
      'const logger = { error: note, info: note, debug: note };',
      'try {',
      '  wombatkv.configFromEnvironment({ logger });',
      '} catch (error) {',
      '  lines.push(`${error.code}: ${error.message}`);',
      '}',
      'console.log(JSON.stringify(lines));',
    ];
    const bad = await printedBy(attempt, { WMBT_KV_PUFFER_RAM_BYTES: 'plenty' });
    assert.match(String(bad), /^INVALID: .*WMBT_KV_PUFFER_RAM_BYTES/);
    const unknown = await printedBy(attempt, { WMBT_KV_PUFER_DIR: '/x' });
    assert.ok(Array.isArray(unknown) && unknown.length === 1);
    assert.match(String(unknown[0]), /WMBT_KV_PUFER_DIR.*WMBT_KV_PUFFER_DIR/s);
  });
});

describe('a program with a store', { concurrency: 2 }, () => {
  function opening(config: StoreConfig): string[] {
    return [
      `const store = await wombatkv.openStore(${JSON.stringify(config)});`,
      "const key = wombatkv.parseBlockKey('ef'.repeat(32));",
      'await store.save([{ key, payload: new Uint8Array(5000).fill(7) }]);',
    ];
  }

  /** Checks that the next process finds what the program saved. */
  async function assertSaved(config: StoreConfig): Promise<void> {
    const store = await openStore(config);
    const borrow = await store.load([parseBlockKey('ef'.repeat(32))]);
    assert.deepEqual(new Uint8Array(borrow.blocks[0]?.payload), new Uint8Array(5000).fill(7));
    borrow.release();
    await store.close();
  }

  it('ends by itself after close()', async () => {
    const config = freshConfig();
    await printedBy([...opening(config), 'await store.close();']);
    await assertSaved(config);
  });

  it('ends by itself without close(), and what it saved is there', async () => {
    const config = freshConfig();
    await printedBy(opening(config));
    await assertSaved(config);
  });

  it('ends by itself when it has only opened a store', async () => {
    const config = freshConfig();
    await printedBy(opening(config).slice(0, 1));
  });

  it('ends by itself while its uploads fail', async () => {
    const file = freshPath();
    await writeFile(file, 'in the place of the bucket');
    const config = freshConfig({ objectStore: `file://${file}` });
    await printedBy([...opening(config), 'await store.flush().catch(() => undefined);']);
    await assertSaved(config);
  });

  it('stays alive as long as it waits for a call', async () => {
    const file = freshPath();
    await writeFile(file, 'in the place of the bucket');
    const config = freshConfig({ objectStore: `file://${file}` });
    const printed = await printedBy([
      ...opening(config),
      'const codes = [];',
      'const note = (error) => codes.push(error.code);',
      // The upload that the save began fails, and nothing happens until it is tried again.
      'await store.flush().catch(note);',
      'await store.flush({ deadlineMs: 1000 }).catch(note);',
      'console.log(JSON.stringify(codes));',
    ]);
    assert.deepEqual(printed, ['UNAVAILABLE', 'UNAVAILABLE']);
  });

  it('ends by itself without close() when there is a budget for the bucket and no disk', async () => {
    const config = freshConfig({ cacheDirectory: false, objectStoreBytesMax: 1024 ** 2 });
    await printedBy(opening(config));
    await assertSaved(config);
  });

  it('ends by itself when opening has failed', async () => {
    const file = freshPath();
    await writeFile(file, 'not a directory');
    const config = freshConfig({ cacheDirectory: `${file}/cache` });
    const { exitCode, errors } = await runProgram([
      `await wombatkv.openStore(${JSON.stringify(config)}).catch((error) => {`,
      '  process.exitCode = error.code === "UNAVAILABLE" ? 7 : 8;',
      '});',
    ]);
    assert.deepEqual([exitCode, errors], [7, '']);
  });
});
