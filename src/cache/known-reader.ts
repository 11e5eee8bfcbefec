import { systemErrorCode } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { knownFile } from '../platform/known-file.ts';
import type { KnownFileCode } from '../platform/known-file.ts';
import { pinKeysMax } from '../platform/shared-memory.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import { sharedPaths } from './shared-layout.ts';

const { nameOffsets, nameTextMax, namesMax, namesStart, namesWord, nameBytes } = knownFile;

/** The file of the keys that a store on this host knows in the bucket, as a client reads it. */
export class KnownReader {
  readonly #code: KnownFileCode;
  readonly #memory: Uint8Array;
  readonly #words: Int32Array;
  /** Where the number of each namespace stands, which may change: a word of the file. */
  readonly #places = new Map<string, number>();
  #namesRead = 0;

  private constructor(code: KnownFileCode, memory: Uint8Array) {
    this.#code = code;
    this.#memory = memory;
    this.#words = new Int32Array(memory.buffer, memory.byteOffset, memory.byteLength / 4);
  }

  /** Undefined when the store has none, or one of another version. */
  static open(files: SharedMemory, directory: string): KnownReader | undefined {
    const code = files.knownFile;
    if (code === undefined) return undefined;
    try {
      const file = files.open(sharedPaths.known(directory), 'read');
      try {
        const memory = file.map();
        return code.isValid(memory) ? new KnownReader(code, memory) : undefined;
      } finally {
        file.close();
      }
    } catch (error) {
      // There is none, or no descriptor or memory to map it: the store is asked.
      if (systemErrorCode(error) === undefined) throw error;
      return undefined;
    }
  }

  /**
   * Whether the store would say by what it knows that all keys are stored, given its index and the number that the namespace
   * has there. Of many the last one of each group has to be certain.
   */
  areStored(
    there: { readonly index: Uint8Array; readonly owner: number },
    namespace: Namespace,
    keys: readonly BlockKey[],
  ): boolean {
    const owner = this.#ownerOf(namespace);
    for (let at = 0; at < keys.length; at += pinKeysMax) {
      const some = keys.length <= pinKeysMax ? keys : keys.slice(at, at + pinKeysMax);
      const text = some.join('');
      if (!this.#code.areStored(there.index, there.owner, this.#memory, owner, text)) return false;
    }
    return keys.length > 0;
  }

  /** The number by which the blocks of the namespace are known; 0 when the file does not tell. */
  #ownerOf(namespace: Namespace): number {
    let place = this.#places.get(namespace);
    if (place === undefined) {
      this.#readNew();
      place = this.#places.get(namespace);
    }
    return place === undefined ? 0 : Atomics.load(this.#words, place);
  }

  #readNew(): void {
    const count = Math.min(Atomics.load(this.#words, namesWord), namesMax);
    for (; this.#namesRead < count; this.#namesRead += 1) {
      const start = namesStart + this.#namesRead * nameBytes;
      const length = Math.min(this.#words[(start + nameOffsets.length) / 4] >>> 0, nameTextMax);
      const from = start + nameOffsets.text;
      const text = new TextDecoder().decode(this.#memory.subarray(from, from + length));
      this.#places.set(text, (start + nameOffsets.owner) / 4);
    }
  }
}
