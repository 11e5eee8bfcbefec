import { after, test } from 'node:test';
import { runGroup, startHome, ways } from './abi-groups.ts';
import type { Way } from './abi-groups.ts';
import { withoutTestCompiler } from './c-program.ts';
import type { DaemonHome } from './daemon-home.ts';

/**
 * Goal: the functions do what the header says, over every door of a real daemon, and with
 * the memory that it shares.
 * Method: capi/test/library, linked to the shared library as an engine is; every sentence that it
 * prints is a test here. What becomes of a daemon under it is in abi-outages.test.ts.
 */
const skip = withoutTestCompiler();

/** One daemon for the groups of a way. */
const shared = new Map<Way, Promise<DaemonHome>>();
after(async () => {
  for (const home of shared.values()) await home.then((one) => one.close());
});

function sharedHome(way: Way): Promise<DaemonHome> {
  const known = shared.get(way) ?? startHome(way);
  shared.set(way, known);
  return known;
}

/** Groups that leave the daemon as it is. The socket alone is what the others have in common. */
const steady: Readonly<Record<Way, readonly string[]>> = {
  shm: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms'],
  unix: ['blocks', 'threads', 'extended'],
  tcp: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms'],
  http: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms'],
  tls: ['blocks', 'tails', 'threads', 'extended'],
  https: ['blocks', 'tails'],
  embedded: ['arguments', 'opening', 'blocks', 'tails', 'threads', 'extended', 'terms'],
};

for (const way of ways) {
  for (const group of steady[way]) {
    test(`${group} of the C library over ${way}`, { skip }, async (context) => {
      await runGroup(context, group, { home: await sharedHome(way), way });
    });
  }
}
