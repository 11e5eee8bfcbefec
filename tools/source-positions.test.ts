import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { projectRoot } from './project.ts';
import { inSources } from './source-positions.ts';

const source = join(projectRoot(), 'tools', 'source-positions.test.ts');

describe('inSources()', () => {
  it('names the line of the source where an error was made', () => {
    const stack = new Error('planted here').stack ?? '';
    const lines = readFileSync(source, 'utf8').split('\n');
    const line = 1 + lines.findIndex((text) => text.includes("new Error('planted here')"));
    assert.match(stack, /source-positions\.test\.js:\d+/, 'it runs without source maps');
    assert.ok(inSources(stack).includes(`(${source}:${line}:`), inSources(stack));
  });

  it('leaves alone what has no source', () => {
    const text = 'at x (file:///nowhere/a%20b/c.js:1:2) at /nowhere/c.js:3:4 at node:fs:5:6';
    assert.equal(inSources(text), text);
  });
});
