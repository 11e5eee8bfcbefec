import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isStoreError } from '../../src/base/errors.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { chainOf } from '../support/chains.ts';
import type { Chain } from '../support/chains.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';

/** Time of a call that finds the daemon away, by the median and at most; 50 ms is the promise on a machine with time. */
const [middleAwayMsMax, awayMsMax] = [200, 5000];

/** What a worker has seen. */
interface Tally {
  saves: number;
  loads: number;
  misses: number;
  /** Milliseconds of calls that failed because the daemon was away, after the first. */
  readonly awayMs: number[];
}

/**
 * Goal: a daemon that dies at any moment costs its clients a bounded time and nothing else. Method:
 * three clients save and load chains, over a Unix socket, TCP and HTTP, while the real daemon is killed by SIGKILL at
 * random moments and started again; whatever was accepted must be there at last, byte for byte.
 */
export async function daemonKillRun(kills: number, tell: (line: string) => void): Promise<void> {
  const directory = await makeTemporaryDirectory('daemon-kills');
  const random = seededRandom(`daemon-kills/${kills}`);
  const environment = { HOME: directory.path, WMBT_KV_PUFFER_RAM_BYTES: '64MiB' };
  let addresses: readonly string[] = ['127.0.0.1:0', '127.0.0.1:0'];
  const start = async (): Promise<DaemonProcess> => {
    const [tcp, http] = addresses;
    const doors = ['--unix', `${directory.path}/d.sock`, '--tcp', tcp, '--http', http];
    const one = new DaemonProcess(doors, environment);
    urls = await one.ready();
    // Who comes after it is found where it was.
    addresses = urls.slice(1).map((url) => new URL(url).host);
    return one;
  };
  let urls: readonly string[] = [];
  let daemon = await start();
  const clients = await Promise.all(urls.map((url) => connect(url)));
  const tally: Tally = { saves: 0, loads: 0, misses: 0, awayMs: [] };
  const stop = new AbortController();
  try {
    const accepted: Chain[] = [];
    const working = clients.map((client, at) => work(client, `${at}`, { tally, accepted, stop }));
    const all = Promise.all(working);
    all.catch(() => undefined);
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(20 + (random.word() % 300));
      await daemon.stop('SIGKILL');
      await sleep(random.word() % 100);
      daemon = await start();
      // The machine may be busy; that the next call succeeds by itself is what counts.
      await clients[0].lookup([], { deadlineMs: 10_000 });
    }
    await sleep(200);
    stop.abort();
    await all;
    for (const chain of accepted) await assertWhole(clients[0], chain);
    const { saves, loads, misses } = tally;
    const awayMs = tally.awayMs.sort((a, b) => a - b);
    const middle = awayMs[Math.floor(awayMs.length / 2)] ?? 0;
    const slowest = awayMs.at(-1) ?? 0;
    tell(
      `${kills} kills; ${saves} saves, ${loads} loads, ${accepted.length} chains accepted and found; ` +
        `${misses} calls found the daemon away, in ${middle.toFixed(1)} ms by the median and ` +
        `${slowest.toFixed(1)} ms at most`,
    );
    assert.ok(accepted.length > kills, 'there was work between the kills');
    assert.ok(middle <= middleAwayMsMax, `misses took ${middle} ms by the median`);
    assert.ok(
      awayMs.every((ms) => ms <= awayMsMax),
      `a miss took ${slowest} ms`,
    );
  } finally {
    stop.abort();
    for (const client of clients) await client.close();
    await daemon.stop('SIGKILL');
    await directory.remove();
  }
}

async function work(
  client: KvStore,
  name: string,
  run: { readonly tally: Tally; readonly accepted: Chain[]; readonly stop: AbortController },
): Promise<void> {
  const { tally, accepted, stop } = run;
  let wasAway = false;
  for (let turn = 0; !stop.signal.aborted; turn += 1) {
    const chain = chainOf(`kills/${name}/${turn}`, 3, 70_000);
    const startMs = performance.now();
    try {
      await client.save(chain.blocks);
      accepted.push(chain);
      tally.saves += 1;
      await assertWhole(client, accepted[Math.floor(accepted.length / 2)]);
      tally.loads += 1;
      wasAway = false;
      await sleep(10);
    } catch (error) {
      if (!isStoreError(error, 'UNAVAILABLE')) throw error;
      tally.misses += 1;
      if (wasAway) tally.awayMs.push(performance.now() - startMs);
      wasAway = true;
      await sleep(5);
    }
  }
}

/** Everything that was accepted comes back, unless the daemon goes meanwhile. */
async function assertWhole(client: KvStore, chain: Chain): Promise<void> {
  const borrow = await client.load(chain.keys);
  borrow.blocks.forEach(({ payload }, at) =>
    assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload), `block ${at} has its bytes`),
  );
  const isWhole = borrow.blocks.length === chain.blocks.length;
  assert.ok(isWhole || borrow.reason === 'unavailable', `accepted, and ${borrow.reason} now`);
  borrow.release();
}
