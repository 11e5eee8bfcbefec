import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildAbiTest, runProgram, withoutTestCompiler } from './c-program.ts';
import { hostilePeers, listenAs } from './hostile-peers.ts';

/**
 * Goal: whatever listens at the address, calls of the C library end in time, with a failure that says
 * why, touch no result, and take no memory for what is only claimed.
 */
describe('the C library and a peer that', { skip: withoutTestCompiler() }, () => {
  for (const peer of hostilePeers) {
    it(peer.name, async () => {
      const program = await buildAbiTest();
      const listening = await listenAs(peer);
      try {
        const environment = {
          WMBT_KV_TCP_ADDR: listening.address,
          // What is only claimed would not fit; a sanitizer's own memory is another matter.
          ASAN_OPTIONS: 'hard_rss_limit_mb=600',
        };
        const end = await runProgram(program, ['hostile'], { environment, timeoutMs: 60_000 });
        const shown = `${end.lines.join('\n')}\n${end.notes}`;
        assert.equal(end.status, 0, `${String(end.signal)}: ${shown}`);
        assert.match(shown, peer.said);
        const isOpened = end.lines.some((line) => line.startsWith('lookup -1 '));
        assert.equal(isOpened, peer.greeting === undefined, shown);
      } finally {
        await listening.close();
      }
    });
  }
});
