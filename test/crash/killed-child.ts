import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Accepted, Phase, ReportLine } from './accepted.ts';
import type { SaveJob } from './save-child.ts';

const script = fileURLToPath(new URL('./save-child.js', import.meta.url));

/** When a child is killed: so long after it began the phase for the so-many-eth time. */
export interface Instant {
  readonly phases: number;
  readonly ms: number;
}

/**
 * Lets a child do its job, kills it, and gives what it was doing at that moment. What it said was
 * accepted, up to its last whole line, goes to `accepted`.
 */
export async function killAt(
  job: SaveJob,
  instant: Instant,
  accepted: Accepted,
): Promise<Phase | 'none'> {
  const child = spawn(process.execPath, [script, JSON.stringify(job)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const ended = once(lines, 'close');
  let phases = 0;
  lines.on('line', (text) => {
    const line = parseLine(text);
    if (line === undefined) return;
    accepted.hear(line);
    if (line.kind === 'phase' && line.phase === job.phase) phases += 1;
  });
  while (phases < instant.phases) {
    assert.equal(child.exitCode, null, 'the child ended by itself');
    await Promise.race([once(lines, 'line'), exited]);
  }
  await sleep(instant.ms);
  child.kill('SIGKILL');
  const [, signal] = await exited;
  assert.equal(signal, 'SIGKILL', 'the child ended before it was killed');
  await ended;
  return accepted.phase;
}

/** The line, or undefined when the kill cut it off. */
function parseLine(text: string): ReportLine | undefined {
  try {
    return JSON.parse(text) as ReportLine;
  } catch {
    return undefined;
  }
}
