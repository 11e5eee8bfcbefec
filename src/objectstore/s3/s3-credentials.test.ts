import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../../test/support/manual-clock.ts';
import { isStoreError } from '../../base/errors.ts';
import { objectLimits } from '../object-limits.ts';
import { CredentialCache } from './s3-credentials.ts';

test('credentials that a place does not give in time are UNAVAILABLE, and are asked for again', async () => {
  const clock = new ManualClock();
  const pair = { accessKeyId: 'a', secretAccessKey: 'b' };
  let asked = 0;
  const cache = new CredentialCache(() => {
    asked += 1;
    return asked === 1 ? new Promise(() => undefined) : Promise.resolve(pair);
  }, clock);
  const late = cache.get().catch((error: unknown) => error);
  clock.advance(objectLimits.s3CredentialsMs);
  const error = await late;
  assert.ok(isStoreError(error, 'UNAVAILABLE'));
  assert.match(error.message, /^no S3 credentials: nobody gave any within 15000 ms$/);
  assert.deepEqual(await cache.get(), pair);
});
