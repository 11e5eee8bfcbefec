import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { chainOf } from '../../test/support/chains.ts';
import { openGuardedDaemon } from '../../test/support/guarded-daemon.ts';
import type { GuardedDaemon } from '../../test/support/guarded-daemon.ts';
import { parsePrometheus } from '../../test/support/prometheus.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { CallMeter } from './call-meter.ts';
import { MeteredStore } from './metered-store.ts';

let rig: GuardedDaemon;
let meter: CallMeter;
let store: MeteredStore;

before(async () => {
  rig = await openGuardedDaemon();
  meter = new CallMeter(nodePlatform().clock);
  store = new MeteredStore(rig.store, meter);
});
after(() => rig.close());

/** The value of the sample with these labels; 0 when there is none. */
function valueOf(name: string, labels: Readonly<Record<string, string>> = {}): number {
  const family = parsePrometheus(meter.render()).find((one) => one.name === name);
  const found = family?.metrics.find(({ labels: own = {} }) =>
    Object.entries(labels).every(([label, value]) => own[label] === value),
  );
  return Number(found?.value ?? 0);
}

const chain = chainOf('metered-store', 3, 1000);

describe('a metered store', () => {
  it('counts calls by verb and by how they ended', async () => {
    await store.save(chain.blocks);
    await store.lookup(chain.keys);
    await store.lookup(chain.keys);
    const aborted = { signal: AbortSignal.abort() };
    await assert.rejects(store.lookup(chain.keys, aborted), { code: 'ABORTED' });
    const calls = 'wombatkv_calls_total';
    assert.equal(valueOf(calls, { verb: 'save', outcome: 'ok' }), 1);
    assert.equal(valueOf(calls, { verb: 'lookup', outcome: 'ok' }), 2);
    assert.equal(valueOf(calls, { verb: 'lookup', outcome: 'aborted' }), 1);
    assert.equal(valueOf('wombatkv_calls'), 0);
    assert.match(meter.render(), /^wombatkv_call_seconds_count\{verb="lookup"\} 3$/m);
  });

  it('counts what is on loan until it is released, once', async () => {
    const borrow = await store.load(chain.keys);
    await store.saveRawTail(chain.keys[0], new Uint8Array(50));
    const tail = await store.loadRawTail(chain.keys[0]);
    assert.deepEqual([valueOf('wombatkv_pins'), valueOf('wombatkv_pinned_bytes')], [4, 3050]);
    borrow.release();
    borrow.release();
    assert.deepEqual([valueOf('wombatkv_pins'), valueOf('wombatkv_pinned_bytes')], [1, 50]);
    tail?.release();
    assert.deepEqual([valueOf('wombatkv_pins'), valueOf('wombatkv_pinned_bytes')], [0, 0]);
    assert.match(meter.render(), /^wombatkv_load_seconds_count\{tier="(?:memory|disk)"\} \d+$/m);
  });

  it('gives what the store gives, an absent tail and an empty load too', async () => {
    assert.equal(await store.loadRawTail(chain.keys[2]), undefined);
    const empty = await store.load(chainOf('metered-store/absent', 1).keys);
    assert.deepEqual([empty.blocks.length, empty.reason], [0, 'unknown']);
    empty.release();
    assert.equal(valueOf('wombatkv_pins'), 0);
    assert.equal((await store.stats()).saved, (await rig.store.stats()).saved);
  });
});
