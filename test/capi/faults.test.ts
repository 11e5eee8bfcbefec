import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { SmallFileSystem, withoutMounts } from '../support/small-file-system.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

/**
 * Goal: nothing that the machine runs out of, disk, shared memory or descriptors, makes a call of the C library hang, end its
 * process, leave descriptors or lose what was accepted, and the next call after it works; in every mode.
 * Method: capi/test/library against real stores. Disk and shared memory are a file system of some mebibytes, which is
 * filled; limits of descriptors are set for the processes that run.
 */
type Mode = 'shm' | 'unix' | 'tcp' | 'http' | 'embedded';

const mib = 1024 * 1024;
const modes: readonly Mode[] = ['shm', 'unix', 'tcp', 'http', 'embedded'];
const timeout = 240_000;
const withoutProgram = withoutTestCompiler();

function environmentOf(home: DaemonHome, mode: Mode): Readonly<Record<string, string>> {
  return home[mode === 'shm' ? 'unix' : mode];
}

interface Full {
  readonly home: DaemonHome;
  readonly small: SmallFileSystem;
  readonly mode: Mode;
  /** Words before the command of the program. */
  readonly through?: readonly string[];
}

/** Runs the group; what it asks for is done to the file system, and to the daemon where that stores. */
async function runFull(
  context: TestContext,
  group: string,
  { home, small, mode, through = [] }: Full,
): Promise<void> {
  const isDaemon = mode !== 'embedded';
  const acts: Readonly<Record<string, () => unknown>> = {
    fill: () => small.fill(),
    empty: () => small.empty(),
    kill: () => home.daemon().stop('SIGKILL'),
    start: () => (isDaemon ? home.restart() : undefined),
  };
  const onLine = (line: string): Promise<void> | undefined =>
    line in acts ? Promise.resolve(acts[line]?.()).then(() => undefined) : undefined;
  const [first, ...rest] = [...through, await buildAbiTest(), group];
  const environment = environmentOf(home, mode);
  const end = await runProgram(first, rest, { environment, onLine, timeoutMs: timeout });
  for (const line of end.lines.filter((one) => one.startsWith('note '))) context.diagnostic(line);
  await reportTests(context, end);
}

for (const mode of modes) {
  const skip = withoutProgram || withoutMounts() || (mode === 'shm' && withoutNative());
  test(`a full disk, over ${mode}`, { skip, timeout }, async (context) => {
    const small = await SmallFileSystem.mount(64 * mib);
    const variables = {
      WMBT_KV_PUFFER_DIR: `${small.path}/cache`,
      WMBT_KV_OBJECT_STORE: `file://${small.path}/objects`,
    };
    const home = await startDaemonHome({ sharesMemory: mode === 'shm', variables });
    try {
      await runFull(context, 'full-disk', { home, small, mode });
    } finally {
      await home.close();
      await small.close();
    }
  });
}

for (const mode of ['shm', 'embedded'] as const) {
  const skip = withoutProgram || withoutMounts() || withoutNative();
  test(`full shared memory, over ${mode}`, { skip, timeout }, async (context) => {
    const small = await SmallFileSystem.mount(64 * mib);
    // Each process that is started so has the file system where others have shared memory.
    const script = `mount --bind '${small.path}' /dev/shm && exec "$0" "$@"`;
    const through = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script];
    const home = await startDaemonHome({ through });
    try {
      await runFull(context, 'full-memory', { home, small, mode, through });
    } finally {
      await home.close();
      await small.close();
    }
  });
}

for (const mode of modes) {
  for (const who of ['engine', 'store'] as const) {
    const isLimited = process.platform === 'linux';
    const skip =
      withoutProgram ||
      (mode === 'shm' && withoutNative()) ||
      (isLimited ? false : 'only Linux sets limits of other processes');
    test(`no descriptor for the ${who}, over ${mode}`, { skip, timeout }, async (context) => {
      const home = await startDaemonHome({ sharesMemory: mode === 'shm' });
      try {
        const daemon = `${home.daemon().child.pid}`;
        const environment = {
          ...environmentOf(home, mode),
          ...(mode === 'embedded' ? {} : { WMBT_TEST_DAEMON: daemon }),
        };
        const program = await buildAbiTest();
        await reportTests(
          context,
          await runProgram(program, [`${who}-descriptors`], { environment }),
        );
      } finally {
        await home.close();
      }
    });
  }
}
