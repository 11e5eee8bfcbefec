import type { Files, OpenFile } from '../../src/platform/files.ts';
import type { Platform } from '../../src/platform/platform.ts';
import type { Phase } from './accepted.ts';

/** Told of the beginning and the end of a phase, each before anything else happens. */
export interface PhaseListener {
  begin(phase: Phase): void;
  end(phase: Phase): void;
}

/** A batch of a save begins with the list of its keys, so it has at least two records. */
const buffersOfRecord = 3;

/**
 * The platform with its files announced: what the store asks of them tells what it is doing. The
 * calls themselves are those of the real file system.
 *
 * - `write`: a batch of a save is written to the log.
 * - `commit`: from the end of that write on, until the save is over; `commitEnded` tells when.
 * - `upload`: a file of the object store is opened, written, synced, or given its name.
 * - `evict`: a segment of the log is removed.
 */
export function announcedPlatform(platform: Platform, listener: PhaseListener): Platform {
  const during = async <Result>(phase: Phase, run: () => Promise<Result>): Promise<Result> => {
    listener.begin(phase);
    try {
      return await run();
    } finally {
      listener.end(phase);
    }
  };
  const { files } = platform;
  const announced: Files = {
    ...files,
    open: async (path, mode) => {
      if (isSegment(path)) return announcedSegment(await files.open(path, mode), listener);
      if (!isObject(path) || mode === 'read') return files.open(path, mode);
      const file = await during('upload', () => files.open(path, mode));
      return announcedObject(file, during);
    },
    openAnonymous: async (directory) => {
      const anonymous = await during('upload', () => files.openAnonymous(directory));
      return { ...anonymous, file: announcedObject(anonymous.file, during) };
    },
    link: (existing, path) => inUpload(path, during, () => files.link(existing, path)),
    rename: (from, to) => inUpload(to, during, () => files.rename(from, to)),
    syncDirectory: (path) => inUpload(path, during, () => files.syncDirectory(path)),
    steps: (steps, signal) => during('upload', () => files.steps(steps, signal)),
    remove: (path) =>
      isSegment(path) ? during('evict', () => files.remove(path)) : files.remove(path),
  };
  return { ...platform, files: announced };
}

type During = <Result>(phase: Phase, run: () => Promise<Result>) => Promise<Result>;

function isSegment(path: string): boolean {
  return /\/segment-\d+\.log$/.test(path);
}

function isObject(path: string): boolean {
  return path.includes('/objects/');
}

function inUpload<Result>(
  path: string,
  during: During,
  run: () => Promise<Result>,
): Promise<Result> {
  return isObject(path) ? during('upload', run) : run();
}

function announcedSegment(file: OpenFile, listener: PhaseListener): OpenFile {
  return withWrite(file, async (buffers, position) => {
    if (buffers.length <= buffersOfRecord) return file.write(buffers, position);
    listener.begin('write');
    try {
      await file.write(buffers, position);
    } finally {
      listener.end('write');
    }
    listener.begin('commit');
  });
}

function announcedObject(file: OpenFile, during: During): OpenFile {
  const announced = withWrite(file, (buffers, position) =>
    during('upload', () => file.write(buffers, position)),
  );
  return { ...announced, sync: () => during('upload', () => file.sync()) };
}

function withWrite(file: OpenFile, write: OpenFile['write']): OpenFile {
  return {
    read: (into, position) => file.read(into, position),
    write,
    sync: () => file.sync(),
    truncate: (byteLength) => file.truncate(byteLength),
    byteLength: () => file.byteLength(),
    close: () => file.close(),
  };
}
