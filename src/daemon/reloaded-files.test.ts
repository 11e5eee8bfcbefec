import assert from 'node:assert/strict';
import { renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { eventually } from '../../test/support/waiting.ts';
import type { LogFields } from '../base/logger.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { ReloadedFiles } from './reloaded-files.ts';

let directory: TemporaryDirectory;
let reloaded: ReloadedFiles;
const events: (readonly [string, LogFields | undefined])[] = [];
const loaded: string[] = [];
const { files, clock } = nodePlatform();

beforeEach(async () => {
  directory = await makeTemporaryDirectory('reloaded');
  events.length = 0;
  loaded.length = 0;
  const take = (event: string, fields?: LogFields): void => void events.push([event, fields]);
  const logger = { error: take, info: take, debug: () => undefined };
  reloaded = new ReloadedFiles({ files, clock }, logger);
});
afterEach(async () => {
  reloaded.stop();
  await directory.remove();
});

async function load(path: string): Promise<void> {
  const text = new TextDecoder().decode(await files.readSmall(path, 1000));
  if (text === 'wrong') throw new Error('it is wrong');
  loaded.push(text);
}

async function seen(text: string): Promise<void> {
  await eventually(text, () => Promise.resolve(loaded.at(-1) === text));
}

describe('files that are loaded again', () => {
  it('are when they are written, replaced, or a link to them is turned', async () => {
    const path = `${directory.path}/file`;
    writeFileSync(path, 'one');
    await reloaded.add('file', [path], () => load(path));
    assert.deepEqual(loaded, ['one']);
    writeFileSync(path, 'two');
    await seen('two');
    writeFileSync(`${path}.new`, 'thr');
    renameSync(`${path}.new`, path);
    await seen('thr');
    writeFileSync(`${path}.four`, 'fou');
    symlinkSync(`${path}.four`, `${path}.link`);
    renameSync(`${path}.link`, path);
    await seen('fou');
    assert.deepEqual(
      events.map(([event]) => event),
      ['reloaded', 'reloaded', 'reloaded'],
    );
  });

  it('are at once when somebody asks, changed or not', async () => {
    const path = `${directory.path}/file`;
    writeFileSync(path, 'same');
    await reloaded.add('file', [path], () => load(path));
    await reloaded.reload();
    assert.deepEqual(loaded, ['same', 'same']);
  });

  it('leave in effect what was, and say why, once, when they are wrong or gone', async () => {
    const path = `${directory.path}/file`;
    writeFileSync(path, 'good');
    await reloaded.add('file', [path], () => load(path));
    writeFileSync(path, 'wrong');
    await eventually('it is told', () => Promise.resolve(events.length === 1));
    unlinkSync(path);
    await eventually('it is told', () => Promise.resolve(events.length === 2));
    assert.deepEqual(events[0], ['not reloaded', { what: 'file', why: 'it is wrong' }]);
    assert.match(String(events[1][1]?.['why']), /ENOENT/);
    assert.deepEqual(loaded, ['good']);
    writeFileSync(path, 'again');
    await seen('again');
  });

  it('fail to be added when they cannot be loaded at first', async () => {
    const path = `${directory.path}/absent`;
    await assert.rejects(
      reloaded.add('file', [path], () => load(path)),
      { code: 'ENOENT' },
    );
  });
});
