import { after, test } from 'node:test';
import type { TestContext } from 'node:test';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

/**
 * Goal: the fifteen functions do what the header says, over both sockets of a real daemon.
 * Method: capi/test/library, linked to the shared library as an engine is; every sentence that it
 * prints is a test here. In an outage it says what is to happen to the daemon, and goes on when that
 * has happened.
 */
const skip = withoutTestCompiler();

type Act = (home: DaemonHome) => Promise<unknown>;

/** What the program may ask for. */
const acts: ReadonlyMap<string, Act> = new Map<string, Act>([
  ['kill', (home) => home.daemon().stop('SIGKILL')],
  ['start', (home) => home.restart()],
  ['stop', (home) => Promise.resolve(home.daemon().child.kill('SIGSTOP'))],
  ['continue', (home) => Promise.resolve(home.daemon().child.kill('SIGCONT'))],
]);

type Way = 'unix' | 'tcp' | 'embedded';

async function runGroup(
  context: TestContext,
  group: string,
  place: { readonly home: DaemonHome; readonly way: Way },
): Promise<void> {
  const { home, way } = place;
  const program = await buildAbiTest();
  const onLine = (line: string): Promise<void> | undefined =>
    acts
      .get(line)?.(home)
      .then(() => undefined);
  const end = await runProgram(program, [group], { environment: home[way], onLine });
  await reportTests(context, end);
}

/** One daemon for the groups that leave it as it is. */
let shared: Promise<DaemonHome> | undefined;
after(async () => {
  const home = await shared;
  await home?.close();
});

for (const way of ['unix', 'tcp', 'embedded'] as const) {
  for (const group of ['arguments', 'opening', 'blocks', 'tails', 'threads']) {
    test(`${group} of the C library over ${way}`, { skip }, async (context) => {
      shared ??= startDaemonHome();
      await runGroup(context, group, { home: await shared, way });
    });
  }
}

for (const way of ['unix', 'tcp'] as const) {
  for (const group of ['outage', 'stopped']) {
    test(`${group} of the C library over ${way}`, { skip }, async (context) => {
      const home = await startDaemonHome();
      try {
        await runGroup(context, group, { home, way });
      } finally {
        await home.close();
      }
    });
  }
}
