import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Accepted, Phase, ReportLine } from './accepted.ts';
import type { SaveJob } from './save-child.ts';

const script = fileURLToPath(new URL('./save-child.js', import.meta.url));

/** Longer than a child lives on a loaded machine before its instant comes. */
const lifeMsMax = 60_000;

/**
 * Lets a child do its job until its instant comes and it is killed, and gives what it was doing at
 * that moment. What it said was accepted, up to its last whole line, goes to `accepted`. Its report
 * is a file, which outlives it and makes nobody wait.
 */
export async function killAt(
  job: SaveJob,
  reportPath: string,
  accepted: Accepted,
): Promise<ReadonlySet<Phase>> {
  const report = openSync(reportPath, 'w');
  const child = spawn(process.execPath, [script, JSON.stringify(job)], {
    stdio: ['ignore', report, 'inherit'],
    timeout: lifeMsMax,
  });
  closeSync(report);
  const [, signal] = await once(child, 'exit');
  assert.equal(signal, 'SIGKILL', 'the child ended before it was killed');
  const phases = new Map<Phase, number>();
  for (const line of readFileSync(reportPath, 'utf8').split('\n').map(parseLine)) {
    if (line === undefined) continue;
    accepted.hear(line);
    if (line.kind === 'begin') phases.set(line.phase, (phases.get(line.phase) ?? 0) + 1);
    if (line.kind === 'end') phases.set(line.phase, (phases.get(line.phase) ?? 0) - 1);
  }
  return new Set([...phases].flatMap(([phase, count]) => (count > 0 ? [phase] : [])));
}

/** The line, or undefined when the kill cut it off. */
function parseLine(text: string): ReportLine | undefined {
  try {
    return JSON.parse(text) as ReportLine;
  } catch {
    return undefined;
  }
}
