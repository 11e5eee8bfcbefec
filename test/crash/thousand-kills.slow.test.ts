import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { testToolchain, withoutTestCompiler } from '../capi/c-program.ts';
import { thousandKills } from './thousand-kills.ts';
import type { KillCounts } from './thousand-kills.ts';

/** Clients that are killed for each daemon that is. */
const clientsPerDaemon = 12;
/** Side by side: starting a daemon takes most of the time, and uses one processor. */
const scenes = ['lent', 'ring'] as const;
/** Of each scene in one round; then a round begins with nothing, so that what is stored is bounded. */
const daemons = 42;
/** At least so many of each kind in a round. */
const leastKills = {
  ...{ reader: 100, caller: 100, ringer: 100, filler: 100, loaner: 100 },
  ...{ daemon: scenes.length * daemons, starting: 5 },
} as const satisfies Partial<KillCounts>;
const kinds = Object.keys(leastKills) as (keyof typeof leastKills)[];
const killsOfRound = scenes.length * daemons * (clientsPerDaemon + 1);
/** `WOMBATKV_TEST_KILLS=10000` makes more rounds of the same, for about so many. */
const wanted = Number(process.env['WOMBATKV_TEST_KILLS'] || killsOfRound);
const rounds = Math.max(Math.round(wanted / killsOfRound), 1);
const isSanitized = testToolchain().flavour !== 'plain';
const skip = isSanitized
  ? 'left to another lane: npm run test'
  : withoutTestCompiler() || withoutNative();

test(
  'of processes killed by SIGKILL nobody reads wrong bytes, and nothing accepted is lost',
  { skip },
  async (context) => {
    const first = Number(process.env['WOMBATKV_TEST_SEED'] || Date.now() % 1_000_000);
    const all: KillCounts[] = [];
    for (let seed = first; seed < first + rounds; seed += 1) {
      const plans = scenes.map((scene) => ({ scene, daemons, clientsPerDaemon, seed }));
      all.push(...(await Promise.all(plans.map(thousandKills))));
    }
    const sum = sumOf(all);
    const killed = kinds.reduce((total, kind) => total + sum[kind], 0);
    context.diagnostic(`seed ${first}: ${killed} kills: ${JSON.stringify(sum)}`);
    assert(killed >= rounds * killsOfRound, `${killed} kills`);
    for (const kind of kinds) {
      assert(sum[kind] >= rounds * leastKills[kind], `${kind}: ${sum[kind]} kills`);
    }
    assert(sum.saves > killed && sum.borrowed > killed, 'clients worked between the kills');
  },
);

function sumOf(all: readonly KillCounts[]): KillCounts {
  const names = Object.keys(all[0]) as (keyof KillCounts)[];
  const sums = names.map((name) => [name, all.reduce((total, one) => total + one[name], 0)]);
  return Object.fromEntries(sums) as unknown as KillCounts;
}
