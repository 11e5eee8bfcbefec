import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runTalk } from './shared-talk.ts';

const seedCount = 300;
/** Requests by which a talk that was saved in 40 turns of 2 blocks is found. */
const turnRequestsMax = 20;
const lookupMs = 250;

// Goal: a host that knows nothing finds exactly what is durable of a talk that two hosts saved in overlapping parts
// before they died, in few requests, from a bucket that is 30 ms away. Method: real stores, killed at random by
// seed; the bucket itself says which leading blocks it has, and each loaded byte is one that somebody saved.
it(`overlapping saves of hosts that die are found to the block, in ${seedCount} worlds`, async (t) => {
  const sums = {
    kills: 0,
    holes: 0,
    tooHopeful: 0,
    cutShort: 0,
    whole: 0,
    none: 0,
    requestsMost: 0,
  };
  for (let seed = 0; seed < seedCount; seed += 1) {
    const found = await runTalk(seed);
    const { form, durable, hasHole, length, matched, requests } = found;
    const what = `seed ${seed}: ${JSON.stringify(found)}`;
    assert.deepEqual(found.failures, [], what);
    assert.ok(found.isEndThere, what);
    // Of many short pieces not all may be learnt in time.
    const isCutOff = form === 'pieces' && found.ms === lookupMs;
    assert.ok(matched >= durable || isCutOff, what);
    // Which blocks are missing before others that are there, nobody can tell who does not ask for each.
    if (!hasHole && !isCutOff) assert.equal(matched, durable, what);
    // What a load meets is known from then on.
    assert.equal(found.loaded, durable, what);
    assert.equal(found.matchedAgain, durable, what);
    assert.ok(found.ms <= lookupMs, what);
    if (form === 'turns') assert.ok(requests <= turnRequestsMax, what);
    if (form === 'one go') assert.ok(requests <= 3 + durable / 64, what);
    sums.kills += found.kills;
    sums.holes += Number(hasHole);
    sums.tooHopeful += Number(matched > durable);
    sums.cutShort += Number(durable > 0 && durable < length);
    sums.whole += Number(durable >= length);
    sums.none += Number(durable === 0);
    sums.requestsMost = Math.max(sums.requestsMost, requests);
  }
  t.diagnostic(JSON.stringify(sums));
  assert.ok(sums.kills >= 2 * seedCount, `${sums.kills} kills`);
  assert.ok(sums.cutShort >= seedCount / 10 && sums.whole >= seedCount / 10, 'ends of every kind');
});
