import assert from 'node:assert/strict';
import {
  appendFile,
  mkdir,
  readFile,
  rename,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { blake3Hex } from '../../base/blake3.ts';
import { isStoreError } from '../../base/errors.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import type { FileHook } from '../../../test/support/hooked-files.ts';
import { systemError, withHookedFiles } from '../../../test/support/hooked-files.ts';
import { randomPayload } from '../../../test/support/payloads.ts';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import { hashModel, shardPaths } from './model-hash.ts';

/** More than is read at a time, and no multiple of it. */
const content = randomPayload('model', 4 * 1024 * 1024 + 4321);
const contentHash = blake3Hex(content);

let directory: TemporaryDirectory;
let names = 0;

before(async () => {
  directory = await makeTemporaryDirectory('model-hash');
});
after(() => directory.remove());

describe('hashModel()', () => {
  it('is the BLAKE3 digest of the file', async () => {
    const { model, memory } = await newModel();
    assert.equal(await hashModel(nodePlatform(), model, memory), contentHash);
  });

  it('is that of the joined digests of all shards, whichever is named', async () => {
    const { folder, memory } = await newModel();
    const parts = [content.subarray(0, 1000), content.subarray(1000, 3000), new Uint8Array(0)];
    for (const [index, part] of parts.entries()) {
      await writeFile(join(folder, `big-0000${index + 1}-of-00003.gguf`), part);
    }
    const joined = new TextEncoder().encode(parts.map(blake3Hex).join(''));
    for (const index of [1, 2, 3]) {
      const path = join(folder, `big-0000${index}-of-00003.gguf`);
      assert.equal(await hashModel(nodePlatform(), path, memory), blake3Hex(joined));
    }
  });

  it('of a model with a missing shard is refused', async () => {
    const { folder, memory } = await newModel();
    const path = join(folder, 'half-00001-of-00002.gguf');
    await writeFile(path, content);
    await assert.rejects(hashModel(nodePlatform(), path, memory), { code: 'ENOENT' });
  });

  it('is the same under another path, and through a link', async () => {
    const { folder, model, memory } = await newModel();
    await symlink(model, join(folder, 'link.gguf'));
    await writeFile(join(folder, 'copy.gguf'), content);
    for (const name of ['link.gguf', 'copy.gguf']) {
      assert.equal(await hashModel(nodePlatform(), join(folder, name), memory), contentHash);
    }
  });
});

describe('what is remembered', () => {
  it('is not read again, by any process, also under another name', async () => {
    const { folder, model, memory } = await newModel();
    await hashModel(nodePlatform(), model, memory);
    const reads = new ReadCounter();
    assert.equal(await hashModel(reads.platform(), model, memory), contentHash);
    const moved = join(folder, 'moved.gguf');
    await symlink(model, moved);
    assert.equal(await hashModel(reads.platform(), moved, memory), contentHash);
    assert.equal(reads.count, 0);
  });

  it('does not hold for a file that was changed, though size and time are the same', async () => {
    const { model, memory } = await newModel();
    await hashModel(nodePlatform(), model, memory);
    const { atime, mtime } = await stat(model);
    const other = Uint8Array.from(content);
    other[12_345] ^= 1;
    await writeFile(model, other);
    await utimes(model, atime, mtime);
    assert.equal(await hashModel(nodePlatform(), model, memory), blake3Hex(other));
  });

  it('does not hold for another file in its place', async () => {
    const { folder, model, memory } = await newModel();
    await hashModel(nodePlatform(), model, memory);
    const other = content.toReversed();
    await writeFile(join(folder, 'other'), other);
    await rename(join(folder, 'other'), model);
    assert.equal(await hashModel(nodePlatform(), model, memory), blake3Hex(other));
  });

  const damages: readonly [string, string | Uint8Array][] = [
    ['no JSON', '[{"identity":'],
    ['not a list', '{"a":1}'],
    ['entries of other kinds', '[1,null,"a",{"identity":"1:2","byteLength":"x"}]'],
    ['bytes that are no text', Uint8Array.of(0xff, 0xfe, 0)],
    ['nothing', ''],
    ['far too long', ' '.repeat(2 * 1024 * 1024)],
  ];
  for (const [name, text] of damages) {
    it(`is hashed again when the memory is damaged: ${name}`, async () => {
      const { model, memory } = await newModel();
      await writeFile(memory, text);
      const reads = new ReadCounter();
      assert.equal(await hashModel(reads.platform(), model, memory), contentHash);
      assert.ok(reads.count > 0);
      const after = new ReadCounter();
      assert.equal(await hashModel(after.platform(), model, memory), contentHash);
      assert.equal(after.count, 0, 'the memory works again');
    });
  }

  // Goal: no damage of the file makes another model's hash of a model. Method: every byte is changed
  // by one bit, and the file is cut at every eighth length; the model is a small one.
  it('is never believed when a byte of it changed, or its end is missing', async () => {
    const { folder, memory } = await newModel();
    const model = join(folder, 'small.gguf');
    const bytes = content.subarray(0, 100);
    await writeFile(model, bytes);
    await hashModel(nodePlatform(), model, memory);
    const sound = await readFile(memory);
    assert.ok(sound.includes(blake3Hex(bytes)));
    const damages: Buffer[] = [];
    for (const [at, byte] of sound.entries()) {
      if (at % 8 === 0) damages.push(sound.subarray(0, at));
      damages.push(withByte(sound, at, byte ^ (1 << (at % 8))));
    }
    for (const damaged of damages) {
      await writeFile(memory, damaged);
      const reads = new ReadCounter();
      assert.equal(await hashModel(reads.platform(), model, memory), blake3Hex(bytes));
      assert.ok(reads.count > 0, `believed: ${damaged.toString('latin1')}`);
    }
    assert.ok(damages.length > 250, `${damages.length} damages`);
    assert.deepEqual(await readFile(memory), sound, 'what is written in its place is sound');
  });

  it('does not trust an entry whose digest is none', async () => {
    const { model, memory } = await newModel();
    await hashModel(nodePlatform(), model, memory);
    const [, text] = (await readFile(memory, 'utf8')).split('\n');
    await writeMemory(memory, text.replace(contentHash, 'x'.repeat(64)));
    assert.equal(await hashModel(nodePlatform(), model, memory), contentHash);
  });

  it('is bounded: the oldest are forgotten', async () => {
    const { model, memory } = await newModel();
    const entry = { byteLength: 1, modifiedMs: 1, changedMs: 1, blake3: contentHash };
    const entries = Array.from({ length: 300 }, (_, i) => ({ ...entry, identity: `0:${i}` }));
    await writeMemory(memory, JSON.stringify(entries));
    await hashModel(nodePlatform(), model, memory);
    const [, text] = (await readFile(memory, 'utf8')).split('\n');
    const kept = JSON.parse(text) as { identity: string }[];
    assert.equal(kept.length, 256);
    assert.equal(kept[0].identity, '0:45');
  });
});

describe('a model that cannot be remembered', () => {
  it('is hashed where the directory of the memory is a file', async () => {
    const { model } = await newModel();
    const memory = `${model}/inside/hashes.json`;
    assert.equal(await hashModel(nodePlatform(), model, memory), contentHash);
  });

  for (const call of ['makeDirectory', 'open', 'write', 'rename'] as const) {
    it(`is hashed where nothing can be written or removed: ${call} fails`, async () => {
      const { folder, model, memory } = await newModel();
      const platform = withHookedFiles(nodePlatform(), (made, path) => {
        const isMemory = path.startsWith(folder) && path !== model;
        if (isMemory && (made === call || made === 'remove')) throw systemError('EROFS');
      });
      assert.equal(await hashModel(platform, model, memory), contentHash);
    });
  }
});

describe('a model that changes while it is hashed', () => {
  it('is refused, and nothing is remembered', async () => {
    const { model, memory } = await newModel();
    let isFirst = true;
    const platform = withHookedFiles(nodePlatform(), async (call, path) => {
      if (call !== 'read' || path !== model || !isFirst) return;
      isFirst = false;
      await appendFile(model, 'x');
    });
    await assert.rejects(hashModel(platform, model, memory), (error) =>
      isStoreError(error, 'UNAVAILABLE'),
    );
    await assert.rejects(readFile(memory), { code: 'ENOENT' });
  });
});

describe('shardPaths()', () => {
  it('names all shards of a model, and only the file itself for others', () => {
    assert.deepEqual(shardPaths('/m/a-00002-of-00003.gguf'), [
      '/m/a-00001-of-00003.gguf',
      '/m/a-00002-of-00003.gguf',
      '/m/a-00003-of-00003.gguf',
    ]);
    for (const path of ['/m/a.gguf', '/m/a-1-of-3.gguf', '/m/a-00001-of-00003.bin']) {
      assert.deepEqual(shardPaths(path), [path]);
    }
  });
});

/** Counts reads of any file. */
class ReadCounter {
  count = 0;

  platform(): ReturnType<typeof nodePlatform> {
    const hook: FileHook = (call) => {
      if (call === 'read') this.count += 1;
    };
    return withHookedFiles(nodePlatform(), hook);
  }
}

function withByte(bytes: Buffer, at: number, value: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = value;
  return changed;
}

/** Writes a memory whose checksum holds. */
async function writeMemory(path: string, json: string): Promise<void> {
  await writeFile(path, `${blake3Hex(Buffer.from(json))}\n${json}`);
}

interface ModelFile {
  readonly folder: string;
  readonly model: string;
  /** Where hashes are remembered; not there yet. */
  readonly memory: string;
}

async function newModel(): Promise<ModelFile> {
  names += 1;
  const folder = join(directory.path, String(names));
  await mkdir(folder);
  const model = join(folder, 'model.gguf');
  await writeFile(model, content);
  return { folder, model, memory: join(folder, 'hashes.json') };
}
