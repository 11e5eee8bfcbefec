import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { cachedLibrary } from '../../tools/capi-build.ts';
import type { BuiltLibrary } from '../../tools/capi-build.ts';
import { run, warningFlags } from '../../tools/capi-compile.ts';
import { projectRoot } from '../../tools/project.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import type { TemporaryDirectory } from '../support/temporary-directory.ts';
import { runProgram, sharedFlags, testToolchain, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

const { compiler } = testToolchain();
const examples = join(projectRoot(), 'capi/examples');

/** A C++ compiler; false when there is one. */
function withoutCpp(): string | false {
  return spawnSync('c++', ['--version']).status === 0 ? false : 'there is no c++';
}

/**
 * Goal: the examples shaped like an engine build with one line, and do what an engine wants of a store:
 * the second process computes next to nothing, and its states are those of the first.
 * Method: C and C++ share their model, hashes and bytes, so each restores what the other saved.
 */
describe('the examples of the C library', { skip: withoutTestCompiler() }, () => {
  let library: BuiltLibrary;
  let folder: TemporaryDirectory;
  let home: DaemonHome;
  before(async () => {
    library = await cachedLibrary({ compiler, flavour: 'plain' });
    folder = await makeTemporaryDirectory('examples');
  });
  after(() => folder.remove());

  async function build(by: string, standard: string, source: string): Promise<string> {
    const program = join(folder.path, `${source}.out`);
    const flags = warningFlags.filter((flag) => flag !== '-Wcast-qual');
    const args = [`-std=${standard}`, ...flags, '-pthread', join(examples, source)];
    await run(by, [...args, `-I${library.prefix}/include`, ...sharedFlags(library), '-o', program]);
    return program;
  }

  async function converse(program: string): Promise<readonly Turn[]> {
    const { status, lines, notes } = await runProgram(program, [], { environment: home.unix });
    assert.equal(status, 0, notes);
    assert.equal(notes, '', 'nothing failed');
    const turns = lines.map((line) => turnPattern.exec(line));
    assert.equal(turns.length, 3, lines.join('\n'));
    return turns.map((turn) => {
      const [restored, computed, state] = (turn ?? []).slice(1);
      return { restored: Number(restored), computed: Number(computed), state };
    });
  }

  for (const [first, second] of [
    ['engine.c', 'engine.cpp'],
    ['engine.cpp', 'engine.c'],
  ]) {
    it(`${second} restores what ${first} saved`, { skip: withoutCpp() }, async () => {
      home = await startDaemonHome();
      try {
        const programs = {
          'engine.c': await build(compiler, 'c99', 'engine.c'),
          'engine.cpp': await build('c++', 'c++11', 'engine.cpp'),
        } as Readonly<Record<string, string>>;
        const cold = await converse(programs[first]);
        assert.equal(cold[0].restored, 0);
        // A later turn restores prompt and answer of the one before.
        assert.equal(cold[1].restored, cold[0].computed + 50);
        assert.equal(cold[2].restored, cold[1].restored + cold[1].computed + 50);
        const warm = await converse(programs[second]);
        assert.deepEqual(
          warm.map(({ computed, state }) => ({ computed, state })),
          cold.map(({ state }) => ({ computed: 1, state })),
          'one token is computed, and the states are those of before',
        );
      } finally {
        await home.close();
      }
    });
  }
});

const turnPattern = /^turn \d: (\d+) tokens restored, (\d+) computed, state ([0-9a-f]{16})$/;

interface Turn {
  readonly restored: number;
  readonly computed: number;
  readonly state: string;
}
