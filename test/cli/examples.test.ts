import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { randomModels } from '../../src/engines/llama/gguf-model.ts';
import { writeRandomModel } from '../../src/engines/llama/gguf-writer.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { examplePath, runCli } from './run-cli.ts';
import type { CliResult } from './run-cli.ts';

describe('examples/', () => {
  let home: TemporaryDirectory;
  before(async () => {
    home = await makeTemporaryDirectory('examples');
  });
  after(() => home.remove());

  const run = async (name: string, args: readonly string[]): Promise<CliResult> => {
    const result = await runCli(args, { home: home.path, program: examplePath(name) });
    assert.equal(result.exitCode, 0, result.stderr);
    return result;
  };

  it('store.ts saves two blocks and a tail, and loads them again', async () => {
    const { stdout } = await run('store', []);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(lines[0], 'saved 2 blocks and a tail');
    assert.match(lines[1], /^[0-9a-f]{8}: 131072 bytes from \w+$/);
    assert.match(lines[2], /^[0-9a-f]{8}: 131072 bytes from \w+$/);
    assert.equal(lines[3], 'the tail covers 44 more tokens');
  });

  it('chat.ts answers a question, and answers the same when its KV state is stored', async () => {
    const model = join(home.path, 'micro.gguf');
    await writeRandomModel(nodePlatform(), model, randomModels.micro);
    const args = [model, 'Why do wombats dig? '.repeat(20), '8'];
    const first = await run('chat', args);
    const second = await run('chat', args);
    const counts = [first, second].map(({ stdout }) =>
      /(\d+) tokens restored, (\d+) computed\n$/.exec(stdout)?.slice(1).map(Number),
    );
    assert.ok(counts[0] !== undefined && counts[1] !== undefined, first.stdout + second.stdout);
    const [[firstRestored, firstComputed], [restored, computed]] = counts;
    assert.equal(firstRestored, 0);
    assert.ok(firstComputed > 400, `${firstComputed} tokens computed`);
    // Whether restoring pays depends on the machine; either way all tokens are accounted for.
    assert.equal(restored + computed, firstComputed);
    const answerOf = ({ stdout }: CliResult): string => stdout.split(/\d+ tokens restored/)[0];
    assert.notEqual(answerOf(first).trim(), '');
    assert.equal(answerOf(second), answerOf(first));
  });
});
