/** A run for bench/run-end.test.ts: starts processes of each kind, names them, and waits to be told to end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { RunEnd } from './run-end.ts';

const [directory = ''] = process.argv.slice(2);
const end = new RunEnd(() => rmSync(directory, { recursive: true }), 1000);
/** One that ends when it is told, and one that does not. */
const programs = [
  `console.log('runs'); setInterval(() => {}, 1000)`,
  `process.on('SIGTERM', () => {}); console.log('runs'); setInterval(() => {}, 1000)`,
];

await end.during(async () => {
  const children = programs.map((program) => spawn(process.execPath, ['-e', program]));
  for (const { stdout } of children) await once(stdout, 'data');
  console.log(children.map(({ pid }) => pid).join(' '));
  // As a scenario does that misses what it has started.
  await Promise.race(children.map((child) => once(child, 'exit')));
  const late = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  console.log(late.pid);
  throw new Error('a process of the scenario has ended');
});
