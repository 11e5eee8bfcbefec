/** What happened to the bytes of a file since they were synced. */
export type FileMutation =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly byteLength: number };

/** Changes of names that one call made: they become durable together. */
export interface EntryGroup {
  isDurable: boolean;
}

/** A name that came (with its node) or went. */
export interface EntryChange {
  readonly name: string;
  readonly node: DiskNode | undefined;
  readonly group: EntryGroup;
}

/** A file: its bytes as every process sees them, and what a loss of power would leave of them. */
export class FileNode {
  readonly kind = 'file';
  /** Unique in the life of the disk. */
  readonly serial: number;
  /** Free for another file when this one has no name and nobody has it open. */
  inode: number;
  modifiedMs: number;
  /** Names and open handles. */
  users = 0;
  #bytes: Uint8Array = new Uint8Array(256);
  #length = 0;
  #synced = new Uint8Array(0);
  #unsynced: FileMutation[] = [];
  #isInMemory = false;

  constructor(serial: number, inode: number, modifiedMs: number) {
    this.serial = serial;
    this.inode = inode;
    this.modifiedMs = modifiedMs;
  }

  get byteLength(): number {
    return this.#length;
  }

  /** True for a file of a file system in memory, which takes no room on the disk. */
  get isInMemory(): boolean {
    return this.#isInMemory;
  }

  /** Lets the file be that memory from now on: who writes there writes to the file. */
  mapOnto(memory: Uint8Array): void {
    this.#isInMemory = true;
    this.#bytes = memory;
    this.#length = memory.length;
  }

  /** The bytes now; a view that later changes may show in. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  get unsynced(): readonly FileMutation[] {
    return this.#unsynced;
  }

  mutate(mutation: FileMutation): void {
    this.#unsynced.push(mutation);
    this.#apply(mutation);
  }

  sync(): void {
    this.#synced = this.bytes.slice();
    this.#unsynced = [];
  }

  /** Goes back to what was synced and those of the mutations since, in order. */
  restore(kept: readonly FileMutation[], filler: (byteLength: number) => Uint8Array): void {
    this.#bytes = this.#synced.slice();
    this.#length = this.#synced.length;
    for (const mutation of kept) {
      const gap = mutation.kind === 'write' ? mutation.position - this.#length : 0;
      const before = this.#length;
      this.#apply(mutation);
      // Blocks that were never written hold whatever lay there.
      if (gap > 0) this.#bytes.set(filler(gap), before);
    }
    this.sync();
  }

  #apply(mutation: FileMutation): void {
    if (mutation.kind === 'truncate') {
      this.#grow(mutation.byteLength);
      this.#bytes.fill(0, mutation.byteLength, Math.max(this.#length, mutation.byteLength));
      this.#length = mutation.byteLength;
      return;
    }
    const { position, bytes } = mutation;
    const end = position + bytes.length;
    this.#grow(end);
    this.#bytes.set(bytes, position);
    this.#length = Math.max(this.#length, end);
  }

  #grow(byteLength: number): void {
    if (byteLength <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(byteLength, 2 * this.#bytes.length));
    larger.set(this.bytes);
    this.#bytes = larger;
  }
}

/** A directory: its names now, and those that a loss of power would leave. */
export class DirectoryNode {
  readonly kind = 'directory';
  readonly serial: number;
  readonly entries = new Map<string, DiskNode>();
  #durable = new Map<string, DiskNode>();
  #unsynced: EntryChange[] = [];

  constructor(serial: number) {
    this.serial = serial;
  }

  get unsynced(): readonly EntryChange[] {
    return this.#unsynced;
  }

  change(change: EntryChange): void {
    this.#unsynced.push(change);
    applyChange(this.entries, change);
  }

  sync(): void {
    for (const { group } of this.#unsynced) group.isDurable = true;
    this.#durable = new Map(this.entries);
    this.#unsynced = [];
  }

  /** Goes back to the synced names and those of the changes since, in order. */
  restore(isKept: (change: EntryChange) => boolean): void {
    const kept = this.#unsynced.filter(isKept);
    this.entries.clear();
    for (const [name, node] of this.#durable) this.entries.set(name, node);
    for (const change of kept) applyChange(this.entries, change);
    this.sync();
  }
}

/** A socket: a name that somebody may listen on. */
export class SocketNode {
  readonly kind = 'other';
}

export type DiskNode = FileNode | DirectoryNode | SocketNode;

function applyChange(entries: Map<string, DiskNode>, { name, node }: EntryChange): void {
  if (node === undefined) entries.delete(name);
  else entries.set(name, node);
}
