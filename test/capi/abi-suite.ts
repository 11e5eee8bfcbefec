import { after, test } from 'node:test';
import type { TestContext } from 'node:test';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';

/**
 * Goal: the functions do what the header says, over every door of a real daemon, and with
 * the memory that it shares.
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

/**
 * How the library reaches a store: `shm` is a daemon's Unix socket and its memory, `ring` the same with more memory, so
 * that small saves are left in rings; `tls` and `https` go
 * through a process that is the daemon's client.
 */
export type Way = 'shm' | 'ring' | 'unix' | 'tcp' | 'http' | 'tls' | 'https' | 'embedded';

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
  const environment = home[way === 'shm' || way === 'ring' ? 'unix' : way];
  const end = await runProgram(program, [group], { environment, onLine });
  await reportTests(context, end);
}

function startHome(way: Way): Promise<DaemonHome> {
  const isSecure = way === 'tls' || way === 'https';
  const sharesMemory = way === 'shm' || way === 'ring';
  return startDaemonHome({
    sharesMemory,
    isSecure,
    ...(way === 'ring' ? { memory: '192MiB' } : {}),
  });
}

/** Groups that leave the daemon as it is. The socket alone is what the others have in common. */
const steady: Readonly<Record<Way, readonly string[]>> = {
  shm: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms', 'habits'],
  ring: ['blocks', 'threads', 'terms'],
  unix: ['blocks', 'threads', 'extended', 'habits'],
  tcp: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms', 'habits'],
  http: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms', 'habits'],
  tls: ['blocks', 'tails', 'threads', 'extended'],
  https: ['blocks', 'tails'],
  embedded: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms', 'habits'],
};
/** Groups that kill or stop their daemon, fill its memory, or change its files. */
const harsh: Readonly<Record<Way, readonly string[]>> = {
  shm: ['outage', 'shared', 'shared-processes', 'shared-files', 'shared-tails', 'filling', 'uses'],
  ring: ['rings'],
  unix: ['outage', 'stopped', 'cancelled', 'harsh-habits'],
  tcp: ['outage', 'stopped', 'cancelled', 'harsh-habits'],
  http: ['outage', 'stopped', 'cancelled', 'harsh-habits'],
  // A process that is stopped is no outage to the process between: it waits as long as the call may.
  tls: ['outage', 'cancelled'],
  https: ['outage'],
  // What kills a store of one's own is in embedded.test.ts.
  embedded: [],
};

/** One test for each group of each way; of the harsh ones alone where that is asked. */
export function registerAbiTests(ways: readonly Way[], which: 'all' | 'harsh' = 'all'): void {
  // One daemon for the groups that leave it as it is.
  const shared = new Map<Way, Promise<DaemonHome>>();
  const sharedHome = (way: Way): Promise<DaemonHome> => {
    const known = shared.get(way) ?? startHome(way);
    shared.set(way, known);
    return known;
  };
  after(async () => {
    for (const home of shared.values()) await home.then((one) => one.close());
  });
  for (const way of ways) {
    for (const group of which === 'all' ? steady[way] : []) {
      test(`${group} of the C library over ${way}`, { skip }, async (context) => {
        await runGroup(context, group, { home: await sharedHome(way), way });
      });
    }
    for (const group of harsh[way]) {
      test(`${group} of the C library over ${way}`, { skip }, async (context) => {
        const home = await startHome(way);
        try {
          await runGroup(context, group, { home, way });
        } finally {
          await home.close();
        }
      });
    }
  }
}

/** A daemon elsewhere through a process that is its client, over that door and with a near-cache. */
export function registerRelayedTests(door: 'tls' | 'http'): void {
  test(`relayed of the C library over ${door}`, { skip }, async (context) => {
    const home = await startDaemonHome({ isSecure: door === 'tls' });
    try {
      const onLine = (line: string): Promise<void> | undefined =>
        acts
          .get(line)?.(home)
          .then(() => undefined);
      const environment = { ...home[door], WMBT_KV_NEAR_CACHE_BYTES: '64MiB' };
      const program = await buildAbiTest();
      await reportTests(context, await runProgram(program, ['relayed'], { environment, onLine }));
    } finally {
      await home.close();
    }
  });
}
