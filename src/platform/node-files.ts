import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  link,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rmdir,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { dirname } from 'node:path';
import type { FileHandle } from 'node:fs/promises';
import type { Dirent, Stats } from 'node:fs';
import { systemErrorCode } from '../base/errors.ts';
import { stepByStep } from './file-steps.ts';
import type { DirectoryEntry, FileStatus, Files, OpenFile, OpenMode } from './files.ts';

const flagsOf: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  'read-write': constants.O_RDWR,
  'create-new': constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  'create-or-replace': constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC,
};

/** Most buffers handed to one vectored write; the system's own bound (IOV_MAX) is 1024. */
const buffersPerWriteMax = 512;

/** Types of file systems that other machines may reach too, as in statfs(2). */
const sharedFileSystems: ReadonlySet<number> = new Set([
  0x6969, // NFS
  0x517b, // SMB
  0xff534d42, // CIFS
  0xfe534d42, // SMB 2
  0x65735546, // FUSE: sshfs, s3fs, virtiofs and many more
  0x00c36400, // Ceph
  0x0bd00bd0, // Lustre
  0x47504653, // GPFS
  0x01021997, // 9P
  0x5346414f, // AFS
  0x01161970, // GFS2
  0x7461636f, // OCFS2
]);

/** The file system of the machine. */
export const nodeFiles: Files = {
  async open(path, mode) {
    return new NodeOpenFile(await open(path, flagsOf[mode], 0o600));
  },
  async openAnonymous(directory) {
    const name = `${directory}/wombatkv-${process.pid}-${randomBytes(8).toString('hex')}.nameless`;
    const handle = await open(name, flagsOf['create-new'], 0o600);
    const path = `/proc/self/fd/${handle.fd}`;
    try {
      await unlink(name);
      // Only Linux shows the open files of a process as files.
      if (!(await stat(path)).isFile()) throw new Error(`${path} is not the file`);
    } catch (cause) {
      await handle.close();
      throw Object.assign(new Error('files without a name', { cause }), { code: 'ENOTSUP' });
    }
    return { path, file: new NodeOpenFile(handle) };
  },
  async readSmall(path, byteLengthMax) {
    const handle = await open(path, constants.O_RDONLY);
    try {
      const { size } = await handle.stat();
      if (size > byteLengthMax) {
        throw Object.assign(new Error(`${path} has ${size} bytes, more than ${byteLengthMax}`), {
          code: 'EFBIG',
        });
      }
      const bytes = new Uint8Array(size);
      const read = await readFully(handle, bytes, 0);
      return bytes.subarray(0, read);
    } finally {
      await handle.close();
    }
  },
  async status(path) {
    try {
      return statusOf(await lstat(path));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  },
  realPath: (path) => realpath(path),
  async list(path) {
    try {
      return (await readdir(path, { withFileTypes: true })).map(entryOf);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
  },
  async makeDirectory(path) {
    await makeDirectoryAt(path);
  },
  link: (existing, path) => link(existing, path),
  rename: (from, to) => rename(from, to),
  async remove(path) {
    try {
      await unlink(path);
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  },
  async removeDirectory(path) {
    try {
      await rmdir(path);
      return true;
    } catch (error) {
      if (isAbsent(error) || systemErrorCode(error) === 'ENOTEMPTY') return false;
      throw error;
    }
  },
  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  steps: (steps, signal) => stepByStep(nodeFiles, steps, signal),
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
  async isLocalFileSystem(path) {
    const { type } = await statfs(path);
    // Some systems sign-extend the 32 bits.
    return !sharedFileSystems.has(type >>> 0);
  },
};

/**
 * Not by Node's own recursion, which never ends where a parent is there and nothing can be made in
 * it, as below `/proc`.
 */
async function makeDirectoryAt(path: string): Promise<void> {
  const failure = await tryToMake(path);
  if (failure === undefined) return;
  const parent = dirname(path);
  if (systemErrorCode(failure) !== 'ENOENT' || parent === path) throw failure;
  // It may be there by now: others make directories too.
  if ((await nodeFiles.status(parent)) === undefined) await makeDirectoryAt(parent);
  const second = await tryToMake(path);
  if (second !== undefined) throw second;
}

/** Resolves to why the directory is neither there nor made. */
async function tryToMake(path: string): Promise<unknown> {
  try {
    await mkdir(path, 0o700);
    return undefined;
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') return error;
    return (await stat(path)).isDirectory() ? undefined : error;
  }
}

/**
 * Files that are open. A store that nobody closes may become garbage before its program ends; its files stay open until
 * then, for Node complains on standard error of a handle that it has to close itself.
 */
const openHandles = new Set<FileHandle>();

class NodeOpenFile implements OpenFile {
  readonly #handle: FileHandle;

  constructor(handle: FileHandle) {
    this.#handle = handle;
    openHandles.add(handle);
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return readFully(this.#handle, into, position);
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let at = position;
    for (let start = 0; start < buffers.length; start += buffersPerWriteMax) {
      const batch = buffers.slice(start, start + buffersPerWriteMax);
      at += await writeFully(this.#handle, batch, at);
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync();
  }

  truncate(byteLength: number): Promise<void> {
    return this.#handle.truncate(byteLength);
  }

  async byteLength(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  close(): Promise<void> {
    openHandles.delete(this.#handle);
    return this.#handle.close();
  }
}

/** Reads until `into` is full or the file ends: one system call may return less than asked. */
async function readFully(handle: FileHandle, into: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/** Writes every byte of the buffers: one system call may take less than given. */
async function writeFully(
  handle: FileHandle,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<number> {
  let rest = buffers.filter((buffer) => buffer.length > 0);
  let done = 0;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, position + done);
    done += bytesWritten;
    rest = afterFirst(rest, bytesWritten);
  }
  return done;
}

function afterFirst(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let skip = count;
  for (const buffer of buffers) {
    if (skip >= buffer.length) skip -= buffer.length;
    else {
      rest.push(buffer.subarray(skip));
      skip = 0;
    }
  }
  return rest;
}

function statusOf(stats: Stats): FileStatus {
  return {
    kind: kindOf(stats),
    byteLength: stats.size,
    modifiedMs: stats.mtimeMs,
    changedMs: stats.ctimeMs,
    identity: `${stats.dev}:${stats.ino}`,
    permissions: stats.mode & 0o777,
    isOwn: process.getuid === undefined ? undefined : stats.uid === process.getuid(),
  };
}

function entryOf(entry: Dirent): DirectoryEntry {
  return { name: entry.name, kind: kindOf(entry) };
}

function kindOf(entry: Pick<Stats, 'isFile' | 'isDirectory'>): DirectoryEntry['kind'] {
  if (entry.isFile()) return 'file';
  return entry.isDirectory() ? 'directory' : 'other';
}

function isAbsent(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}
