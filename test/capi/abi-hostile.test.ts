import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/waiting.ts';
import { buildAbiTest, runProgram, withoutTestCompiler } from './c-program.ts';
import { busyPeer, hostilePeers, listenAs } from './hostile-peers.ts';
import { hostileHttpPeers, listenAsHttp } from './http-peers.ts';

/** Runs the calls against what listens there; every one fails, and says so. */
async function callInVain(
  variable: 'WMBT_KV_TCP_ADDR' | 'WMBT_KV_HTTP_ADDR',
  address: string,
  expected: { readonly said: RegExp; readonly isOpened: boolean },
): Promise<void> {
  const environment = {
    [variable]: address,
    // What is only claimed would not fit; a sanitizer's own memory is another matter.
    ASAN_OPTIONS: 'hard_rss_limit_mb=600',
  };
  const program = await buildAbiTest();
  const end = await runProgram(program, ['hostile'], { environment, timeoutMs: 60_000 });
  const shown = `${end.lines.join('\n')}\n${end.notes}`;
  assert.equal(end.status, 0, `${String(end.signal)}: ${shown}`);
  assert.match(shown, expected.said);
  const isOpened = end.lines.some((line) => line.startsWith('lookup -1 '));
  assert.equal(isOpened, expected.isOpened, shown);
}

/**
 * Goal: whatever listens at the address, calls of the C library end in time, with a failure that says
 * why, touch no result, and take no memory for what is only claimed.
 */
describe('the C library and a peer that', { skip: withoutTestCompiler() }, () => {
  for (const peer of hostilePeers) {
    it(peer.name, async () => {
      const listening = await listenAs(peer);
      try {
        const isOpened = peer.greeting === undefined;
        await callInVain('WMBT_KV_TCP_ADDR', listening.address, { said: peer.said, isOpened });
      } finally {
        await listening.close();
      }
    });
  }
});

describe('the C library and a peer over HTTP that', { skip: withoutTestCompiler() }, () => {
  for (const peer of hostileHttpPeers) {
    it(peer.name, async () => {
      const listening = await listenAsHttp(peer);
      try {
        const isOpened = peer.greet === undefined;
        await callInVain('WMBT_KV_HTTP_ADDR', listening.address, { said: peer.said, isOpened });
      } finally {
        await listening.close();
      }
    });
  }
});

it(
  'calls with payloads leave connections to lookups',
  { skip: withoutTestCompiler() },
  async () => {
    const program = await buildAbiTest();
    let saves = 0;
    const peer = busyPeer(() => (saves += 1));
    const listening = await listenAs(peer);
    try {
      const onLine = (line: string): Promise<void> | undefined =>
        line === 'puts wait'
          ? eventually('eight puts', () => Promise.resolve(saves === 8))
          : undefined;
      const environment = { WMBT_KV_TCP_ADDR: listening.address };
      const { status, lines, notes } = await runProgram(program, ['reserve'], {
        environment,
        onLine,
      });
      assert.equal(status, 0, `${lines.join('\n')}\n${notes}`);
    } finally {
      await listening.close();
    }
  },
);
