/*
 * A process that opens the object store of its settings as every command does, and puts and gets an object each time that
 * it is told to. What it is told is how far its clock is ahead; what it tells is how that went.
 */
import { messageOf, isStoreError } from '../../src/base/errors.ts';
import { configFromEnvironment } from '../../src/config/environment.ts';
import { openBucket } from '../../src/open-bucket.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

/** What the process tells of one round. */
export interface BucketRound {
  readonly outcome: 'done' | 'failed';
  readonly code: string | undefined;
  readonly message: string;
}

const real = nodePlatform();
let aheadMs = 0;
const platform = { ...real, clock: { ...real.clock, wallMs: () => real.clock.wallMs() + aheadMs } };
const bucket = await openBucket(configFromEnvironment(real.environment, real.host), platform);
const key = parseObjectKey('kv/round');

async function round(): Promise<BucketRound> {
  try {
    const bytes = new TextEncoder().encode(`round at ${aheadMs}`);
    await bucket.put(key, [bytes]);
    const body = await bucket.get(key);
    const isSame = Buffer.from(bytes).equals(body?.bytes ?? new Uint8Array(0));
    return { outcome: isSame ? 'done' : 'failed', code: undefined, message: '' };
  } catch (error) {
    const code = isStoreError(error) ? error.code : undefined;
    return { outcome: 'failed', code, message: messageOf(error) };
  }
}

process.on('message', (ahead: number) => {
  aheadMs = ahead;
  void round().then((told) => process.send?.(told));
});
process.on('disconnect', () => void bucket.close());
