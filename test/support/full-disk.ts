import type { Files, OpenFile } from '../../src/platform/files.ts';
import { systemError } from './hooked-files.ts';

/**
 * Files of a disk that has room for `freeBytes` more. A write that does not fit writes what does, as
 * the system may, and fails. What is removed or cut gives no room back: the test says when there is.
 */
export class FullDisk {
  freeBytes = Number.POSITIVE_INFINITY;
  /** Whether cutting a file fails too. */
  isStuck = false;
  readonly files: Files;

  constructor(inner: Files) {
    this.files = { ...inner, open: async (path, mode) => this.#wrap(await inner.open(path, mode)) };
  }

  #wrap(file: OpenFile): OpenFile {
    return {
      read: (into, position) => file.read(into, position),
      write: (buffers, position) => this.#write(file, buffers, position),
      sync: () => file.sync(),
      truncate: async (byteLength) => {
        if (this.isStuck) throw systemError('EIO');
        await file.truncate(byteLength);
      },
      byteLength: () => file.byteLength(),
      close: () => file.close(),
    };
  }

  async #write(file: OpenFile, buffers: readonly Uint8Array[], position: number): Promise<void> {
    const bytes = Buffer.concat(buffers);
    const taken = Math.min(bytes.length, this.freeBytes);
    if (taken > 0) await file.write([bytes.subarray(0, taken)], position);
    this.freeBytes -= taken;
    if (taken < bytes.length) throw systemError('ENOSPC');
  }
}
