import { isStoreError } from '../../src/base/errors.ts';
import { DirectoryObjectStore } from '../../src/objectstore/directory-object-store.ts';
import { parseObjectKey } from '../../src/objectstore/object-key.ts';
import { withNative } from '../../src/platform/native.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { seededRandom } from '../support/random.ts';
import { checkedBody } from './checked-body.ts';

// Puts and deletes objects in the directory until it is killed, with native code or, for `off`, without. Prints each put that was
// acknowledged; objects whose name begins with `once` are never deleted.
const [root = '', seed = '', native = 'auto'] = process.argv.slice(2);
const platform = withNative(nodePlatform(), native === 'off' ? 'off' : 'auto');
const store = new DirectoryObjectStore(platform, root, { lockStaleMs: 1000 });
const random = seededRandom(seed);
setInterval(() => undefined, 1000);
process.stdout.write('ready\n');
for (let count = 0; ; count += 1) {
  const kind = ['once', 'again', 'gone'][random.below(3)] ?? '';
  const name = kind === 'once' ? `${seed}-${count}` : `${random.below(4)}`;
  const key = parseObjectKey(`kv/${kind}/${random.below(3)}/${name}`);
  const body = checkedBody(random.word(), 1 + random.below(200_000));
  const condition = kind === 'once' ? ({ kind: 'if-absent' } as const) : undefined;
  try {
    await store.put(key, [body.subarray(0, 1000), body.subarray(1000)], { condition });
    if (kind === 'gone') await store.delete(key);
    else process.stdout.write(`${key}\n`);
  } catch (error) {
    // On a busy machine a lock may be held for too long; that put is not acknowledged.
    if (!isStoreError(error, 'UNAVAILABLE')) throw error;
  }
}
