import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { projectRoot } from '../../tools/project.ts';

/**
 * Goal: the header is the manual of the library: it says of every function what each argument is, what comes back, and
 * which threads may call it.
 * Method: the comment above each function is held against its declaration. What holds for many functions stands in two
 * places, where it is looked for too: the rules at the top, and what the calls of ABI 1.1 have in common.
 */
const header = readFileSync(join(projectRoot(), 'capi/include/wombatkv.h'), 'utf8');

interface Documented {
  readonly name: string;
  readonly result: string;
  readonly parameters: readonly string[];
  readonly comment: string;
}

const functions: readonly Documented[] = Array.from(
  header.matchAll(/\/\*((?:(?!\*\/)[\s\S])*)\*\/\nWMBT_KV_API ([^(;]*?)(\w+)\(([^;]*)\);/g),
  ([, comment, result, name, list]) => ({
    ...{ name, result: result.trim(), comment: comment.replaceAll(/\n \*/g, '\n') },
    parameters: list === 'void' ? [] : list.split(',').map((one) => /(\w+)$/.exec(one)?.[1] ?? one),
  }),
);

/** The comment in which that text stands. */
function commentWith(text: string): string {
  const comments = Array.from(header.matchAll(/\/\*[\s\S]*?\*\//g), ([comment]) => comment);
  const found = comments.filter((comment) => comment.includes(text));
  assert.equal(found.length, 1, `${found.length} comments with ${text}`);
  return found[0];
}

const rules = commentWith('Rules that hold for every function');
const commonOfNewer = commentWith('Common to all functions below');

function says(text: string, word: string): boolean {
  return new RegExp(`\\b${word}\\b`).test(text);
}

/** Whether it stands in a list of arguments, or between the signs that stand around them. */
function explains(text: string, argument: string): boolean {
  const listed = new RegExp(`^ \\* {3}(?:\\w+, )*${argument}\\b`, 'm');
  return text.includes(`\`${argument}\``) || listed.test(text);
}

describe('wombatkv.h as a manual', () => {
  it('has a comment above every function', () => {
    const declared = Array.from(
      header.matchAll(/^WMBT_KV_API [^(]*?(\w+)\(/gm),
      ([, name]) => name,
    );
    assert.deepEqual(
      functions.map(({ name }) => name),
      declared,
    );
  });

  it('says what every argument of every function is', () => {
    for (const { name, parameters, comment } of functions) {
      const isNewer = parameters.includes('call');
      const common = isNewer ? `${rules}${commonOfNewer}` : rules;
      const silent = parameters.filter((one) => !says(comment, one) && !explains(common, one));
      assert.deepEqual(silent, [], name);
    }
  });

  it('says what every function returns', () => {
    for (const { name, result, comment } of functions) {
      assert.equal(/\bReturns\b/.test(comment), result !== 'void', name);
      // Those with a code say each of its values.
      if (!result.startsWith('int') || /last_/.test(name)) continue;
      assert.match(comment, /Returns[\s\S]*-1\b/, name);
    }
  });

  it('says which threads may call every function, and who owns what it returns', () => {
    for (const { name, result, comment, parameters } of functions) {
      assert.match(comment, /^ Threads: \w.*\.$/m, name);
      if (result.endsWith('*')) assert.match(comment, /to be given to|belongs\s+to/, name);
      const hasBorrow = parameters.includes('out') && !/save/.test(name);
      if (hasBorrow) assert.match(comment, /borrow/, name);
    }
  });

  it('is no wider than a screen', () => {
    const wide = header.split('\n').filter((line) => line.length > 120);
    assert.deepEqual(wide, []);
  });
});
