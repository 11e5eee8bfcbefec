import { resolve } from 'node:path';
import { messageOf, StoreError } from '../base/errors.ts';
import { findSetting } from '../config/settings.ts';
import type { Platform } from '../platform/platform.ts';

const fileBytesMax = 64 * 1024;

/**
 * Settings of a file: `NAME=value` a line, as systemd reads them; empty lines and those that begin
 * with `#` say nothing. Every name is one of the settings, and stands there once.
 *
 * @throws StoreError `INVALID` naming the file and the line that is wrong.
 */
export async function readSettingsFile(
  { files }: Platform,
  path: string,
): Promise<Readonly<Record<string, string>>> {
  const lines = (await readText(files, path)).split('\n').map((line) => line.trim());
  const entries: [string, string][] = [];
  for (const [at, line] of lines.entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name, value] = /^([A-Z][A-Z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      throw new StoreError('INVALID', `${path}, line ${at + 1}: accepted: NAME=value`);
    }
    const where = `${path}, line ${at + 1}`;
    if (findSetting(name) === undefined) {
      throw new StoreError('INVALID', `${where}: ${name.slice(0, 80)} is no setting`);
    }
    if (entries.some(([known]) => known === name)) {
      throw new StoreError('INVALID', `${where}: ${name} stands there a second time`);
    }
    entries.push([name, value.replace(/^"(.*)"$/, '$1')]);
  }
  return Object.fromEntries(entries);
}

async function readText(files: Platform['files'], path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(
      await files.readSmall(resolve(path), fileBytesMax),
    );
  } catch (cause) {
    const message = `--config ${path} cannot be read: ${messageOf(cause)}`;
    throw new StoreError('INVALID', message, { cause });
  }
}
