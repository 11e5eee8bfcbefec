import type { Extent } from './extent.ts';

/**
 * Memory of the process for one payload that found no room in the memory tier. It is never resident
 * and ends with its last user, by garbage collection. Shared, so that worker threads can fill it.
 */
export class PrivateExtent implements Extent {
  readonly bytes: Uint8Array<SharedArrayBuffer>;

  constructor(bytes: Uint8Array<SharedArrayBuffer>) {
    this.bytes = bytes;
  }

  pin(): void {
    // Nothing is reused, so nothing is counted.
  }

  unpin(): void {
    // See pin().
  }
}
