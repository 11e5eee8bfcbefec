import type { TestContext } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { buildAbiTest, reportTests, runProgram } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

type Act = (home: DaemonHome) => Promise<unknown>;

/** What the program of the library's tests may ask for. */
const acts: ReadonlyMap<string, Act> = new Map<string, Act>([
  ['kill', (home) => home.daemon().stop('SIGKILL')],
  ['start', (home) => home.restart()],
  ['stop', (home) => Promise.resolve(home.daemon().child.kill('SIGSTOP'))],
  ['continue', (home) => Promise.resolve(home.daemon().child.kill('SIGCONT'))],
]);

/**
 * How the library reaches a store: `shm` is a daemon's Unix socket and its memory; `tls` and `https` go
 * through a process that is the daemon's client.
 */
export type Way = 'shm' | 'unix' | 'tcp' | 'http' | 'tls' | 'https' | 'embedded';

/** Those that can be tested here. */
export const ways: readonly Way[] = [
  ...(withoutNative() === false ? (['shm'] as const) : []),
  ...(['unix', 'tcp', 'http', 'embedded'] as const),
  // In C they differ from the one before by an argument of the process: once is enough.
  ...(process.env['WOMBATKV_TEST_C_FLAVOUR'] === undefined ? (['tls', 'https'] as const) : []),
];

export function startHome(way: Way): Promise<DaemonHome> {
  const isSecure = way === 'tls' || way === 'https';
  return startDaemonHome({ sharesMemory: way === 'shm', isSecure });
}

/** Runs a group of capi/test/library; every sentence that it prints is a test. */
export async function runGroup(
  context: TestContext,
  group: string,
  place: { readonly home: DaemonHome; readonly way: Way; readonly more?: Record<string, string> },
): Promise<void> {
  const { home, way, more } = place;
  const program = await buildAbiTest();
  const onLine = (line: string): Promise<void> | undefined =>
    acts
      .get(line)?.(home)
      .then(() => undefined);
  const environment = { ...home[way === 'shm' ? 'unix' : way], ...more };
  const end = await runProgram(program, [group], { environment, onLine });
  await reportTests(context, end);
}
