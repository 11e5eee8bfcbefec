import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { goldenFiles, goldenPath } from '../../test/golden/golden.ts';

const hasPython = spawnSync('python3', ['--version']).status === 0;

test(
  'make-golden.py writes the golden frames that are here',
  {
    skip: hasPython ? false : 'python3 is not installed',
  },
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'wombatkv golden '));
    try {
      const made = spawnSync('python3', [goldenPath('make-golden.py'), directory]);
      assert.equal(made.status, 0, made.stderr.toString());
      assert.deepEqual(readdirSync(directory).sort(), goldenFiles('frame-v2'));
      for (const file of goldenFiles('frame-v2')) {
        const expected = readFileSync(goldenPath('frame-v2', file));
        assert.ok(readFileSync(join(directory, file)).equals(expected), file);
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  },
);
