import assert from 'node:assert/strict';
import { readFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { editDistance, nearestName } from './nearest-name.ts';
import { parseSetting } from './parse.ts';
import { acceptedText } from './setting.ts';
import { effectiveSettings, findSetting, settings } from './settings.ts';
import { settingsPage } from './settings-page.ts';
import { fieldResolvers } from './store-fields.ts';

describe('the table of settings', () => {
  it('names every setting once and says what it is', () => {
    const names = settings.map((setting) => setting.name);
    assert.equal(new Set(names).size, names.length);
    for (const setting of settings) {
      assert.match(setting.name, /^[A-Z][A-Z0-9_]+$/);
      assert.match(setting.help, /\.$/, setting.name);
      assert(setting.readBy.length > 0 && acceptedText(setting) !== '');
    }
  });

  it('sets every field of the configuration by exactly one variable', () => {
    const fields = effectiveSettings.map((setting) => setting.field);
    assert.deepEqual([...fields].sort(), Object.keys(fieldResolvers).sort());
  });

  it('knows the keys as secrets', () => {
    for (const name of ['WMBT_KV_S3_ACCESS_KEY', 'WMBT_KV_S3_SECRET_KEY']) {
      assert.equal(findSetting(name)?.isSecret, true);
    }
  });

  it('has defaults that parse, where they have effect', () => {
    for (const setting of effectiveSettings) parseSetting(setting, setting.default);
  });
});

describe('docs/CONFIG.md', () => {
  it('is what the table makes; otherwise run npm run gen', () => {
    assert.equal(readFileSync(join(projectRoot(), 'docs/CONFIG.md'), 'utf8'), settingsPage());
  });

  it('has one title and names every setting', () => {
    const page = settingsPage();
    assert.equal(page.match(/^# /gm)?.length, 1);
    for (const setting of settings) assert(page.includes(`| \`${setting.name}\` `), setting.name);
  });
});

describe('nearestName()', () => {
  it('counts letters to insert, delete and replace', () => {
    assert.equal(editDistance('', ''), 0);
    assert.equal(editDistance('abc', ''), 3);
    assert.equal(editDistance('', 'abc'), 3);
    assert.equal(editDistance('kitten', 'sitting'), 3);
    assert.equal(editDistance('abc', 'abc'), 0);
  });

  it('picks the nearest, the first among equals, and none of none', () => {
    assert.equal(nearestName('cat', ['dog', 'cart', 'bat']), 'cart');
    assert.equal(nearestName('cat', []), undefined);
  });
});

function projectRoot(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) directory = dirname(directory);
  return directory;
}
