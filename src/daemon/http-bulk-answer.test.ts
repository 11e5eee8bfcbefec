import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBlockKey } from '../blocks/block-key.ts';
import { DaemonCounters } from './daemon-counters.ts';
import { bulkAnswer } from './http-bulk-answer.ts';
import { HttpMetrics } from './http-metrics.ts';
import { PinnedBytes } from './pinned-bytes.ts';

const zero = (): number => 0;

describe('an answer with payloads on loan', () => {
  for (const isMade of [true, false]) {
    it(`gives them back when it is ${isMade ? 'sent' : 'one that cannot be made'}`, () => {
      const gauges = { connections: zero, bodyBytes: zero, bodiesWaiting: zero };
      const metrics = new HttpMetrics(gauges);
      const account = { pins: new PinnedBytes(1000) };
      const parts = { metrics, wire: undefined, counters: new DaemonCounters() };
      let released = 0;
      const key = parseBlockKey('ab'.repeat(32));
      const facts = { tokens: 1, position: undefined, hasDecodedTokens: false, tier: undefined };
      const loan = {
        payloads: [{ ...facts, key, payload: new Uint8Array(500), checksum: 0 }],
        // JSON has no way to write the other one.
        attributes: { reason: isMade ? 'unknown' : 1n },
        release: () => void (released += 1),
      };
      const made = (): void => {
        const answer = bulkAnswer(parts, { account }, loan, false);
        assert.deepEqual([account.pins.bytes, metrics.pinned, released], [500, 1, 0]);
        answer.release?.();
      };
      if (isMade) made();
      else assert.throws(made, TypeError);
      assert.deepEqual([account.pins.bytes, metrics.pinned, released], [0, 0, 1]);
    });
  }
});
