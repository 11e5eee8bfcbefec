import assert from 'node:assert/strict';
import { it } from 'node:test';
import { join } from 'node:path';
import { withoutNative } from '../support/c-compiler.ts';
import { keyOf } from '../support/cached-payloads.ts';
import { flip, LivesOfTiers } from '../support/lives-of-tiers.ts';

/** Bytes of a record's header with a namespace of 6 letters (docs/FORMAT.md), and where the payload begins. */
const headerBytes = 170;
const payloadAt = 2304;
const payloadBytes = 5000;
/** Changes of a header, of a payload, and of the list of keys that follow, each by one bit. */
const changes = [
  ...Array.from({ length: headerBytes }, (_, at) =>
    [1, 16, 128].map((bits) => ({ at, bits, isKept: false })),
  ).flat(),
  ...Array.from({ length: 500 }, (_, nth) => ({
    at: payloadAt + 10 * nth + (nth % 10),
    bits: 1 << (nth % 8),
    isKept: false,
  })),
  ...Array.from({ length: 36 }, (_, nth) => ({
    at: 256 + nth,
    bits: 1 << (nth % 8),
    isKept: true,
  })),
];

// Goal: no changed byte of what a dead store left in memory gets out, each is counted once, and the payloads beside
// are not harmed; and that commands find the same. Method: a life saves three blocks and dies, one bit of the second one's extent is
// changed, commands look, and the next life is asked for all three; a thousand times.
it(
  `memory of a dead store, changed ${changes.length} times: none undetected, each counted once`,
  { skip: withoutNative() },
  async (context) => {
    let [dropped, kept] = [0, 0];
    for (const { at, bits, isKept } of changes) {
      const tiers = await LivesOfTiers.begin();
      try {
        const first = await tiers.open();
        await tiers.save(first, 'a', { bytes: payloadBytes });
        await tiers.die(first);
        await flip(join(first.directory ?? '', 'segment-0'), at, keyOf('a/1'), bits);
        const what = `byte ${at}, bits ${bits}`;
        const audit = await tiers.audit();
        const kind = isKept ? 'keys' : at < headerBytes ? 'header' : 'payload';
        assert.deepEqual(
          audit.damages.map((damage) => [damage.kind, damage.isLost]),
          [[kind, !isKept]],
          what,
        );
        const intact = audit.payloads.filter(({ isIntact }) => isIntact);
        assert.equal(intact.length, isKept ? 3 : 2, what);
        const next = await tiers.open();
        assert.equal(next.damagedInMemory, 1, what);
        assert.deepEqual(
          [0, 1, 2].map((index) => tiers.hasBlock(next, `a/${index}`)),
          [true, isKept, true],
          what,
        );
        await tiers.assertPending(next, 'a', isKept ? 3 : 1, payloadBytes);
        if (isKept) kept += 1;
        else dropped += 1;
      } finally {
        await tiers.end();
      }
    }
    context.diagnostic(`${dropped} payloads dropped, ${kept} kept without the keys that follow`);
  },
);
