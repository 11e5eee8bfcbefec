import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./run-end-child.js', import.meta.url));
const timeout = 60_000;

/** One that nobody has waited for is there for a signal. */
function isThere(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch {
    return false;
  }
}

for (const [signal, exitCode] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  test(
    `a run that gets ${signal} ends what it has started, and removes its files`,
    { timeout },
    async () => {
      const directory = mkdtempSync(join(tmpdir(), 'wombatkv-run-end-'));
      writeFileSync(join(directory, 'file'), '');
      const run = spawn(process.execPath, [program, directory], { timeout, killSignal: 'SIGKILL' });
      const processIds: number[] = [];
      let notes = '';
      run.stderr.setEncoding('utf8').on('data', (text: string) => {
        notes += text;
      });
      const ended = once(run, 'close');
      for await (const line of createInterface({ input: run.stdout })) {
        if (processIds.length === 0) run.kill(signal);
        processIds.push(...line.split(' ').map(Number));
      }
      assert.deepEqual([await ended, notes], [[exitCode, null], '']);
      assert.equal(processIds.length, 3, 'two at first, and one that was started meanwhile');
      assert.deepEqual(processIds.filter(isThere), []);
      assert.ok(!existsSync(directory));
    },
  );
}
