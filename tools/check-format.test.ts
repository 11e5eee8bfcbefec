import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FormatMemory } from './check-format.ts';
import { readProject } from './tidy-project.ts';

describe('FormatMemory', () => {
  let root = '';
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'wombatkv-format-'));
    for (const path of ['a.md', 'src/b.ts']) write(path, `text of ${path}\n`);
    write('.prettierrc.json', '{}\n');
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const memory = (): FormatMemory => new FormatMemory(readProject(root));
  const all = ['.prettierrc.json', 'a.md', 'src/b.ts'];

  it('names every file until all were found in order, then those that changed or came', () => {
    assert.deepEqual(memory().changed, all);
    assert.deepEqual(memory().changed, all);
    memory().remember();
    assert.deepEqual(memory().changed, []);
    write('src/b.ts', 'other text\n');
    write('src/c.ts', 'new text\n');
    assert.deepEqual(memory().changed, ['src/b.ts', 'src/c.ts']);
    write('src/b.ts', 'text of src/b.ts\n');
    assert.deepEqual(memory().changed, ['src/c.ts']);
  });

  it('names every file when the settings or the version of the formatter change', () => {
    const settings = ['.prettierrc.json', '.prettierignore', 'node_modules/prettier/package.json'];
    for (const path of settings) {
      memory().remember();
      assert.deepEqual(memory().changed, []);
      write(path, `{ "changed": "${path}" }\n`);
      for (const file of all) assert.ok(memory().changed.includes(file), `${file} after ${path}`);
    }
  });

  it('takes a damaged memory for none', () => {
    memory().remember();
    for (const text of ['', '{', 'null', '[]', '{"a.md":7}']) {
      write('node_modules/.cache/wombatkv/formatted.json', text);
      assert.deepEqual(memory().changed, all, text);
    }
  });
});
