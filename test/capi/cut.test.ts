import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CuttingRelay } from '../support/cutting-relay.ts';
import { buildAbiTest, reportTests, runProgram, withoutTestCompiler } from './c-program.ts';
import { startDaemonHome } from './daemon-home.ts';

/**
 * Goal: a wire that goes off in the middle of a batch fails no more than the calls that need it, in time, and the call after it
 * succeeds without the engine doing anything. Method: a relay between the C library and a real daemon that cuts connections
 * in a body, and refuses them from then on until it is told.
 */
const skip = withoutTestCompiler();

for (const door of ['tcp', 'http'] as const) {
  test(`a wire that is cut, over ${door}`, { skip }, async (context) => {
    const home = await startDaemonHome({ sharesMemory: false });
    const variable = { tcp: 'WMBT_KV_TCP_ADDR', http: 'WMBT_KV_HTTP_ADDR' }[door];
    const port = Number(home[door][variable]?.split(':')[1]);
    const relay = new CuttingRelay(port);
    // Of a batch of 4,000,000 bytes.
    relay.afterBytes = 1_000_000;
    const address = (await relay.listen()).replace('tcp://', '');
    const arm = (kind: 'in-request-body' | 'in-answer-body', goesOff: boolean): void => {
      relay.cut = kind;
      relay.goesOff = goesOff;
    };
    const acts: Readonly<Record<string, () => void>> = {
      'cut request': () => arm('in-request-body', false),
      'cut answer': () => arm('in-answer-body', false),
      'off request': () => arm('in-request-body', true),
      'off answer': () => arm('in-answer-body', true),
      on: () => void (relay.isOff = false),
      'was cut': () => assert.equal(relay.cut, 'none', 'the batch passed whole'),
    };
    const onLine = (line: string): Promise<void> | undefined =>
      line in acts ? Promise.resolve().then(() => acts[line]?.()) : undefined;
    try {
      const environment = { ...home[door], [variable]: address };
      await reportTests(
        context,
        await runProgram(await buildAbiTest(), ['cut'], { environment, onLine }),
      );
      const { counts } = relay;
      assert.deepEqual([counts['in-request-body'], counts['in-answer-body']], [3, 4]);
    } finally {
      relay.close();
      await home.close();
    }
  });
}
