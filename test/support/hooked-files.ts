import { stepByStep } from '../../src/platform/file-steps.ts';
import type { SingleCalls } from '../../src/platform/file-steps.ts';
import type { Files, OpenFile } from '../../src/platform/files.ts';
import type { Platform } from '../../src/platform/platform.ts';

/** A call of `Files` or of a file that it opened. */
export type FileCall =
  | 'open'
  | 'status'
  | 'list'
  | 'makeDirectory'
  | 'link'
  | 'rename'
  | 'remove'
  | 'removeDirectory'
  | 'syncDirectory'
  | 'read'
  | 'write'
  | 'sync'
  | 'close';

/** Runs before a call; what it throws, the call rejects with; while it waits, the call does. */
export type FileHook = (call: FileCall, path: string) => Promise<void> | void;

/** Files whose calls go through the hook first. `link` and `rename` name the new path. */
export function hookedFiles(files: Files, hook: FileHook): Files {
  const hooked = async <Result>(
    call: FileCall,
    path: string,
    run: () => Promise<Result>,
  ): Promise<Result> => {
    await hook(call, path);
    return run();
  };
  const single: SingleCalls = {
    open: (path, mode) =>
      hooked('open', path, async () => hookedFile(await files.open(path, mode), path, hooked)),
    status: (path) => hooked('status', path, () => files.status(path)),
    link: (existing, path) => hooked('link', path, () => files.link(existing, path)),
    rename: (from, to) => hooked('rename', to, () => files.rename(from, to)),
    remove: (path) => hooked('remove', path, () => files.remove(path)),
    syncDirectory: (path) => hooked('syncDirectory', path, () => files.syncDirectory(path)),
  };
  return {
    ...files,
    ...single,
    list: (path) => hooked('list', path, () => files.list(path)),
    makeDirectory: (path) => hooked('makeDirectory', path, () => files.makeDirectory(path)),
    removeDirectory: (path) => hooked('removeDirectory', path, () => files.removeDirectory(path)),
    steps: (steps, signal) => stepByStep(single, steps, signal),
  };
}

/** The platform with its files hooked. */
export function withHookedFiles(platform: Platform, hook: FileHook): Platform {
  return { ...platform, files: hookedFiles(platform.files, hook) };
}

/** An error of the system, as its calls throw it. */
export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

function hookedFile(
  file: OpenFile,
  path: string,
  hooked: <Result>(call: FileCall, path: string, run: () => Promise<Result>) => Promise<Result>,
): OpenFile {
  return {
    read: (into, position) => hooked('read', path, () => file.read(into, position)),
    write: (buffers, position) => hooked('write', path, () => file.write(buffers, position)),
    sync: () => hooked('sync', path, () => file.sync()),
    truncate: (byteLength) => file.truncate(byteLength),
    byteLength: () => file.byteLength(),
    close: () => hooked('close', path, () => file.close()),
  };
}
