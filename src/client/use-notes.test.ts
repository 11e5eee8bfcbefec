import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { CallOptions } from '../blocks/kv-store.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { chainOf } from '../../test/support/chains.ts';
import { ManualClock } from '../../test/support/manual-clock.ts';
import { UseNotes } from './use-notes.ts';

const team = parseNamespace('team');
const other = parseNamespace('other');

/** A store that hears of uses, by namespace and number of keys. */
class Hearer {
  readonly heard: string[] = [];
  isAway = false;

  contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    this.heard.push(`${options?.namespace} ${keys.length}`);
    if (this.isAway) return Promise.reject(new StoreError('UNAVAILABLE', 'nobody is there'));
    return Promise.resolve(keys.map(() => true));
  }
}

function rig(): { clock: ManualClock; hearer: Hearer; uses: UseNotes } {
  const clock = new ManualClock();
  const hearer = new Hearer();
  return { clock, hearer, uses: new UseNotes(hearer, clock, team) };
}

/** Lets timers be set, and what was told be answered. */
async function settle(clock: ManualClock): Promise<void> {
  for (let i = 0; i < 8; i += 1) await clock.yield();
}

describe('notes of uses', () => {
  it('tell of each chain once, a second after the first use', async () => {
    const { clock, hearer, uses } = rig();
    const [long, short] = [chainOf('long', 5).keys, chainOf('short', 2).keys];
    uses.note(team, long);
    uses.note(team, short);
    uses.note(other, short);
    for (let i = 0; i < 100; i += 1) uses.note(team, long);
    await settle(clock);
    clock.advance(999);
    assert.deepEqual(hearer.heard, []);
    clock.advance(1);
    await settle(clock);
    assert.deepEqual(hearer.heard, ['team 2', 'other 2', 'team 5']);
    clock.advance(10_000);
    await settle(clock);
    assert.equal(hearer.heard.length, 3, 'nothing was used meanwhile');
  });

  it('tell of the chains used last when there are too many', async () => {
    const { clock, hearer, uses } = rig();
    for (let length = 1; length <= 40; length += 1) uses.note(team, chainOf('many', length).keys);
    await settle(clock);
    clock.advance(1000);
    await settle(clock);
    const expected = Array.from({ length: 32 }, (_, i) => `team ${i + 9}`);
    assert.deepEqual(hearer.heard, expected);
  });

  it('go on when the daemon was away', async () => {
    const { clock, hearer, uses } = rig();
    hearer.isAway = true;
    uses.note(team, chainOf('away', 3).keys);
    await settle(clock);
    clock.advance(1000);
    await settle(clock);
    uses.note(team, chainOf('later', 4).keys);
    await settle(clock);
    clock.advance(1000);
    await settle(clock);
    assert.deepEqual(hearer.heard, ['team 3', 'team 4']);
  });

  it('end with the client', async () => {
    const { clock, hearer, uses } = rig();
    uses.note(team, chainOf('closed', 3).keys);
    await settle(clock);
    uses.note(other, chainOf('closed too', 3).keys);
    uses.close();
    uses.note(team, chainOf('late', 3).keys);
    await settle(clock);
    clock.advance(10_000);
    assert.deepEqual(hearer.heard, []);
    assert.equal(clock.waiting, 0);
  });
});
