import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deferred } from '../base/deferred.ts';
import { StoreError } from '../base/errors.ts';
import { IntakeMemory } from './intake-memory.ts';
import { PayloadArrivals } from './payload-arrivals.ts';

/** Memory that tells what of it was given back. */
class Pool {
  readonly out = new Set<Uint8Array>();
  isEmpty = false;

  take(length: number): Uint8Array {
    if (this.isEmpty) throw new StoreError('BUSY', 'no memory');
    const payload = new Uint8Array(length);
    this.out.add(payload);
    return payload;
  }

  give(payload: Uint8Array): void {
    assert.ok(this.out.delete(payload), 'what is given back was taken, once');
  }
}

function arrivalsOf(lengths: readonly number[]): {
  readonly pool: Pool;
  readonly arrivals: PayloadArrivals;
} {
  const pool = new Pool();
  const expected = lengths.map((length, index) => ({ index, length }));
  const groups = [{ end: lengths.length, bytes: lengths.reduce((sum, one) => sum + one, 0) }];
  const memory = new IntakeMemory({ lease: () => undefined }, pool);
  return { pool, arrivals: new PayloadArrivals(memory, { expected, groups }) };
}

describe('payloads of a save over HTTP', () => {
  for (const isWhole of [true, false]) {
    const when = isWhole ? 'before' : 'after';
    it(`that came ${when} the save ended keep their memory while a thread may write there`, async () => {
      const { pool, arrivals } = arrivalsOf([10, 20]);
      const checking = deferred<void>();
      arrivals.take(0);
      if (isWhole) arrivals.came(0, 1, checking.promise);
      arrivals.finish();
      if (!isWhole) arrivals.came(0, 1, checking.promise);
      await Promise.resolve();
      assert.equal(pool.out.size, 1);
      // What becomes of the check does not matter: the thread has let go.
      checking.reject(new Error('no payload'));
      await assert.rejects(checking.promise);
      await Promise.resolve();
      assert.equal(pool.out.size, 0);
    });
  }

  it('are refused with BUSY where there is no memory for one, and it is dropped with the rest', async () => {
    const { pool, arrivals } = arrivalsOf([10, 20, 30]);
    assert.ok(arrivals.take(0) !== undefined);
    arrivals.came(0, 1);
    pool.isEmpty = true;
    const coming = arrivals.nextGroup();
    assert.equal(arrivals.take(1), undefined);
    pool.isEmpty = false;
    assert.equal(arrivals.take(2), undefined);
    await assert.rejects(coming, { code: 'BUSY' });
    await assert.rejects(arrivals.nextGroup(), { code: 'BUSY' });
    arrivals.finish();
    arrivals.close();
    await Promise.resolve();
    assert.equal(pool.out.size, 0);
  });

  it('that break off give back what was coming', () => {
    const { pool, arrivals } = arrivalsOf([10, 20]);
    arrivals.take(0);
    arrivals.finish();
    arrivals.close();
    assert.equal(pool.out.size, 0);
  });
});
