/** How a file is opened. `create-new` fails with `EEXIST` when the file is there. */
export type OpenMode = 'read' | 'read-write' | 'create-new' | 'create-or-replace';

/** What a path is. */
export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'other';
  readonly byteLength: number;
  /** Last modification and last change of the inode, in milliseconds since 1970. */
  readonly modifiedMs: number;
  readonly changedMs: number;
  /** Device and inode as text: equal means the same file. */
  readonly identity: string;
  /** Bits of `rwxrwxrwx`, and whether the user of this process owns it; where the system tells. */
  readonly permissions?: number | undefined;
  readonly isOwn?: boolean | undefined;
}

/** One of several steps that are carried out together. */
export type FileStep =
  /** Fails with `EEXIST` when something is there. */
  | { readonly kind: 'expect-absent'; readonly path: string }
  /** Makes the file, which must not be there, writes all parts one after another, and syncs it. */
  | { readonly kind: 'write-new'; readonly path: string; readonly parts: readonly Uint8Array[] }
  /** As the calls of {@link Files}. */
  | { readonly kind: 'link'; readonly existing: string; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string }
  | { readonly kind: 'sync-directory'; readonly path: string }
  /** Removes the file if it is there. */
  | { readonly kind: 'remove'; readonly path: string };

/** How far steps came. */
export interface StepsOutcome {
  /** Steps that were done; those behind it were not begun, or failed. */
  readonly done: number;
  /** Why the step after these failed; undefined when all were done, or the signal ended them. */
  readonly failure: unknown;
}

/**
 * Files and directories. Paths are absolute. Errors are those of the system, with their `code`
 * (`ENOENT`, `EEXIST`, `ENOSPC`, `EACCES`, …). No single call takes a signal: local files answer or
 * fail.
 */
export interface Files {
  open(path: string, mode: OpenMode): Promise<OpenFile>;
  /**
   * A new file in the directory that nobody else can find, and that is gone when it is closed or the
   * process ends. Fails with `ENOTSUP` where the system has no such files.
   */
  openAnonymous(directory: string): Promise<AnonymousFile>;
  /** The whole file; fails with `EFBIG` when it is longer than `byteLengthMax`. */
  readSmall(path: string, byteLengthMax: number): Promise<Uint8Array>;
  /** What the path is, or undefined when nothing is there. */
  status(path: string): Promise<FileStatus | undefined>;
  /** The path without symbolic links; fails with `ENOENT` when nothing is there. */
  realPath(path: string): Promise<string>;
  /** Names in the directory, in no order; empty when the directory is absent. */
  list(path: string): Promise<readonly DirectoryEntry[]>;
  /** Makes the directory and its parents, mode 0700 for those it makes. */
  makeDirectory(path: string): Promise<void>;
  /** Makes `path` another name of the file `existing`; fails with `EEXIST` when `path` is there. */
  link(existing: string, path: string): Promise<void>;
  /** Gives `from` the name `to`, replacing what is there, in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. Resolves to false when it was not there. */
  remove(path: string): Promise<boolean>;
  /** Removes an empty directory. Resolves to false when it was absent or not empty. */
  removeDirectory(path: string): Promise<boolean>;
  /** Makes names in the directory durable. */
  syncDirectory(path: string): Promise<void>;
  /**
   * Carries out the steps in their order, up to the first that fails; what a failed one began stays.
   * No step begins after the signal; the one under way is not ended. At most one step writes, and its
   * parts stay as they are until this resolves or the signal fires: no later step begins on bytes that
   * changed. It is much cheaper than the calls one after another where an implementation can hand
   * all of it over at once.
   */
  steps(steps: readonly FileStep[], signal?: AbortSignal): Promise<StepsOutcome>;
  /** Bytes that this user may still write on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>;
  /**
   * True when `path`, which must exist, lies on a file system that only this machine can reach.
   * False for the known network, cluster and user-space ones, which may span machines.
   */
  isLocalFileSystem(path: string): Promise<boolean>;
}

/** A name in a directory. */
export interface DirectoryEntry {
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'other';
}

/** A file without a name. */
export interface AnonymousFile {
  /** Opens the file again, in this process, while it is open. */
  readonly path: string;
  readonly file: OpenFile;
}

/** An open file. The owner closes it. Positions and lengths are in bytes. */
export interface OpenFile {
  /** Reads into all of `into` from `position`; resolves to the bytes read, less at the end. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** Writes all buffers one after another from `position`. On failure an unknown part is written. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /** Makes what was written durable. */
  sync(): Promise<void>;
  truncate(byteLength: number): Promise<void>;
  byteLength(): Promise<number>;
  close(): Promise<void>;
}
