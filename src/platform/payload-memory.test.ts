import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isStoreError } from '../base/errors.ts';
import { needMemory, processMemory } from './payload-memory.ts';

/** More than any machine has, and less than the longest that there may be. */
const tooMany = 2 ** 46;

describe('memory for payloads', () => {
  it('is shared memory of that length', () => {
    const bytes = processMemory.take(4097);
    assert.equal(bytes?.length, 4097);
    assert.ok(bytes.buffer instanceof SharedArrayBuffer);
    assert.equal(needMemory(processMemory, 0).length, 0);
  });

  it('is none, and no error, when the system has none', () => {
    assert.equal(processMemory.take(tooMany), undefined);
  });

  it('where it is needed, is BUSY with the number of bytes', () => {
    assert.throws(
      () => needMemory(processMemory, tooMany),
      (error) => isStoreError(error, 'BUSY') && error.message.includes(String(tooMany)),
    );
  });
});
