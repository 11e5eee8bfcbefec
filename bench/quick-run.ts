import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ResultFile } from './result-file.ts';

const program = fileURLToPath(new URL('./main.js', import.meta.url));
/** Several times what the longest scenario takes alone on two cores. */
const runMsMax = 300_000;
/** Of its output, what a failure shows. */
const shownCharacters = 4000;

/**
 * Runs one scenario in its shortest form by the command that people type. Fails when it does not end well, is void, or lacks
 * a table, or rows of one; what the figures are does not matter.
 */
export async function checkQuickRun(
  scenario: string,
  rowsMin: Readonly<Record<string, number>>,
  directory: string,
): Promise<void> {
  const json = join(directory, `${scenario}.json`);
  const args = [program, scenario, '--quick', '--rounds', '1', '--json', json];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  // It ends the processes that it has started.
  const timer = setTimeout(() => child.kill('SIGTERM'), runMsMax);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-shownCharacters);
    });
  }
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  assert.equal(status, 0, `${scenario} ended with ${status}:\n${output}`);
  const [{ tables, voidReasons }] = JSON.parse(readFileSync(json, 'utf8')) as readonly ResultFile[];
  assert.deepEqual(voidReasons, []);
  const found = new Map(tables.map(({ name, rows }) => [name, rows.length]));
  for (const [name, count] of Object.entries(rowsMin)) {
    const rows = found.get(name) ?? 0;
    assert.ok(rows >= count, `${name} has ${rows} rows instead of ${count}`);
  }
}
