import { systemError } from '../support/hooked-files.ts';
import type { Dice } from './dice.ts';
import { DirectoryNode, FileNode, SocketNode } from './disk-nodes.ts';
import type { DiskNode, EntryChange, EntryGroup, FileMutation } from './disk-nodes.ts';
import type { FaultCounts } from './fault-counts.ts';

/** One change of a disk, complete: a list of them makes the same disk again. */
export type DiskChange =
  | { readonly kind: 'create'; readonly path: string; readonly serial: number }
  | { readonly kind: 'make-directory' | 'make-socket'; readonly path: string }
  | { readonly kind: 'link'; readonly existing: string; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'remove' | 'remove-directory' | 'sync-directory'; readonly path: string }
  | { readonly kind: 'write'; readonly serial: number; readonly write: FileWrite }
  | { readonly kind: 'truncate'; readonly serial: number; readonly byteLength: number }
  | { readonly kind: 'sync'; readonly serial: number };

type FileWrite = Extract<FileMutation, { readonly kind: 'write' }>;

/** Unit in which disks write: a write that is torn ends at a multiple of it. */
const sectorBytes = 512;
/** The file system's clock ticks in steps of so many milliseconds. */
const tickMs = 4;

/**
 * A disk in memory, with what the system's page cache would hide: bytes that were not synced and
 * names whose directory was not synced are lost, in part or all, when the power goes.
 */
export class SimDisk {
  readonly root = new DirectoryNode(0);
  /** Hears every change after it was made. */
  onChange: ((change: DiskChange) => void) | undefined;
  /** Room for the bytes of all files. */
  capacityBytes = Number.POSITIVE_INFINITY;
  readonly #wallMs: () => number;
  /** Every file that has a name or is open, by serial number. */
  readonly #files = new Map<number, FileNode>();
  readonly #freeInodes: number[] = [];
  #serials = 0;
  #inodes = 0;

  constructor(wallMs: () => number) {
    this.#wallMs = wallMs;
  }

  /** Bytes of all files that have a name or are open. */
  get usedBytes(): number {
    let sum = 0;
    for (const file of this.#files.values()) if (!file.isInMemory) sum += file.byteLength;
    return sum;
  }

  /** The node at the path, or undefined. */
  find(path: string): DiskNode | undefined {
    let node: DiskNode | undefined = this.root;
    for (const name of path.split('/')) {
      if (name === '' || name === '.') continue;
      if (!(node instanceof DirectoryNode)) return undefined;
      node = node.entries.get(name);
    }
    return node;
  }

  file(path: string): FileNode {
    const node = this.find(path);
    if (node === undefined) throw systemError('ENOENT');
    if (!(node instanceof FileNode)) throw systemError('EISDIR');
    return node;
  }

  directory(path: string): DirectoryNode {
    const node = this.find(path);
    if (node === undefined) throw systemError('ENOENT');
    if (!(node instanceof DirectoryNode)) throw systemError('ENOTDIR');
    return node;
  }

  /** Makes an empty file, which must not exist. */
  create(path: string): FileNode {
    this.#serials += 1;
    this.apply({ kind: 'create', path, serial: this.#serials });
    return this.file(path);
  }

  /** The file is in use without its name. */
  hold(file: FileNode): void {
    file.users += 1;
  }

  release(file: FileNode): void {
    file.users -= 1;
    if (file.users > 0) return;
    this.#files.delete(file.serial);
    this.#freeInodes.push(file.inode);
  }

  /** Makes the change; throws the system's error, and changes nothing, when it cannot be made. */
  apply(change: DiskChange): void {
    this.#make(change);
    this.onChange?.(change);
  }

  /** Removes whatever is at the path, for good. */
  removeTree(path: string): void {
    const node = this.find(path);
    if (node instanceof DirectoryNode) {
      for (const name of [...node.entries.keys()]) this.removeTree(`${path}/${name}`);
      node.sync();
      this.apply({ kind: 'remove-directory', path });
    } else if (node !== undefined) this.apply({ kind: 'remove', path });
  }

  /** The disk after the power failed: what was synced, and a part of the rest. */
  losePower(dice: Dice, counts: FaultCounts): void {
    const groups = new Map<EntryGroup, boolean>();
    const share = dice.pick([0, 0.5, 0.9, 1]);
    const isKept = ({ group }: EntryChange): boolean => {
      const known = groups.get(group);
      if (known !== undefined) return known;
      const kept = group.isDurable || dice.chance(share);
      if (!kept) counts.add('directory entry lost');
      groups.set(group, kept);
      return kept;
    };
    this.#restoreDirectory(this.root, isKept);
    this.#recount();
    const files = [...this.#files.values()];
    for (const file of files) this.#restoreFile(file, files, dice, counts);
  }

  #restoreDirectory(directory: DirectoryNode, isKept: (change: EntryChange) => boolean): void {
    directory.restore(isKept);
    for (const node of directory.entries.values()) {
      if (node instanceof DirectoryNode) this.#restoreDirectory(node, isKept);
    }
  }

  #restoreFile(file: FileNode, others: readonly FileNode[], dice: Dice, counts: FaultCounts): void {
    const share = dice.pick([0, 0.5, 0.9, 1]);
    const kept: FileMutation[] = [];
    for (const mutation of file.unsynced) {
      if (dice.chance(share)) kept.push(mutation);
      else if (
        mutation.kind === 'write' &&
        mutation.bytes.length > sectorBytes &&
        dice.chance(0.5)
      ) {
        const sectors = dice.below(Math.floor(mutation.bytes.length / sectorBytes));
        kept.push({ ...mutation, bytes: mutation.bytes.subarray(0, sectors * sectorBytes) });
        counts.add('unsynced write torn');
      } else counts.add('unsynced write lost');
    }
    const old = dice.chance(0.3) ? dice.pick(others).bytes.slice() : new Uint8Array(0);
    file.restore(kept, (byteLength) => {
      const filler = new Uint8Array(byteLength);
      filler.set(old.subarray(0, byteLength));
      return filler;
    });
  }

  /** Nothing is open any more, and only what has a name is there. */
  #recount(): void {
    this.#files.clear();
    this.#freeInodes.length = 0;
    const inodes = new Set<number>();
    const visit = (directory: DirectoryNode): void => {
      for (const node of directory.entries.values()) {
        if (node instanceof DirectoryNode) visit(node);
        if (!(node instanceof FileNode)) continue;
        const isKnown = this.#files.has(node.serial);
        node.users = isKnown ? node.users + 1 : 1;
        this.#files.set(node.serial, node);
        // A name that came back: its number may be another file's by now.
        if (!isKnown && inodes.has(node.inode)) node.inode = this.#inodes += 1;
        inodes.add(node.inode);
      }
    };
    visit(this.root);
  }

  #make(change: DiskChange): void {
    switch (change.kind) {
      case 'create':
        return this.#create(change.path, change.serial);
      case 'make-directory':
        return this.#name(change.path, new DirectoryNode(0), newGroup());
      case 'make-socket':
        return this.#name(change.path, new SocketNode(), newGroup());
      case 'link': {
        const file = this.file(change.existing);
        this.#name(change.path, file, newGroup());
        return this.hold(file);
      }
      case 'rename':
        return this.#rename(change.from, change.to);
      case 'remove':
        return this.#removeName(change.path, newGroup());
      case 'remove-directory': {
        if (this.directory(change.path).entries.size > 0) throw systemError('ENOTEMPTY');
        return this.#unname(change.path, newGroup());
      }
      case 'sync-directory':
        return this.directory(change.path).sync();
      default:
        return this.#changeFile(change);
    }
  }

  #changeFile(change: Extract<DiskChange, { readonly kind: 'write' | 'truncate' | 'sync' }>): void {
    const file = this.#files.get(change.serial);
    if (file === undefined) return;
    if (change.kind === 'sync') return file.sync();
    file.modifiedMs = this.#tick();
    file.mutate(change.kind === 'write' ? change.write : change);
  }

  #create(path: string, serial: number): void {
    const inode = this.#freeInodes.pop() ?? (this.#inodes += 1);
    const file = new FileNode(serial, inode, this.#tick());
    this.#name(path, file, newGroup());
    this.#serials = Math.max(this.#serials, serial);
    this.#files.set(serial, file);
    file.users = 1;
  }

  #rename(from: string, to: string): void {
    const file = this.file(from);
    const group = newGroup();
    this.hold(file);
    if (this.find(to) !== undefined) this.#removeName(to, group);
    this.#name(to, file, group);
    this.#removeName(from, group);
  }

  #name(path: string, node: DiskNode, group: EntryGroup): void {
    const { parent, name } = split(path);
    const directory = this.directory(parent);
    if (directory.entries.has(name)) throw systemError('EEXIST');
    directory.change({ name, node, group });
  }

  #removeName(path: string, group: EntryGroup): void {
    const node = this.find(path);
    if (node instanceof DirectoryNode) throw systemError('EISDIR');
    this.#unname(path, group);
    if (node instanceof FileNode) this.release(node);
  }

  #unname(path: string, group: EntryGroup): void {
    const { parent, name } = split(path);
    const directory = this.directory(parent);
    if (!directory.entries.has(name)) throw systemError('ENOENT');
    directory.change({ name, node: undefined, group });
  }

  #tick(): number {
    return Math.floor(this.#wallMs() / tickMs) * tickMs;
  }
}

function newGroup(): EntryGroup {
  return { isDurable: false };
}

function split(path: string): { readonly parent: string; readonly name: string } {
  const end = path.lastIndexOf('/');
  return { parent: path.slice(0, end), name: path.slice(end + 1) };
}
