import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import {
  formatByteSize,
  parseBoolean,
  parseByteSize,
  parseChoice,
  parseSetting,
  parseWholeNumber,
} from './parse.ts';
import { findSetting } from './settings.ts';

describe('parseByteSize()', () => {
  const good: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['4096', 4096],
    [' 4096 ', 4096],
    ['1K', 1024],
    ['1KiB', 1024],
    ['3m', 3 * 1024 ** 2],
    ['3 MiB', 3 * 1024 ** 2],
    ['8G', 8 * 1024 ** 3],
    ['8gib', 8 * 1024 ** 3],
    ['2T', 2 * 1024 ** 4],
    ['2TiB', 2 * 1024 ** 4],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ];
  for (const [text, bytes] of good) {
    it(`reads ${JSON.stringify(text)}`, () => assert.equal(parseByteSize(text), bytes));
  }

  const bad = [
    '',
    ' ',
    '-1',
    '+1',
    '1.5G',
    '1e9',
    '0x10',
    '1KB',
    '1 B',
    '1PiB',
    'iB',
    'G',
    '1_000',
  ];
  for (const text of [...bad, '9007199254740992', '8192T', '99999999999999999', '1G\nG']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseByteSize(text), undefined));
  }

  it('reads back what formatByteSize() writes', () => {
    for (const bytes of [0, 1, 1000, 1024, 1536, 64 * 1024 ** 2, 1024 ** 3, 3 * 1024 ** 4 + 1]) {
      assert.equal(parseByteSize(formatByteSize(bytes)), bytes);
    }
    assert.equal(formatByteSize(20 * 1024 ** 3), '20 GiB');
    assert.equal(formatByteSize(1536), '1536');
  });
});

describe('the other kinds', () => {
  it('whole numbers have only digits', () => {
    assert.equal(parseWholeNumber('0'), 0);
    assert.equal(parseWholeNumber(' 250 '), 250);
    for (const text of ['', '-1', '1.0', '1e3', '250ms', '٣', '9007199254740992', '1'.repeat(40)]) {
      assert.equal(parseWholeNumber(text), undefined, text);
    }
  });

  it('booleans are the eight words in either case', () => {
    for (const text of ['1', 'true', 'YES', 'On', ' on ']) assert.equal(parseBoolean(text), true);
    for (const text of ['0', 'false', 'No', 'OFF']) assert.equal(parseBoolean(text), false);
    for (const text of ['', '2', 'y', 'enabled']) assert.equal(parseBoolean(text), undefined);
  });

  it('choices mean their value, and inherited names are no choices', () => {
    const choices = { zstd: 'zstd', none: 'off' };
    assert.equal(parseChoice('None', choices), 'off');
    assert.equal(parseChoice('constructor', choices), undefined);
    assert.equal(parseChoice('', choices), undefined);
  });
});

describe('parseSetting()', () => {
  it('names the variable, the value and what is accepted', () => {
    const setting = findSetting('WMBT_KV_PUFFER_RAM_BYTES');
    assert(setting !== undefined);
    assert.throws(
      () => parseSetting(setting, 'plenty'),
      (error) => {
        assert(isStoreError(error, 'INVALID'));
        assert.match(error.message, /^WMBT_KV_PUFFER_RAM_BYTES is "plenty"; accepted: .*GiB/);
        return true;
      },
    );
  });

  it('never shows the value of a secret', () => {
    const setting = {
      name: 'WMBT_KV_SECRET',
      kind: 'count',
      default: '',
      help: '',
      readBy: ['library'],
      effect: 'now',
      isSecret: true,
    } as const;
    assert.throws(
      () => parseSetting(setting, 'hunter2'),
      (error) => isStoreError(error, 'INVALID') && !error.message.includes('hunter2'),
    );
  });

  it('escapes and cuts a value before it stands in a message', () => {
    const setting = findSetting('WMBT_KV_LOAD_DEADLINE_MS');
    assert(setting !== undefined);
    assert.throws(
      () => parseSetting(setting, `\n\u001b[31m${'x'.repeat(5000)}`),
      (error) => {
        assert(isStoreError(error, 'INVALID'));
        assert(error.message.length < 300);
        assert.doesNotMatch(error.message, /\p{Cc}/u);
        return true;
      },
    );
  });
});
