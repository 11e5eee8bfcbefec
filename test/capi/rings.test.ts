import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { withoutNative } from '../support/c-compiler.ts';
import { FrameRelay } from '../support/frame-relay.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';
import type { DaemonHome } from './daemon-home.ts';
import type { ProgramEnd } from './c-program.ts';

const skip = withoutTestCompiler() || withoutNative();
/** Enough for several rings. */
const memory = '192MiB';

describe('small puts of the C library over shared memory', { skip }, () => {
  // Goal: they are no calls. Method: a relay between library and daemon counts what is sent.
  it('are no calls', async (context) => {
    const { received, end } = await relayed('left');
    await reportTests(context, end);
    context.diagnostic(JSON.stringify(Object.fromEntries(received)));
    assert.equal(received.get('open-ring'), 1);
    assert.equal(received.get('save'), 1, 'the one put that is too long for a ring');
    assert((received.get('ring-news') ?? 0) >= 1);
  });

  // Goal: longer payloads are no calls either once the daemon lends memory for them ahead of need. Method: as above; the
  // program rests behind each put, so that it has memory by the next one.
  it('nor are those of longer payloads, for which memory is lent ahead of need', async (context) => {
    const { received, end } = await relayed('lent');
    await reportTests(context, end);
    context.diagnostic(JSON.stringify(Object.fromEntries(received)));
    const saves = received.get('save') ?? 0;
    assert(saves >= 1 && saves <= 4, `${saves} of 14 puts were calls`);
    assert.equal(received.get('open-ring'), 1);
  });

  // Goal: what an engine was told is accepted is there, whenever it is killed, and its daemon with it.
  // Method: engines that put until they are killed, at a random put; another process then asks for all.
  for (const isDaemonKilled of [false, true]) {
    for (const areLent of [false, true]) {
      const who = isDaemonKilled ? 'the engine and its daemon are' : 'the engine is';
      const what = areLent ? 'are there, in lent memory,' : 'are there';
      it(`${what} when ${who} killed meanwhile`, async (context) => {
        const random = seededRandom(`ring kills ${who} ${areLent}`);
        const lent = areLent ? { WMBT_TEST_LENT: '1' } : {};
        for (let round = 0; round < 5; round += 1) {
          const home = await startDaemonHome({ memory });
          try {
            const last = 1 + random.below(areLent ? 40 : 150);
            const accepted = await killAt(home, { last, isDaemonKilled, lent });
            if (isDaemonKilled) await home.restart();
            const environment = { ...home.unix, ...lent, WMBT_TEST_ACCEPTED: `${accepted}` };
            const end = await runProgram(await buildAbiTest(), ['accepted'], { environment });
            await reportTests(context, end);
          } finally {
            await home.close();
          }
        }
      });
    }
  }
});

/** A group of tests of the program, with a relay between it and its daemon that counts what is sent. */
async function relayed(
  group: string,
): Promise<{ readonly end: ProgramEnd; readonly received: ReadonlyMap<string, number> }> {
  const home = await startDaemonHome({ memory });
  const directory = await makeTemporaryDirectory('relay');
  try {
    const run = `${directory.path}/run`;
    await mkdir(run, { mode: 0o700 });
    const daemon = `${home.unix['WMBT_KV_RUNTIME_DIR']}/capi.sock`;
    const path = `${run}/capi.sock`;
    await copyFile(`${daemon}.shm`, `${path}.shm`);
    const relay = await FrameRelay.open({ path, daemon });
    try {
      const environment = { ...home.unix, WMBT_KV_RUNTIME_DIR: run };
      const end = await runProgram(await buildAbiTest(), [group], { environment });
      return { end, received: relay.received };
    } finally {
      await relay.close();
    }
  } finally {
    await home.close();
    await directory.remove();
  }
}

interface Kill {
  /** Puts after which the engine is killed, a moment later. */
  readonly last: number;
  readonly isDaemonKilled: boolean;
  readonly lent: Readonly<Record<string, string>>;
}

/** How many puts an engine told of until it was killed, a moment after so many of them. */
async function killAt(home: DaemonHome, { last, isDaemonKilled, lent }: Kill): Promise<number> {
  const killed: Promise<unknown>[] = [];
  let engine = 0;
  const onLine = (line: string): undefined => {
    engine = Number(/^engine (\d+) /.exec(line)?.[1] ?? engine);
    if (line !== `accepted ${last}`) return;
    if (isDaemonKilled) killed.push(home.daemon().stop('SIGKILL'));
    process.kill(engine, 'SIGKILL');
  };
  const end = await runProgram(await buildAbiTest(), ['saving'], {
    environment: { ...home.unix, ...lent },
    onLine,
  });
  await Promise.all(killed);
  assert.equal(end.signal, 'SIGKILL', end.lines.concat(end.notes).join('\n'));
  const accepted = end.lines.filter((line) => line.startsWith('accepted ')).length;
  assert(accepted >= last);
  return accepted;
}
