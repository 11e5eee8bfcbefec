import { test } from 'node:test';
import { runGroup, startHome, ways } from './abi-groups.ts';
import type { Way } from './abi-groups.ts';
import { withoutTestCompiler } from './c-program.ts';

/**
 * Goal: whatever becomes of its daemon, calls of the C library end in time, and go on when it is back.
 * Method: as in abi.test.ts, with a daemon for each group. In an outage the program says what is to
 * happen to the daemon, and goes on when that has happened.
 */
const skip = withoutTestCompiler();

/** Groups that kill or stop their daemon, fill its memory, or change its files. */
const harsh: Readonly<Record<Way, readonly string[]>> = {
  shm: ['outage', 'shared', 'shared-processes', 'shared-files'],
  unix: ['outage', 'stopped', 'cancelled'],
  tcp: ['outage', 'stopped', 'cancelled'],
  http: ['outage', 'stopped', 'cancelled'],
  tls: ['outage'],
  https: [],
  // What kills a store of one's own is in embedded.test.ts.
  embedded: [],
};

for (const way of ways) {
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

for (const way of ['tls', 'http'] as const) {
  test(`relayed of the C library over ${way}`, { skip }, async (context) => {
    const home = await startHome(way);
    try {
      await runGroup(context, 'relayed', {
        ...{ home, way },
        more: { WMBT_KV_NEAR_CACHE_BYTES: '64MiB' },
      });
    } finally {
      await home.close();
    }
  });
}
