import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { useNativeKernels } from '../base/native-kernels.ts';
import { silentLogger } from '../base/logger.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { limits } from '../blocks/limits.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { knownFile } from '../platform/known-file.ts';
import { nativeCode, withNative } from '../platform/native.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { entriesStart, entryBytes } from '../platform/shared-memory.ts';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { keyOf } from '../../test/support/cached-payloads.ts';
import { seededRandom } from '../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { Catalog } from './catalog.ts';
import { KnownTable, shardCount } from './known-table.ts';
import { SharedKnown } from './shared-known.ts';

const { random, clock } = nodePlatform();
const plenty = 1024 * 1024 * 1024;
const team = parseNamespace('team');
const fixedMix = { fraction: () => 0, hex: (count: number) => 'c3'.repeat(count - 1) + '5a' };

/** What becomes of each of some keys: most are added. */
const changes: readonly ((table: KnownTable, owner: number, key: BlockKey) => void)[] = [
  (table, owner, key) => table.addMarked(owner, key),
  (table, owner, key) => table.addMarked(owner, key),
  (table, owner, key) => table.add(owner, key),
  (table, owner, key) => {
    if (key.startsWith('0')) table.remove(owner, key);
  },
];

describe('SharedKnown', { skip: withoutNative() }, () => {
  const { sharedMemory: memory } = withNative(nodePlatform(), 'auto');
  let directory: TemporaryDirectory;
  let events: { readonly event: string }[];
  const logger = { ...silentLogger, info: (event: string) => void events.push({ event }) };

  beforeEach(async () => {
    events = [];
    directory = await makeTemporaryDirectory('known-file');
  });
  afterEach(async () => {
    useNativeKernels(undefined);
    await directory.remove();
  });

  /** The file for a table, or for the catalog's. */
  function fileFor(
    { mix, shardSlotsMax }: { readonly mix: Int32Array; readonly shardSlotsMax: number },
    byteLengthMax = plenty,
  ): SharedKnown {
    const code = memory?.knownFile;
    assert.ok(memory !== undefined && code !== undefined);
    const path = `${directory.path}/known`;
    return new SharedKnown({ memory, code, path, logger, byteLengthMax, mix, shardSlotsMax });
  }

  /** Shares all of the table. */
  function shareAll(table: KnownTable, byteLengthMax = plenty): SharedKnown {
    const { shardSlotsMax, image } = table;
    const file = fileFor({ mix: image.mix, shardSlotsMax }, byteLengthMax);
    for (let shard = 0; shard < shardCount; shard += 1)
      assert.ok(table.share(shard, file.tags(shard)));
    return file;
  }

  /** Asks the file as a client does that has no index: whether the owner's keys are there, the last one marked. */
  function reader(): (owner: number, keys: readonly BlockKey[]) => boolean {
    const code = memory?.knownFile;
    assert.ok(memory !== undefined && code !== undefined);
    const known = memory.open(`${directory.path}/known`, 'read');
    const index = new Uint8Array(entriesStart + 2 ** 10 * entryBytes);
    memory.index.create(index, 10, 2 ** 20);
    const bytes = known.map();
    known.close();
    return (owner, keys) => code.areStored(index, 0, bytes, owner, keys.join(''));
  }

  // Goal: a table in shared memory is what it is in memory of its own, and clients read what it would say.
  // Method: random changes of two tables with one mix, of which one is shared after a while; shards grow, are full,
  // and drop what nobody asked for.
  for (const isNative of [true, false]) {
    it(`holds what a table of its own holds, and shows it, ${isNative ? 'with' : 'without'} native lookups`, () => {
      useNativeKernels(isNative ? nativeCode('auto').code : undefined);
      const dice = seededRandom(7);
      const [shared, plain] = [new KnownTable(20_000, fixedMix), new KnownTable(20_000, fixedMix)];
      const keys = Array.from({ length: 40_000 }, (_, index) => keyOf(`shared ${index}`));
      let isStored: ReturnType<typeof reader> | undefined;
      let seen = 0;
      for (let step = 0; step < 3000; step += 1) {
        if (step === 300) {
          shareAll(shared);
          isStored = reader();
        }
        const owner = 1 + dice.below(2);
        const first = dice.below(keys.length - 40);
        const some = keys.slice(first, first + 40);
        const change = changes[dice.below(changes.length)];
        for (const table of [shared, plain]) some.forEach((key) => change(table, owner, key));
        const asked = some.slice(dice.below(40));
        const known = plain.leading(owner, asked, 0);
        assert.equal(shared.leading(owner, asked, 0), known, `step ${step}`);
        const [last, sharedLast] = [plain, shared].map((one) => one.get(owner, asked.slice(-1)[0]));
        assert.equal(sharedLast, last);
        const expected = known === asked.length && last === 'marked';
        assert.equal(isStored?.(owner, asked) ?? expected, expected, `step ${step}`);
        if (expected) seen += 1;
      }
      assert.ok(seen > 100, `${seen} chains were whole`);
      assert.deepEqual(shared.image.shards, plain.image.shards);
      shared.clear();
      assert.equal(isStored?.(1, [keys[0]]), false);
    });
  }

  it('leaves to the store what there is no memory for, and says so once', () => {
    const table = new KnownTable(limits.catalogKeysMax, random);
    const bytes = knownFile.regionsStart + 4 * knownFile.pageBytes;
    shareAll(table, bytes);
    const isStored = reader();
    // A page holds 256 entries: beyond three quarters of them a shard grows.
    const keys = Array.from({ length: 80_000 }, (_, index) => keyOf(`room ${index}`));
    for (const key of keys) table.addMarked(1, key);
    const shown = keys.filter((key) => isStored(1, [key])).length;
    assert.ok(shown > 200 && shown < 10_000, `${shown} keys are shown`);
    assert.ok(keys.every((key) => table.get(1, key) === 'marked'));
    assert.equal(events.length, 1, JSON.stringify(events));
    for (const key of keys) table.remove(1, key);
    assert.ok(keys.every((key) => !isStored(1, [key])));
  });

  it('takes no more memory once it is closed, and shows what it shows', () => {
    const table = new KnownTable(limits.catalogKeysMax, random);
    const file = shareAll(table);
    const keys = Array.from({ length: 60_000 }, (_, index) => keyOf(`closed ${index}`));
    table.addMarked(1, keys[0]);
    file.close();
    const isStored = reader();
    assert.equal(isStored(1, [keys[0]]), true);
    table.remove(1, keys[0]);
    assert.equal(isStored(1, [keys[0]]), false);
    for (const key of keys) table.addMarked(1, key);
    assert.ok(keys.every((key) => table.get(1, key) === 'marked'));
  });

  it('fails without memory for its beginning, and leaves no file', () => {
    const table = new KnownTable(1000, random);
    const shape = { mix: table.image.mix, shardSlotsMax: table.shardSlotsMax };
    assert.throws(() => fileFor(shape, 1000), { code: 'ENOSPC' });
    fileFor(shape).close();
  });

  it('names blocks of each namespace, and none that the catalog has forgotten', () => {
    const catalog = new Catalog(clock, random);
    const confirm = (namespace: Namespace): void =>
      catalog.confirm({ namespace, kind: 'block', key: keyOf('a') });
    confirm(team);
    const file = fileFor(catalog.sharing);
    for (const _step of catalog.share(file));
    const isStored = reader();
    const owners = ownersIn(`${directory.path}/known`);
    assert.deepEqual(owners(), [['team', 1]]);
    assert.equal(isStored(1, [keyOf('a')]), true);
    catalog.confirm({ namespace: team, kind: 'raw-tail', key: keyOf('tail') });
    confirm(parseNamespace('other'));
    assert.deepEqual(owners(), [
      ['team', 1],
      ['other', 3],
    ]);
    for (let index = 0; index < limits.catalogNamespacesMax - 1; index += 1)
      confirm(parseNamespace(`n${index}`));
    assert.equal(owners().length, knownFile.namesMax);
    assert.deepEqual(owners()[0], ['team', 0]);
    confirm(team);
    assert.deepEqual(owners()[0], ['team', limits.catalogNamespacesMax + 3]);
  });

  /** Names and numbers in the file, as docs/FORMAT.md draws it. */
  function ownersIn(path: string): () => (readonly [string, number])[] {
    const file = memory?.open(path, 'read');
    const bytes = file?.map() ?? new Uint8Array(0);
    file?.close();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return () =>
      Array.from({ length: view.getUint32(48, true) }, (_, name) => {
        const at = 4096 + 96 * name;
        const text = bytes.subarray(at + 8, at + 8 + view.getUint32(at + 4, true));
        return [new TextDecoder().decode(text), view.getUint32(at, true)] as const;
      });
  }
});
