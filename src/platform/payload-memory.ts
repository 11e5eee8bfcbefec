import { StoreError } from '../base/errors.ts';

/**
 * Where a process gets memory for payloads, which the system may not have. Everything that is as long as
 * a payload is taken here; what is small and does not grow with one is not.
 */
export interface PayloadMemory {
  /**
   * So many zero bytes that worker threads can share; undefined when the system has none to give: then
   * nothing was taken. It goes back to the system by garbage collection.
   */
  take(byteLength: number): Uint8Array<SharedArrayBuffer> | undefined;
}

/** Ordinary memory of this process. */
export const processMemory: PayloadMemory = {
  take: (byteLength) => {
    try {
      return new Uint8Array(new SharedArrayBuffer(byteLength));
    } catch (error) {
      // V8 says so when the system gives no memory.
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  },
};

/**
 * Memory for a payload that nothing can be done without.
 *
 * @throws StoreError `BUSY` when the system has none: others must let go of theirs first.
 */
export function needMemory(
  memory: PayloadMemory,
  byteLength: number,
): Uint8Array<SharedArrayBuffer> {
  const bytes = memory.take(byteLength);
  if (bytes !== undefined) return bytes;
  throw new StoreError('BUSY', `the system has no memory for a payload of ${byteLength} bytes`);
}
