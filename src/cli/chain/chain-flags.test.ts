import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../../test/support/temporary-directory.ts';
import { isStoreError } from '../../base/errors.ts';
import { Prefix, seedOf } from '../../blocks/prefix.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { Progress } from '../progress.ts';
import { outputOf } from '../terminal.ts';
import { readChain } from './chain-flags.ts';
import type { AskedChain, ChainFlags } from './chain-flags.ts';

const platform = nodePlatform();
const silent = outputOf({ write: () => true }, undefined);

describe('the chain that a command is asked about', () => {
  const key = 'a'.repeat(64);
  let directory: TemporaryDirectory;

  before(async () => {
    directory = await makeTemporaryDirectory('chain-flags');
  });
  after(() => directory.remove());

  const read = (keys: readonly string[], flags: Partial<ChainFlags> = {}): Promise<AskedChain> => {
    const context = { platform, terminal: { results: silent, notes: silent } };
    const all = { blockTokens: 128, ...flags };
    return readChain(context, keys, all, new Progress(silent, platform.clock));
  };

  const file = async (name: string, text: string): Promise<string> => {
    const path = join(directory.path, name);
    await writeFile(path, text);
    return path;
  };

  it('is the keys given, or those of a file without its comments', async () => {
    assert.deepEqual((await read([key.toUpperCase()])).keys, [key]);
    const chain = await file('keys', `# first\n${key}\r\n\n  ${'b'.repeat(64)}`);
    assert.deepEqual((await read([], { chain })).keys, [key, 'b'.repeat(64)]);
  });

  it('is hashed from tokens in any common notation, as Prefix does', async () => {
    const tokens = Array.from({ length: 300 }, (_, index) => index - 7);
    const prefix = new Prefix(seedOf('the seed'));
    prefix.append(tokens);
    for (const [name, text] of [
      ['json', JSON.stringify(tokens)],
      ['lines', tokens.join('\n')],
    ]) {
      const tokenFile = await file(name, text);
      const chain = await read([], { tokenFile, seedInput: 'the seed' });
      assert.deepEqual(chain.keys, prefix.keys);
      assert.equal(chain.tokens, 300);
    }
    const tokenFile = await file('short', '1 2 3');
    assert.deepEqual((await read([], { tokenFile, seedInput: 's' })).keys, []);
  });

  it('is refused with what is wrong and what is accepted', async () => {
    const tokenFile = await file('bad', '1, 2, three');
    const empty = await file('empty', '# nothing\n');
    const cases: readonly (readonly [readonly string[], Partial<ChainFlags>, RegExp])[] = [
      [[], {}, /^no chain is named; accepted: one of block keys, --chain, --token-file/],
      [[key], { chain: 'x' }, /^block keys and --chain name a chain each; accepted/],
      [['abc'], {}, /^key 1 of the command line: block key must be 64 chars; got 3/],
      [[key, key], {}, /^key 2 of the command line is there twice/],
      [[], { chain: '/nowhere' }, /^--chain: \/nowhere cannot be read: ENOENT/],
      [[], { chain: empty }, /empty names no block key$/],
      [[], { tokenFile }, /^--token-file needs --seed-input/],
      [[], { tokenFile, seedInput: 's' }, /token 3 of .* is no 32-bit number: "three"$/],
      [[], { tokenFile: empty, seedInput: 's' }, /is no 32-bit number: "#"$/],
      [[key], { seedInput: 's' }, /^--seed-input is of use with --token-file, not with block keys/],
      [[], { text: 'hello' }, /^--text needs --model/],
      [[key], { model: 'm.gguf' }, /^--model is of use with --prompt or --text/],
      [[], { text: 'x', model: '/no.gguf' }, /^--model: there is no file \/no\.gguf/],
      [[], { text: 'x', model: tokenFile, context: '[]' }, /^--context must be a JSON object/],
      [[], { text: 'x', model: tokenFile, context: '{' }, /^--context must be a JSON object/],
      [
        [key],
        { blockTokens: 100 },
        /^--block-tokens must be a multiple of 128 up to 8192; got 100/,
      ],
    ];
    for (const [keys, flags, message] of cases) {
      await assert.rejects(read(keys, flags), (error: unknown) => {
        assert.ok(isStoreError(error, 'INVALID'), String(error));
        assert.match(error.message, message);
        return true;
      });
    }
  });
});
