import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { blockKeyLength } from './block-key.ts';
import { limits } from './limits.ts';

describe('limits', () => {
  it('are positive, and whole numbers but for shares', () => {
    for (const [name, value] of Object.entries(limits)) {
      assert.ok(value > 0, name);
      if (name.endsWith('Share')) assert.ok(value < 1, name);
      else assert.ok(Number.isSafeInteger(value), name);
    }
  });

  it('the largest block is a multiple of the unit', () => {
    assert.equal(limits.blockTokensMax % limits.blockTokensUnit, 0);
  });

  it('a frame with all its following keys fits what a lookup reads', () => {
    const fixedBytes = 192;
    const keyBytes = blockKeyLength / 2;
    assert.ok(fixedBytes + limits.followingKeysMax * keyBytes <= limits.frameHeaderBytesMax);
  });

  it('an object key has room for a tail of an escaped namespace under a long prefix', () => {
    const escapedNamespace = 3 * limits.namespaceBytesMax;
    const tail = 'wombatkv/v2/tail/'.length + 2 * blockKeyLength + '/4294967295-'.length;
    const prefixBytes = 256;
    assert.ok(prefixBytes + escapedNamespace + tail < limits.objectKeyBytesMax);
  });

  it('extents, slabs and segments divide one another', () => {
    assert.equal(limits.slabBytes % limits.extentBytesUnit, 0);
    assert.equal(limits.largeExtentBytesUnit % limits.extentBytesUnit, 0);
    assert.equal(limits.largeExtentBytesMin % limits.largeExtentBytesUnit, 0);
    assert.equal(limits.segmentBytes % limits.extentBytesUnit, 0);
  });

  it('a length fits the 32 bits that formats and arrays give it', () => {
    for (const bytes of [limits.payloadBytesMax, limits.segmentBytes, limits.slabBytes]) {
      assert.ok(bytes < 2 ** 32);
    }
    assert.ok(limits.blockTokensMax < 2 ** 32);
  });

  it('one payload fits the backlog, and one turn is less than one payload', () => {
    assert.ok(limits.payloadBytesMax <= limits.backlogBytesMax);
    assert.ok(limits.turnBytesMax <= limits.payloadBytesMax);
  });

  it('retries wait longer and longer, and less than an attempt may take', () => {
    assert.ok(limits.uploadRetryFirstMs < limits.uploadRetryMostMs);
    assert.ok(limits.uploadRetryMostMs <= limits.uploadAttemptMs);
    assert.ok(limits.collectRetryFirstMs < limits.collectRetryMostMs);
  });

  it('what is remembered to be absent is forgotten before what is remembered to be corrupt', () => {
    assert.ok(limits.negativeMs < limits.corruptMs);
  });

  it('a list of following keys that counts as short can be shorter than a full one', () => {
    assert.ok(limits.shortListsBeforeProbing < limits.followingKeysMax);
  });

  it('a collection that frees its target leaves time until the next', () => {
    assert.ok(limits.collectLookMs < limits.collectListMs);
    assert.ok(limits.collectTurnObjectsMax < limits.collectObjectsMax);
    assert.ok(limits.collectReportObjects < limits.collectObjectsMax);
  });

  it('the workers have room for a queue of more than the calls in flight', () => {
    const uploads = limits.uploadsInFlightMax + limits.smallUploadsInFlightMax;
    const inFlight = limits.loadsInFlightMax + uploads;
    assert.ok(limits.workersMax <= inFlight && inFlight <= limits.workerTasksMax);
  });
});
