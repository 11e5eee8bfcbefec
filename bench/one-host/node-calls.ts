import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { installCommandOf, tryInstall } from '../../tools/debian.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';

const packages = ['strace'];
const childMsMax = 120_000;
/** Those that move bytes, wait for some, open something or ask a device; with their kin, such as `pread64`. */
const counted =
  /^\d+ +((?:p?read|p?write)v?(?:64|2)?|send\w*|recv\w*|p?poll|epoll_p?wait2?|open\w*|mmap|ioctl)\(/;

/**
 * Calls to the system that lookups and loads in Node make, on all threads, between the two that mark something: none of
 * the rule's; V8 maps memory that is no file's. Undefined where strace is not there, and cannot be installed.
 */
export function countNodeCalls(
  socketPath: string,
  calls: number,
  directory: string,
): number | undefined {
  if (!hasStrace()) tryInstall(packages);
  if (!hasStrace()) return undefined;
  const child = fileURLToPath(new URL('../../test/store/silent-calls-child.js', import.meta.url));
  const log = join(directory, 'strace-node.txt');
  const words = ['-f', '-o', log, process.execPath, child];
  const { status } = spawnSync('strace', [...words, `shm:${socketPath}`, String(calls), 'mark'], {
    ...{ stdio: ['ignore', 'ignore', 'inherit'], timeout: childMsMax },
  });
  if (status !== 0) throw new Error(`the client in Node ended with ${status}`);
  return callsBetweenMarks(readFileSync(log, 'utf8'));
}

/** The row of it, or what to type to have one. */
export function nodeCallsRow(found: number | undefined, calls: number): readonly Row[] {
  if (found === undefined) {
    console.log(`   no strace: calls of Node are left out; ${installCommandOf(packages)}`);
    return [];
  }
  const shown = calls.toLocaleString('en-US');
  const what = `system calls of the rule in ${shown} lookups of 80 and as many loads`;
  return [rowOf({ what, unit: 'count', samples: [found], bar: atMost(0) })];
}

/** Of what strace wrote. */
export function callsBetweenMarks(log: string): number {
  const lines = log.split('\n');
  // `getppid( <unfinished ...>` when another thread was seen meanwhile.
  const marks = lines.flatMap((line, at) => (/ getppid\(/.test(line) ? [at] : []));
  if (marks.length !== 2) throw new Error(`strace shows ${marks.length} marks instead of 2`);
  return lines
    .slice(marks[0], marks[1])
    .filter((line) => counted.test(line) && !line.includes('MAP_ANONYMOUS')).length;
}

function hasStrace(): boolean {
  return spawnSync('strace', ['-V'], { stdio: 'ignore' }).status === 0;
}
