import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * A heap of so many bytes is collected in some 20 ms, in which its thread does nothing else. Larger ones are left to
 * V8, which takes them in steps.
 */
const collectedBytesMax = 48 * 1024 * 1024;

/**
 * Collects the garbage of this thread. V8 does so when it needs the memory, so a thread that has come to rest
 * keeps what it made last, and the room for as much again; behind a collection it gives that room
 * back too, some seconds later.
 */
export function collectGarbage(): void {
  if (getHeapStatistics().used_heap_size > collectedBytesMax) return;
  // A program that was not started with the flag gets the function in a context of its own.
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof collect === 'function') collect();
}

/** Processor time that all threads of this process have used, in milliseconds. */
export function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
