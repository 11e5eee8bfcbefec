import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files that one process runs, in this order. */
export type Group = readonly [string, ...string[]];

/**
 * Test files that take longest, the longest first. They are started in this order, before all
 * others: then processors that run files side by side end together. What is not here takes a few
 * seconds at most; a wrong order costs time and nothing else.
 */
export const longestFiles: readonly string[] = [
  'test/engine/equality-bucket.s3.test.ts',
  'src/objectstore/s3/radosgw.s3.test.ts',
  'test/crash/store-kills.slow.test.ts',
  'test/engine/equality-types.slow.test.ts',
  'test/engine/equality-attention.slow.test.ts',
  'src/format/legacy.slow.test.ts',
  'test/guard/tls-store.slow.test.ts',
  'test/capi/store/c-store-embedded.slow.test.ts',
  'test/capi/store/c-store-shm.slow.test.ts',
  'test/crash/daemon-kills.slow.test.ts',
  'test/capi/package.slow.test.ts',
  'bench/quick-run.slow.test.ts',
  'src/daemon/daemon-shared.slow.test.ts',
  'test/crash/memory-corruption.slow.test.ts',
  'test/sim/crash-states-directory.slow.test.ts',
  'test/sim/crash-states.slow.test.ts',
  'test/sim/simulation.test.ts',
  'test/capi/abi.test.ts',
  'test/capi/abi-sockets.test.ts',
  'test/store/store-over-directory.test.ts',
  'test/capi/abi-remote.test.ts',
  'test/sim/simulation-shared.test.ts',
  'test/capi/embedded.test.ts',
  'test/cli/verify.test.ts',
  'src/open-store-budgets.test.ts',
  'src/store/store-shared.test.ts',
  'test/capi/abi-ring.test.ts',
  'test/engine/equality.test.ts',
  'src/store/collect-store.test.ts',
  'src/store/store.test.ts',
  'test/cli/demo.test.ts',
  'test/capi/frames.test.ts',
  'test/engine/safety.test.ts',
  'test/engine/conversation.test.ts',
  'test/cli/daemon.test.ts',
  'test/crash/lent-kills.test.ts',
  'test/capi/rings.test.ts',
  'src/objectstore/s3/s3-object-store.test.ts',
  'test/capi/abi-hostile.test.ts',
  'src/objectstore/directory-object-store.test.ts',
  'test/cli/store-commands.test.ts',
  'test/cli/bucket-commands.test.ts',
  'test/crash/store-kills.test.ts',
  'test/crash/shared-directory.test.ts',
  'test/cli/usage.test.ts',
  'src/cache/cache-directory-races.test.ts',
  'src/objectstore/directory-object-store-crash.test.ts',
];

/** Folders whose files share processes: starting one costs more than most of these files. */
const sharingFolders: readonly string[] = ['src/', 'bench/', 'tools/'];

/**
 * What a file there says that has a process to itself: it starts threads, opens a whole store, loads the
 * engine, measures what the process holds, or ends it.
 */
const needsProcess =
  /\bnew (WorkerPool|WorkerTranscoder|Worker)\b|\bopenStore\(|llama-engine|node-llama-cpp|\b(memory|resource)Usage\b|process\.(exit|abort|kill|umask)\b|\/proc\/self\/fd'/;

/** So many files share a process: enough to save what starting costs, few enough to spread them. */
const filesPerProcess = 12;

/** The files below the directory as groups for one process each. Slow ones are alone. */
export function groupsOf(directory: string, files: readonly string[]): readonly Group[] {
  const shared = files.filter((file) => sharesProcess(directory, file));
  const groups = files.filter((file) => !shared.includes(file)).map((file): Group => [file]);
  // As many processes as needed, with as even a number of files as can be.
  const count = Math.ceil(shared.length / filesPerProcess);
  for (let index = 0; index < count; index += 1) {
    const place = (part: number): number => Math.floor((part * shared.length) / count);
    const [first, ...rest] = shared.slice(place(index), place(index + 1));
    groups.push([first, ...rest]);
  }
  return groups;
}

function sharesProcess(directory: string, file: string): boolean {
  const source = sourceOf(file);
  if (/\.(slow|s3|peers)\.test\.ts$/.test(source) || longestFiles.includes(source)) return false;
  if (!sharingFolders.some((folder) => source.startsWith(folder))) return false;
  return !needsProcess.test(readFileSync(join(directory, file), 'utf8'));
}

/** The groups in the order in which to start them: the longest files, many files, then others. */
export function longestFirst(groups: readonly Group[]): readonly Group[] {
  const place = ([file, second]: Group): number => {
    const index = longestFiles.indexOf(sourceOf(file));
    if (index !== -1) return index;
    return second === undefined ? longestFiles.length + 1 : longestFiles.length;
  };
  return groups.toSorted((a, b) => place(a) - place(b));
}

function sourceOf(file: string): string {
  return file.replace(/\.js$/, '.ts');
}
