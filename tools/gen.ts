/**
 * Writes the files that are made from source: docs/CONFIG.md, and what the C library knows of names, from the table of
 * settings. With `--check` nothing is written, and the exit code is 1 when a file is not what it would be.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { settingsPage } from '../src/config/settings-page.ts';
import { settingsInC } from './settings-in-c.ts';

interface GeneratedFile {
  /** Relative to the root of the project. */
  readonly path: string;
  readonly text: string;
}

process.exitCode = generate(process.argv.slice(2));

function generate(options: readonly string[]): number {
  const unknown = options.find((option) => option !== '--check');
  if (unknown !== undefined) {
    process.stderr.write(`gen: unknown option ${unknown}; accepted: --check\n`);
    return 2;
  }
  const root = projectRoot();
  const files: readonly GeneratedFile[] = [
    { path: 'docs/CONFIG.md', text: settingsPage() },
    { path: 'capi/src/library/known-settings.c', text: settingsInC() },
  ];
  const changed = files.filter((file) => readText(join(root, file.path)) !== file.text);
  if (options.includes('--check')) {
    for (const file of changed) {
      process.stderr.write(`gen: ${file.path} is out of date; run npm run gen\n`);
    }
    return changed.length === 0 ? 0 : 1;
  }
  for (const file of changed) {
    writeFileSync(join(root, file.path), file.text);
    process.stdout.write(`gen: wrote ${file.path}\n`);
  }
  return 0;
}

function readText(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/** The nearest directory above this file that holds package.json, whatever the build folder is. */
function projectRoot(): string {
  let directory = import.meta.dirname;
  while (!existsSync(join(directory, 'package.json'))) {
    const parent = dirname(directory);
    if (parent === directory) throw new Error(`no package.json above ${import.meta.dirname}`);
    directory = parent;
  }
  return directory;
}
