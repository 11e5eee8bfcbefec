import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { readProject } from './tidy-project.ts';
import { formatFinding, tidy } from './tidy.ts';

/** A small project with nothing to find. */
const tidyProject: Readonly<Record<string, string>> = {
  'package.json': '{ "bin": "dist/src/cli/main.js" }',
  'README.md': '# Title\n\n[page](docs/ERRORS.md#busy) [site](https://example.org/docs/x)\n',
  'docs/ERRORS.md': '# Errors\n\n`BUSY`, and `src/base/errors.ts` has them all.\n',
  'docs/CONFIG.md': '# Settings\n\n- WMBT_KV_ONE\n',
  'docs/decisions/0001-first.md': '# First\n\n```sh\n# not a title\n```\n',
  'src/index.ts': "export { one } from './base/errors.ts';\n",
  'src/cli/main.ts':
    "import { settings } from '../config/settings.ts';\nvoid settings;\n" +
    "void new URL('child.js', import.meta.url);\n",
  'src/cli/child.ts': 'export {};\n',
  'src/base/errors.ts':
    "/** See docs/ERRORS.md and decisions/0001. */\nexport const codes = [\n  'BUSY',\n];\n" +
    "export const one = new URL('./worker.js', import.meta.url);\n",
  'src/base/worker.ts': 'export {};\n',
  'src/base/errors.test.ts': "import { it } from 'node:test';\nit('one', () => {});\n",
  'src/config/settings.ts': "export const settings = ['WMBT_KV_ONE'];\n",
};

const marker = ['FIX', 'ME'].join('');
const machinePath = ['', 'root', 'wombatkv'].join('/');

/** For each fault the files that plant it in the tidy project, and what is found. */
const faults: readonly (readonly [string, Readonly<Record<string, string>>, RegExp])[] = [
  ['a source nobody imports', { 'src/base/lost.ts': 'export {};\n' }, /lost\.ts:1: nobody imports/],
  [
    'a source that only tests import',
    {
      'src/base/lost.ts': 'export {};\n',
      'src/base/lost.test.ts': "import './lost.ts';\n",
    },
    /src\/base\/lost\.ts:1: only tests import/,
  ],
  ['a test outside the compiled folders', { 'docs/a.test.ts': '' }, /docs\/a\.test\.ts:1: nobody/],
  ['a test with another ending', { 'test/a.spec.mjs': '' }, /test\/a\.spec\.mjs:1: nobody runs/],
  [
    'a barrel',
    { 'src/base/worker.ts': "export { codes } from './errors.ts';\n" },
    /worker\.ts:1: exports what another/,
  ],
  ['a date', { 'src/base/worker.ts': '\n// Since 2024-05-06 so.\n' }, /worker\.ts:2: a date/],
  ['a commit', { 'src/base/worker.ts': '/* From commit 1a2b3c4. */\n' }, /a commit/],
  ['a former name', { 'src/base/worker.ts': '// Formerly Helper.\n' }, /a former name/],
  ['a version', { 'src/base/worker.ts': '/** Since v1.2 so. */\n' }, /a version/],
  ['a long line of C', { 'capi/src/a.c': `/* ${'x'.repeat(115)} */\n` }, /a\.c:1: has 121 columns/],
  [
    'a long line of C++',
    { 'examples/a.cpp': `\n// ${'x'.repeat(120)}\n` },
    /a\.cpp:2: has 123 columns/,
  ],
  ['a leftover mark', { 'src/base/worker.ts': `// ${marker}: later\n` }, /leftover FIX/],
  [
    'a test that switches the others off',
    { 'src/base/errors.test.ts': "import { it } from 'node:test';\nit.only('x', () => {});\n" },
    /errors\.test\.ts:2: leftover it\.only/,
  ],
  [
    'a test that is switched off',
    { 'src/base/errors.test.ts': "describe.skip('x', () => {});\n" },
    /leftover describe\.skip/,
  ],
  ['a link to nothing', { 'README.md': '# T\n\n[a](docs/GONE.md)\n' }, /README\.md:3: link to/],
  ['a page named in Markdown', { 'README.md': '# T\nSee docs/GONE.md.\n' }, /names docs\/GONE\.md/],
  [
    'a page named in a comment',
    { 'src/base/worker.ts': '// See docs/GONE.md.\n' },
    /worker\.ts:1: names docs\/GONE\.md/,
  ],
  [
    'a decision that is not there',
    { 'src/base/worker.ts': '// By decisions/0002.\n' },
    /names decisions\/0002/,
  ],
  [
    'a source named in a comment',
    { 'src/base/worker.ts': '// As src/base/gone.ts does.\n' },
    /names src\/base\/gone\.ts/,
  ],
  ['a page without title', { 'docs/A.md': 'text\n' }, /A\.md:1: has 0 titles/],
  ['a page with two titles', { 'docs/A.md': '# A\n\n# B\n' }, /A\.md:1: has 2 titles/],
  [
    'a path of one machine',
    { 'docs/A.md': `# A\n\ncd ${machinePath}\n` },
    /A\.md:3: a path of one/,
  ],
  [
    'a setting that is not documented',
    { 'src/config/settings.ts': "export const settings = ['WMBT_KV_TWO'];\n" },
    /WMBT_KV_TWO is missing from docs\/CONFIG\.md/,
  ],
  [
    'an error code that is not documented',
    { 'docs/ERRORS.md': '# Errors\n\nBUSYBODY\n' },
    /BUSY is missing from docs\/ERRORS\.md/,
  ],
  [
    'error codes written so that none is found',
    { 'src/base/errors.ts': "export const one = new URL('./worker.js', import.meta.url);\n" },
    /errors\.ts:1: names nothing of docs\/ERRORS\.md/,
  ],
];

describe('tidy()', () => {
  let root = '';
  const find = (changes: Readonly<Record<string, string>>): readonly string[] => {
    for (const [path, text] of Object.entries({ ...tidyProject, ...changes })) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    return tidy(readProject(root)).map(formatFinding);
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'wombatkv tidy '));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  it('finds nothing in a tidy project', () => {
    assert.deepEqual(find({}), []);
  });

  for (const [name, changes, expected] of faults) {
    it(`finds ${name}, and nothing else`, () => {
      const findings = find(changes);
      assert.equal(findings.length, 1, findings.join('\n'));
      assert.match(findings[0], expected);
    });
  }

  it('looks for marks only where they are meant', () => {
    const strings = `export const text = ['${marker}', "2024-05-06", \`docs/GONE.md\`, /it.only/];\n`;
    assert.deepEqual(find({ 'src/base/worker.ts': strings }), []);
  });

  it('passes over what tools made, what was planted, and data', () => {
    const untidy = `// ${marker}\n`;
    const changes = {
      'node_modules/a.ts': untidy,
      'dist/a.ts': untidy,
      'test/lint/planted/a.ts': untidy,
      'package-lock.json': machinePath,
      'data.bin': `\0${machinePath}`,
    };
    assert.deepEqual(find(changes), []);
  });

  it('asks git which files belong to the project', () => {
    execFileSync('git', ['init', '--quiet'], { cwd: root });
    const changes = { '.gitignore': 'private/\n', 'private/a.ts': '', 'src/base/lost.ts': '' };
    assert.deepEqual(find(changes), ['src/base/lost.ts:1: nobody imports this file']);
  });
});
