import type {
  AnonymousFile,
  DirectoryEntry,
  FileStatus,
  FileStep,
  Files,
  OpenFile,
  OpenMode,
  StepsOutcome,
} from '../../src/platform/files.ts';
import { stepByStep } from '../../src/platform/file-steps.ts';
import { systemError } from '../support/hooked-files.ts';
import { concatBytes } from '../../src/base/bytes.ts';
import { DirectoryNode, FileNode } from './disk-nodes.ts';
import type { DiskNode } from './disk-nodes.ts';
import type { Dice } from './dice.ts';
import type { SimDisk } from './sim-disk.ts';
import type { ProcessDoor } from './process-door.ts';
import { memoryDirectory } from './sim-machine.ts';
import type { SimMachine, SimWorldParts } from './sim-machine.ts';

type FaultyCall = 'read' | 'write' | 'sync' | 'open';

/** The files of a machine, as one of its processes reaches them. */
export class SimFiles implements Files {
  readonly #process: ProcessDoor;
  readonly #machine: SimMachine;
  readonly #parts: SimWorldParts;
  readonly #open = new Set<FileNode[]>();

  constructor(process: ProcessDoor, machine: SimMachine, parts: SimWorldParts) {
    this.#process = process;
    this.#machine = machine;
    this.#parts = parts;
  }

  /** Files that the process has open. */
  get openCount(): number {
    return this.#open.size;
  }

  /** The process is gone: the system closes its files. */
  releaseAll(): void {
    for (const [file] of this.#open) this.#disk.release(file);
    this.#open.clear();
  }

  open(path: string, mode: OpenMode): Promise<OpenFile> {
    return this.#call('open', `open ${mode} ${path}`, () => {
      const node = this.#disk.find(path);
      if (node === undefined && (mode === 'read' || mode === 'read-write')) {
        throw systemError('ENOENT');
      }
      if (node !== undefined && mode === 'create-new') throw systemError('EEXIST');
      const file = node === undefined ? this.#disk.create(path) : this.#disk.file(path);
      if (node !== undefined && mode === 'create-or-replace') {
        this.#disk.apply({ kind: 'truncate', serial: file.serial, byteLength: 0 });
      }
      return this.#handle(file, path);
    });
  }

  readSmall(path: string, byteLengthMax: number): Promise<Uint8Array> {
    return this.#call('read', `read ${path}`, () => {
      const { bytes } = this.#disk.file(path);
      if (bytes.length > byteLengthMax) throw systemError('EFBIG');
      return bytes.slice();
    });
  }

  status(path: string): Promise<FileStatus | undefined> {
    return this.#call(undefined, `status ${path}`, () => {
      const node = this.#disk.find(path);
      return node === undefined ? undefined : statusOf(node);
    });
  }

  realPath(path: string): Promise<string> {
    return this.#call(undefined, `realpath ${path}`, () => {
      if (this.#disk.find(path) === undefined) throw systemError('ENOENT');
      return path;
    });
  }

  list(path: string): Promise<readonly DirectoryEntry[]> {
    return this.#call(undefined, `list ${path}`, () => {
      const node = this.#disk.find(path);
      if (!(node instanceof DirectoryNode)) return [];
      return [...node.entries].map(([name, { kind }]) => ({ name, kind }));
    });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#call(undefined, `mkdir ${path}`, () => {
      let made = '';
      for (const name of path.split('/').filter((part) => part !== '')) {
        made += `/${name}`;
        if (this.#disk.find(made) === undefined) {
          this.#disk.apply({ kind: 'make-directory', path: made });
        } else this.#disk.directory(made);
      }
    });
  }

  link(existing: string, path: string): Promise<void> {
    return this.#change(`link ${existing} ${path}`, () =>
      this.#disk.apply({ kind: 'link', existing, path }),
    );
  }

  rename(from: string, to: string): Promise<void> {
    return this.#change(`rename ${from} ${to}`, () =>
      this.#disk.apply({ kind: 'rename', from, to }),
    );
  }

  remove(path: string): Promise<boolean> {
    return this.#change(`remove ${path}`, () => {
      if (this.#disk.find(path) === undefined) return false;
      this.#disk.apply({ kind: 'remove', path });
      return true;
    });
  }

  removeDirectory(path: string): Promise<boolean> {
    return this.#change(`rmdir ${path}`, () => {
      const node = this.#disk.find(path);
      if (node === undefined) return false;
      if (this.#disk.directory(path).entries.size > 0) return false;
      this.#disk.apply({ kind: 'remove-directory', path });
      return true;
    });
  }

  syncDirectory(path: string): Promise<void> {
    return this.#call('sync', `sync ${path}`, () =>
      this.#disk.apply({ kind: 'sync-directory', path }),
    );
  }

  /** Each step is a call of its own, which may fail, hang or be the last one of the process. */
  steps(steps: readonly FileStep[], signal?: AbortSignal): Promise<StepsOutcome> {
    return stepByStep(this, steps, signal);
  }

  freeBytes(path: string): Promise<number> {
    return this.#call(undefined, `free ${path}`, () => {
      // The file system in memory is another one; it has no room now and again (SimMachine.refusesMemory).
      if (path.startsWith(memoryDirectory)) return Number.MAX_SAFE_INTEGER;
      return Math.max(0, this.#disk.capacityBytes - this.#disk.usedBytes);
    });
  }

  /** The store makes none. */
  openAnonymous(): Promise<AnonymousFile> {
    return Promise.reject(systemError('ENOTSUP'));
  }

  isLocalFileSystem(): Promise<boolean> {
    return Promise.resolve(true);
  }

  get #disk(): SimDisk {
    return this.#machine.disk;
  }

  /** A call without effect until it is answered. */
  #call<Result>(
    call: FaultyCall | undefined,
    what: string,
    task: () => Result,
    cutOff?: (dice: Dice) => void,
  ): Promise<Result> {
    const run = (): Result => {
      this.#process.trace(what);
      if (call !== undefined) this.#meetFault(call);
      return task();
    };
    return this.#process.ask(this.#latencyMs(), run, cutOff);
  }

  /** A call that a kill may find done, though nobody hears of it. */
  #change<Result>(what: string, task: () => Result): Promise<Result> {
    return this.#call(undefined, what, task, (dice) => {
      if (!dice.chance(0.5)) return;
      this.#process.trace(`${what} as it was killed`);
      try {
        task();
      } catch {
        // It would have failed; nobody is left to hear that.
      }
    });
  }

  #handle(file: FileNode, path: string): OpenFile {
    const entry = [file];
    this.#open.add(entry);
    this.#disk.hold(file);
    const { serial } = file;
    const write = (bytes: Uint8Array, position: number): void =>
      this.#disk.apply({ kind: 'write', serial, write: { kind: 'write', position, bytes } });
    return {
      read: (into, position) =>
        this.#call('read', `read ${path} ${position}+${into.length}`, () => {
          const found = file.bytes.subarray(position, position + into.length);
          into.set(found);
          return found.length;
        }),
      write: (buffers, position) => {
        const bytes = concatBytes(buffers);
        return this.#call(
          undefined,
          `write ${path} ${position}+${bytes.length}`,
          () => this.#write(bytes, file, position, write),
          (dice) => this.#writePart(bytes, position, dice, write),
        );
      },
      sync: () =>
        this.#call('sync', `sync ${path}`, () => this.#disk.apply({ kind: 'sync', serial })),
      truncate: (byteLength) =>
        this.#call('write', `truncate ${path} ${byteLength}`, () =>
          this.#disk.apply({ kind: 'truncate', serial, byteLength }),
        ),
      byteLength: () => this.#call(undefined, `length ${path}`, () => file.byteLength),
      close: () =>
        this.#process.ask(0, () => {
          if (this.#open.delete(entry)) this.#disk.release(file);
        }),
    };
  }

  /** Writes what the disk takes; throws when that is not all, as the system may. */
  #write(
    bytes: Uint8Array,
    file: FileNode,
    position: number,
    write: (bytes: Uint8Array, position: number) => void,
  ): void {
    const { dice, counts } = this.#parts;
    const growth = Math.max(0, position + bytes.length - file.byteLength);
    const room = this.#disk.capacityBytes - this.#disk.usedBytes;
    const isFull = growth > room;
    const hasFailed = !isFull && dice.chance(this.#machine.diskFaults.write);
    if (!isFull && !hasFailed) return write(bytes, position);
    const most = isFull ? Math.max(0, bytes.length - (growth - Math.max(0, room))) : bytes.length;
    const taken = isFull ? most : dice.below(most + 1);
    if (taken > 0) write(bytes.subarray(0, taken), position);
    counts.add(isFull ? 'disk full' : 'write error');
    this.#process.trace(`${isFull ? 'ENOSPC' : 'EIO'} after ${taken} bytes`);
    throw systemError(isFull ? 'ENOSPC' : 'EIO');
  }

  /** What a kill leaves of a write: nothing, a part from its beginning, or all. */
  #writePart(
    bytes: Uint8Array,
    position: number,
    dice: Dice,
    write: (bytes: Uint8Array, position: number) => void,
  ): void {
    const room = this.#disk.capacityBytes - this.#disk.usedBytes;
    const taken = Math.min(dice.pick([0, dice.below(bytes.length + 1), bytes.length]), room);
    if (taken <= 0) return;
    if (taken < bytes.length) this.#parts.counts.add('torn write at a kill');
    this.#process.trace(`write ${taken} of ${bytes.length} bytes as it was killed`);
    write(bytes.subarray(0, taken), position);
  }

  #meetFault(call: FaultyCall): void {
    const { dice, counts } = this.#parts;
    if (!dice.chance(this.#machine.diskFaults[call])) return;
    const { kind, code } = faultOf[call];
    counts.add(kind);
    this.#process.trace(`${code} injected`);
    throw systemError(code);
  }

  #latencyMs(): number {
    const { dice, counts } = this.#parts;
    const usual = 0.02 + dice.fraction() * 0.5;
    if (!dice.chance(this.#machine.diskFaults.slow)) return usual;
    counts.add('slow disk');
    return 20 + dice.fraction() * 200;
  }
}

const faultOf = {
  read: { kind: 'read error', code: 'EIO' },
  write: { kind: 'write error', code: 'EIO' },
  sync: { kind: 'sync error', code: 'EIO' },
  open: { kind: 'out of descriptors', code: 'EMFILE' },
} as const;

function statusOf(node: DiskNode): FileStatus {
  const isFile = node instanceof FileNode;
  return {
    kind: node.kind,
    byteLength: isFile ? node.byteLength : 0,
    modifiedMs: isFile ? node.modifiedMs : 0,
    changedMs: isFile ? node.modifiedMs : 0,
    identity: isFile ? `1:${node.inode}` : '1:0',
    permissions: isFile ? 0o600 : 0o700,
    isOwn: true,
  };
}
