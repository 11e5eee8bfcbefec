import { setTimeout as sleep } from 'node:timers/promises';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';
import { doors } from './bench-daemon.ts';
import type { BenchDaemon, Door } from './bench-daemon.ts';

const callsWhileAway = 20;
/** Rest between two calls while it is away, so that attempts to reach it fall between them too. */
const restMs = 25;

/** What a client sees of a daemon that is killed and started again. Gives the daemon that runs then. */
export async function measureAway(
  daemon: BenchDaemon,
): Promise<{ readonly rows: readonly Row[]; readonly daemon: BenchDaemon }> {
  const chain = chainOf({ seed: 'away', blocks: 4, blockBytes: 64 * 1024 });
  const keys = chain.map(({ key }) => key);
  const stores = new Map<Door, KvStore>();
  for (const door of doors) stores.set(door, await connect(daemon.urls[door]));
  const [first] = stores.values();
  await first.save(chain);
  await first.flush();
  for (const store of stores.values()) (await store.load(keys)).release();

  await daemon.kill();
  const missMs = new Map<Door, number[]>();
  for (const [door, store] of stores) {
    await failing(store, keys);
    const samples: number[] = [];
    for (let call = 0; call < callsWhileAway; call += 1) {
      samples.push(await failing(store, keys));
      await sleep(restMs);
    }
    missMs.set(door, samples);
  }
  const next = await daemon.startAgain();
  const backMs = new Map<Door, number>();
  for (const [door, store] of stores) {
    // What fails here fails the benchmark: the first call must succeed by itself.
    backMs.set(door, await timed(async () => (await store.load(keys)).release()));
    await store.close();
  }
  const rows = doors.flatMap((door) => [
    rowOf({
      ...{
        what: `${door}: a miss while the daemon is away, longest of ${callsWhileAway}`,
        unit: 'ms',
      },
      ...{ samples: [Math.max(...(missMs.get(door) ?? []))], bar: atMost(50) },
    }),
    rowOf({
      ...{ what: `${door}: the first call when it is back`, unit: 'ms' },
      samples: [backMs.get(door) ?? Number.NaN],
    }),
  ]);
  return { rows, daemon: next };
}

/** Milliseconds until a call fails. */
function failing(store: KvStore, keys: Parameters<KvStore['load']>[0]): Promise<number> {
  return timed(async () => {
    const failure = await store.load(keys).catch((error: unknown) => error);
    if (!(failure instanceof Error)) throw new Error('a daemon that was killed answered');
  });
}
