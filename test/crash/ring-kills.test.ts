import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect } from '../../src/client.ts';
import { startDaemonHome } from '../capi/daemon-home.ts';
import type { DaemonHome } from '../capi/daemon-home.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { FrameRelay } from '../support/frame-relay.ts';
import { seededRandom } from '../support/random.ts';
import { assertThere } from '../support/ring-scenes.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { leftChain } from './left-chains.ts';

const program = fileURLToPath(new URL('./ring-child.js', import.meta.url));
const rounds = 4;
/** Enough for several rings. */
const memory = '192MiB';

interface Kill {
  readonly home: DaemonHome;
  readonly url: string;
  readonly kind: string;
  readonly name: string;
  /** Saves after which the client is killed. */
  readonly last: number;
  readonly isDaemonKilled: boolean;
}

/** How many saves a client told of that was killed as it told of the last. */
async function killAt({ home, url, kind, name, last, isDaemonKilled }: Kill): Promise<number> {
  const child = spawn(process.execPath, ['--enable-source-maps', program, url, name, kind], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close', { signal: AbortSignal.timeout(60_000) });
  let accepted = 0;
  let daemonEnd: Promise<unknown> = Promise.resolve();
  for await (const line of createInterface({ input: child.stdout })) {
    assert.equal(line, `accepted ${accepted}`);
    accepted += 1;
    if (accepted !== last) continue;
    if (isDaemonKilled) daemonEnd = home.daemon().stop('SIGKILL');
    child.kill('SIGKILL');
  }
  await Promise.all([ended, daemonEnd]);
  assert(accepted >= last);
  return accepted;
}

describe('clients in Node that leave saves in a ring', { skip: withoutNative() }, () => {
  // Goal: what a client was told is accepted is there, whenever it is killed, and its daemon with it. Method: clients that
  // save until they are killed, at a random save; a relay counts which of them were calls; another client asks for all.
  for (const kind of ['short', 'lent']) {
    for (const isDaemonKilled of [false, true]) {
      const who = isDaemonKilled ? 'they and their daemon are' : 'they are';
      it(`lose nothing ${kind} when ${who} killed`, async (context) => {
        const random = seededRandom(`node ring kills ${kind} ${isDaemonKilled}`);
        const counts = { saves: 0, calls: 0 };
        for (let round = 0; round < rounds; round += 1) {
          const home = await startDaemonHome({ memory });
          const directory = await makeTemporaryDirectory('relay');
          try {
            const run = `${directory.path}/run`;
            await mkdir(run, { mode: 0o700 });
            const [daemon, path] = [
              `${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`,
              `${run}/capi.sock`,
            ];
            await copyFile(`${daemon}.shm`, `${path}.shm`);
            const relay = await FrameRelay.open({ path, daemon });
            const last = (kind === 'lent' ? 6 : 40) + random.below(kind === 'lent' ? 20 : 200);
            const name = `${kind} ${round}`;
            const url = `shm:${path}`;
            const accepted = await killAt({ home, url, kind, name, last, isDaemonKilled });
            counts.saves += accepted;
            counts.calls += relay.received.get('save') ?? 0;
            await relay.close();
            if (isDaemonKilled) await home.restart();
            const store = await connect(`unix:${daemon}`);
            for (let count = 0; count < accepted; count += 1) {
              await assertThere(store, leftChain(name, kind, count));
            }
            await store.close();
          } finally {
            await home.close();
            await directory.remove();
          }
        }
        context.diagnostic(JSON.stringify(counts));
        assert(counts.saves - counts.calls >= 2 * rounds, 'saves were left in rings');
      });
    }
  }
});
