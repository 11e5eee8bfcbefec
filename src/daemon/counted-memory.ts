import type { PayloadMemory } from '../platform/payload-memory.ts';
import type { DaemonCounters } from './daemon-counters.ts';

/**
 * The memory of the process as the doors of a daemon see it: stands below their pools, and counts how often the system
 * had none. What the store takes for itself goes by another way and is not counted here.
 */
export function countedMemory(
  memory: PayloadMemory,
  counters: Pick<DaemonCounters, 'memoryRefused'>,
): PayloadMemory {
  return {
    take(byteLength) {
      const bytes = memory.take(byteLength);
      if (bytes === undefined) counters.memoryRefused += 1;
      return bytes;
    },
  };
}
