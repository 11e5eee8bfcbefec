import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Payback } from './payback.ts';

/** Bytes of KV per token of a model of 0.5 B parameters, and what it takes on one core of a CPU. */
const bytesPerToken = 12_288;
const decodeMs = 110;
const prefillMsPerToken = 15;

describe('Payback', () => {
  it('expects an eighth of a decode step for a token on a CPU, a fiftieth on a GPU', () => {
    assert.equal(new Payback(80, false).prefillMs(100), 1000);
    assert.equal(new Payback(50, true).prefillMs(100), 100);
  });

  it('takes the first measurement of a prefill as it is, and then a share of each', () => {
    const payback = new Payback(decodeMs, false);
    payback.notePrefill(100, 2000);
    assertNear(payback.prefillMs(1), 20);
    payback.notePrefill(100, 1000);
    assertNear(payback.prefillMs(1), 20 * 0.7 + 10 * 0.3);
  });

  it('does not measure batches of less than 64 tokens, which cost more for each', () => {
    const payback = new Payback(80, false);
    payback.notePrefill(63, 100_000);
    assert.equal(payback.prefillMs(1), 10);
    payback.notePrefill(64, 64);
    assertNear(payback.prefillMs(1), 1);
  });

  describe('planLookup()', () => {
    const cases: readonly [tokens: number, pays: boolean, deadlineMs: number][] = [
      [0, false, 8],
      [1, false, 8],
      // Two milliseconds are less than a tenth of 30.
      [2, true, 8],
      [16, true, 8],
      [128, true, 38.4],
      [1700, true, 510],
    ];
    for (const [tokens, pays, deadlineMs] of cases) {
      it(`for ${tokens} tokens: ${pays ? 'ask' : 'do not ask'}`, () => {
        const plan = measured().planLookup(tokens);
        assert.equal(plan.pays, pays);
        assertNear(plan.deadlineMs, deadlineMs);
      });
    }

    it('stops to ask a store that takes a tenth of the prefill', () => {
      const payback = measured();
      assert.ok(payback.planLookup(128).pays);
      for (let i = 0; i < 20; i += 1) payback.noteLookup(200);
      assert.ok(!payback.planLookup(128).pays);
      assert.ok(payback.planLookup(1700).pays);
    });

    it('waits two per cent of the prefill, or four times what a lookup takes', () => {
      const payback = measured();
      for (let i = 0; i < 40; i += 1) payback.noteLookup(60);
      assertNear(payback.planLookup(1700).deadlineMs, 0.02 * 1700 * prefillMsPerToken);
      assertNear(payback.planLookup(128).deadlineMs, 240);
    });

    it('asks again after a while', () => {
      const payback = measured();
      for (let i = 0; i < 20; i += 1) payback.noteLookup(2000);
      let refusals = 0;
      while (!payback.planLookup(700).pays) refusals += 1;
      assert.ok(refusals > 3 && refusals < 30, `${refusals} refusals`);
    });
  });

  describe('planRestore()', () => {
    const cases: readonly [tokens: number, pays: boolean][] = [
      [0, false],
      [1, false],
      [2, false],
      // 20 ms and a little, against half of 45, and of 75.
      [3, true],
      [5, true],
      [128, true],
      [1700, true],
    ];
    for (const [tokens, pays] of cases) {
      it(`of ${tokens} tokens: ${pays ? 'restore' : 'compute'}`, () => {
        assert.equal(measured().planRestore(tokens, tokens * bytesPerToken).pays, pays);
      });
    }

    it('counts all bytes, though only some tokens are gained', () => {
      const payback = measured();
      assert.ok(payback.planRestore(40, 1000 * bytesPerToken).pays);
      assert.ok(!payback.planRestore(6, 1000 * bytesPerToken).pays);
    });

    it('computes where computing is fast: a small model, or a graphics processor', () => {
      const small = new Payback(1, false);
      small.notePrefill(512, 20);
      assert.ok(!small.planRestore(700, 700 * 2048).pays);
      const gpu = new Payback(10, true);
      gpu.notePrefill(512, 50);
      assert.ok(!gpu.planRestore(256, 256 * bytesPerToken).pays);
      assert.ok(gpu.planRestore(8192, 8192 * bytesPerToken).pays);
    });

    it('stops after restores that were slow, and a fast prefill makes it stop earlier', () => {
      const payback = measured();
      const bytes = 700 * bytesPerToken;
      for (let i = 0; i < 10; i += 1) payback.noteRestore(bytes, 8000);
      assert.ok(!payback.planRestore(700, bytes).pays);
      const other = measured();
      for (let i = 0; i < 10; i += 1) other.noteRestore(bytes, 600);
      assert.ok(other.planRestore(700, bytes).pays);
      for (let i = 0; i < 10; i += 1) other.notePrefill(512, 512);
      assert.ok(!other.planRestore(700, bytes).pays);
    });

    it('does not blame bytes for what a restore costs without any', () => {
      const payback = measured();
      const bytes = 128 * bytesPerToken;
      const before = payback.planRestore(128, bytes).deadlineMs;
      payback.noteRestore(0, 15);
      payback.noteRestore(bytes, 10);
      assert.ok(payback.planRestore(128, bytes).deadlineMs <= before);
    });

    it('leaves time for what it expects whenever it pays, and never half of the prefill', () => {
      const ms = fc.double({ min: 0.01, max: 10_000, noNaN: true });
      const count = fc.integer({ min: 0, max: 20_000 });
      const given = fc.record({ decode: ms, prefill: ms, slow: ms, count, bytes: fc.nat(2 ** 30) });
      fc.assert(
        fc.property(given, ({ decode, prefill, slow, count, bytes }) => {
          const payback = new Payback(decode, false);
          payback.notePrefill(512, prefill);
          payback.noteRestore(1_000_000, slow);
          const { pays, deadlineMs } = payback.planRestore(count, bytes);
          const saved = payback.prefillMs(count);
          assert.ok(deadlineMs <= saved / 2);
          // The fixed part alone takes 20 ms.
          assert.ok(!pays || deadlineMs > 20);
        }),
      );
    });
  });

  describe('the allowance', () => {
    const tokens = 1700;
    const bytes = tokens * bytesPerToken;
    const coldMs = tokens * prefillMsPerToken;

    /** Prompts that come to a store at which everything hangs; resolves to what it cost in vain. */
    function hang(payback: Payback, prompts: number): number {
      let wasteMs = 0;
      for (let i = 0; i < prompts; i += 1) {
        const { pays, deadlineMs } = payback.planRestore(tokens, bytes);
        if (pays) {
          payback.noteTimeout(bytes, deadlineMs);
          payback.noteOutcome(0, deadlineMs);
          wasteMs += deadlineMs;
        }
        payback.notePrefill(tokens, coldMs);
      }
      return wasteMs;
    }

    it('bounds what a store that hangs costs: half a second, and two per cent', () => {
      for (const prompts of [1, 5, 100]) {
        const wasteMs = hang(measured(), prompts);
        const most = 500 + 0.02 * (prompts * coldMs + 512 * prefillMsPerToken);
        assert.ok(wasteMs <= most + 0.02 * coldMs, `${wasteMs} ms of ${prompts} prompts`);
      }
    });

    it('grows by what restores save, so that a slow one is waited for', () => {
      const payback = measured();
      for (let i = 0; i < 20; i += 1) {
        payback.noteRestore(bytes, 5000);
        payback.noteOutcome(tokens, 5000);
      }
      const { pays, deadlineMs } = payback.planRestore(tokens, bytes);
      assert.ok(pays);
      assert.ok(deadlineMs > 10_000 && deadlineMs <= coldMs / 2, `${deadlineMs} ms`);
    });

    it('tries a store again that was slow', () => {
      const payback = measured();
      hang(payback, 20);
      let prompts = 0;
      while (!payback.planRestore(tokens, bytes).pays) {
        payback.notePrefill(tokens, coldMs);
        prompts += 1;
      }
      assert.ok(prompts < 50, `${prompts} prompts`);
    });
  });
});

/** One whose prefill was measured. */
function measured(): Payback {
  const payback = new Payback(decodeMs, false);
  payback.notePrefill(512, 512 * prefillMsPerToken);
  return payback;
}

function assertNear(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-6 * Math.max(1, expected), `${actual}, ${expected}`);
}
