import { nameBytes, namesMax, namesStart, headerWords } from '../platform/shared-memory.ts';

/** What a name in the file of an index is. */
export type NameKind = 'namespace' | 'fingerprint';

const kindBytes: Readonly<Record<NameKind, number>> = { namespace: 1, fingerprint: 2 };
const textBytesMax = nameBytes - 2;
const encoder = new TextEncoder();

/**
 * The names in the file of an index: what entries write as a number stands here in full. A name keeps
 * its number for the life of the file. Each takes {@link nameBytes}: its kind, its length, its text.
 * The count in the header grows when a name is whole, so that readers see none that is not.
 */
export class SharedNames {
  readonly #memory: Uint8Array;
  readonly #count: Int32Array;
  readonly #numbers: Readonly<Record<NameKind, Map<string, number>>> = {
    namespace: new Map(),
    fingerprint: new Map(),
  };
  #known = 0;

  /** `memory` is the file of the index. */
  constructor(memory: Uint8Array) {
    this.#memory = memory;
    this.#count = new Int32Array(memory.buffer, memory.byteOffset, 8);
  }

  /** The number of a name, from 1; 0 when it is not there. */
  find(kind: NameKind, text: string): number {
    const known = this.#numbers[kind].get(text);
    if (known !== undefined) return known;
    this.#readNew();
    return this.#numbers[kind].get(text) ?? 0;
  }

  /** The number of a name, which is added when it is not there; 0 when there is no room. Of the writer. */
  add(kind: NameKind, text: string): number {
    const known = this.find(kind, text);
    const bytes = encoder.encode(text);
    if (known !== 0 || this.#known >= namesMax || bytes.length > textBytesMax) return known;
    const at = namesStart + this.#known * nameBytes;
    this.#memory[at] = kindBytes[kind];
    this.#memory[at + 1] = bytes.length;
    this.#memory.set(bytes, at + 2);
    Atomics.store(this.#count, headerWords.names, this.#known + 1);
    return this.find(kind, text);
  }

  #readNew(): void {
    const count = Math.min(Atomics.load(this.#count, headerWords.names), namesMax);
    for (; this.#known < count; this.#known += 1) {
      const at = namesStart + this.#known * nameBytes;
      const kind = this.#memory[at] === kindBytes.namespace ? 'namespace' : 'fingerprint';
      const length = Math.min(this.#memory[at + 1], textBytesMax);
      const text = new TextDecoder().decode(
        Uint8Array.from(this.#memory.subarray(at + 2, at + 2 + length)),
      );
      this.#numbers[kind].set(text, this.#known + 1);
    }
  }
}
