import { constants as bufferConstants } from 'node:buffer';
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { systemErrorCode } from '../base/errors.ts';
import type { KnownFileCode } from './known-file.ts';
import type { SharedFile, SharedIndexCode, SharedMemory, SharedRingCode } from './shared-memory.ts';

/** What capi/node/shared.c, capi/node/reserve.c, capi/node/index.c, capi/node/ring.c and capi/node/known-file.c export. */
export interface SharedMemoryCode {
  copy(target: Uint8Array, source: Uint8Array): void;
  mapFile(descriptor: number, byteLength: number, isWritable: boolean): ArrayBuffer;
  mapOver(memory: Uint8Array, descriptor: number): void;
  unmap(memory: ArrayBuffer): void;
  /** Gives a token for {@link endLife}. */
  beginLife(descriptor: number): unknown;
  endLife(token: unknown): void;
  reserve(descriptor: number, start: number, byteLength: number): boolean;
  reserveLater(
    descriptor: number,
    start: number,
    byteLength: number,
    mapped?: Uint8Array,
  ): Promise<boolean>;
  giveBack(descriptor: number, start: number, byteLength: number): void;
  lockRange(descriptor: number, start: number, byteLength: number): boolean;
  isRangeLocked(descriptor: number, start: number, byteLength: number): boolean;
  unlockRange(descriptor: number, start: number, byteLength: number): void;
  readonly index: SharedIndexCode;
  readonly ring: SharedRingCode;
  readonly knownFile: KnownFileCode;
}

const wasmPageBytes = 64 * 1024;

/** What is used of it; the types of Node 20 leave it out. */
declare const WebAssembly: {
  readonly Memory: new (pages: { initial: number; maximum: number; shared: true }) => {
    readonly buffer: unknown;
  };
};

/** Shared files by native code. */
export function nodeSharedMemory(code: SharedMemoryCode): SharedMemory {
  return {
    create(path, byteLength) {
      const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL;
      const file = new NodeSharedFile(code, openSync(path, flags, 0o600), true, byteLength);
      try {
        file.setLength();
      } catch (error) {
        file.close();
        rmSync(path, { force: true });
        throw error;
      }
      return file;
    },
    open(path, access) {
      const isWritable = access === 'read-write';
      const descriptor = openSync(path, isWritable ? constants.O_RDWR : constants.O_RDONLY);
      return new NodeSharedFile(code, descriptor, isWritable, fstatSync(descriptor).size);
    },
    remove: (path) => rmSync(path, { force: true }),
    rename: (from, to) => renameSync(from, to),
    copy: (target, source) => code.copy(target, source),
    unmap: ({ buffer }) => code.unmap(buffer),
    index: code.index,
    ring: code.ring,
    knownFile: code.knownFile,
  };
}

class NodeSharedFile implements SharedFile {
  readonly byteLength: number;
  readonly #code: SharedMemoryCode;
  /** -1 once closed: the system may have given the number to another file. */
  #descriptor: number;
  readonly #isWritable: boolean;

  constructor(code: SharedMemoryCode, descriptor: number, isWritable: boolean, byteLength: number) {
    this.#code = code;
    this.#descriptor = descriptor;
    this.#isWritable = isWritable;
    this.byteLength = byteLength;
  }

  setLength(): void {
    ftruncateSync(this.#descriptor, this.byteLength);
  }

  map(): Uint8Array<ArrayBuffer> {
    if (this.byteLength > bufferConstants.MAX_LENGTH) {
      const message = `${this.byteLength} bytes are more than this Node maps at once`;
      throw Object.assign(new Error(message), { code: 'EFBIG' });
    }
    return new Uint8Array(this.#code.mapFile(this.#descriptor, this.byteLength, this.#isWritable));
  }

  /**
   * Memory from outside cannot be shared with threads, but the memory of WebAssembly can, and it is
   * whole pages that were mapped for it alone: the file takes their place (docs/decisions/0067).
   */
  mapForThreads(): Uint8Array<SharedArrayBuffer> {
    const pages = Math.ceil(this.byteLength / wasmPageBytes);
    const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError('shared memory is shared');
    const memory = new Uint8Array(buffer, 0, this.byteLength);
    this.#code.mapOver(memory, this.#descriptor);
    return memory;
  }

  showLife(): () => void {
    const token = this.#code.beginLife(this.#descriptor);
    let hasEnded = false;
    return () => {
      if (!hasEnded) this.#code.endLife(token);
      hasEnded = true;
    };
  }

  reserve(start: number, byteLength: number): boolean {
    return this.#code.reserve(this.#descriptor, start, byteLength);
  }

  reserveLater(start: number, byteLength: number, mapped?: Uint8Array): Promise<boolean> {
    try {
      return this.#code.reserveLater(this.#descriptor, start, byteLength, mapped);
    } catch (error) {
      // The thread needs a descriptor of its own, and a little memory, and the system has none.
      if (systemErrorCode(error) === undefined) throw error;
      return Promise.resolve(this.reserve(start, byteLength));
    }
  }

  giveBack(start: number, byteLength: number): void {
    this.#code.giveBack(this.#descriptor, start, byteLength);
  }

  lock(start: number, byteLength: number): boolean {
    return this.#code.lockRange(this.#descriptor, start, byteLength);
  }

  isLocked(start: number, byteLength: number): boolean {
    return this.#code.isRangeLocked(this.#descriptor, start, byteLength);
  }

  unlock(start: number, byteLength: number): void {
    this.#code.unlockRange(this.#descriptor, start, byteLength);
  }

  close(): void {
    if (this.#descriptor < 0) return;
    const descriptor = this.#descriptor;
    this.#descriptor = -1;
    closeSync(descriptor);
  }
}
