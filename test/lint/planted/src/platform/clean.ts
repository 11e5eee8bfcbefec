import { readFile } from 'node:fs/promises';
import { one } from '../base/clean.ts';

/** The door to the machine: all that is forbidden elsewhere. */
export async function machine(): Promise<readonly unknown[]> {
  const timer = setTimeout(() => undefined, one);
  clearTimeout(timer);
  return [Date.now(), Math.random(), process.env['HOME'], await readFile('name')];
}
