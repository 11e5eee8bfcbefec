import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requireCheckedBody } from '../../test/conformance/checked-body.ts';
import { inTime } from '../../test/conformance/object-store-harness.ts';
import { seededRandom } from '../../test/support/random.ts';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { DirectoryObjectStore } from './directory-object-store.ts';
import { parseObjectKey } from './object-key.ts';

const killsAtOnce = 5;
const rounds = 6;
const script = fileURLToPath(new URL('../../test/conformance/put-crash-child.js', import.meta.url));
const directory = await makeTemporaryDirectory('crash');
after(() => directory.remove());

/** When a child is killed: so many milliseconds after so many acknowledged puts; and how it puts. */
interface Instant {
  readonly puts: number;
  readonly ms: number;
  readonly native: 'auto' | 'off';
}

/** Lets a child put and delete, kills it, and gives the keys of the puts that it acknowledged. */
async function acknowledgedBeforeKill(
  root: string,
  seed: string,
  instant: Instant,
): Promise<string[]> {
  const child = spawn(process.execPath, [script, root, seed, instant.native], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const keys: string[] = [];
  const lines = createInterface({ input: child.stdout });
  const ended = once(lines, 'close');
  await once(lines, 'line');
  lines.on('line', (line) => keys.push(line));
  while (keys.length < instant.puts) await once(lines, 'line');
  await sleep(instant.ms);
  child.kill('SIGKILL');
  const [, signal] = await exited;
  assert.equal(signal, 'SIGKILL', 'the child ended before it was killed');
  await ended;
  return keys;
}

/** How many names the directory holds; none when no child came so far as to make it. */
async function namesIn(path: string): Promise<number> {
  return existsSync(path) ? (await readdir(path)).length : 0;
}

describe('DirectoryObjectStore and SIGKILL', () => {
  // Goal: no instant of a put leaves anything but a whole object or none. Method: several processes
  // work on one directory and are killed at random instants; then every listed object is read and
  // checked, and every acknowledged one must be there.
  it(`shows whole objects only after ${rounds * killsAtOnce} kills`, async (context) => {
    const root = `${directory.path}/bucket`;
    const random = seededRandom('kills');
    const acknowledged = new Set<string>();
    let leftBehind = 0;
    let read = 0;
    for (let round = 0; round < rounds; round += 1) {
      const kills = Array.from({ length: killsAtOnce }, (_, child) =>
        acknowledgedBeforeKill(root, `${round}-${child}`, {
          puts: random.below(6),
          ms: random.below(15),
          native: child % 2 === 0 ? 'auto' : 'off',
        }),
      );
      for (const keys of await Promise.all(kills)) for (const key of keys) acknowledged.add(key);
      leftBehind += (await namesIn(`${root}/.tmp`)) > 0 ? 1 : 0;
      const store = new DirectoryObjectStore(nodePlatform(), root, { lockStaleMs: 1000 });
      const { objects, isTruncated } = await store.list('');
      assert.equal(isTruncated, false);
      const names = objects.map(({ key }) => key);
      for (const name of names) assert.match(name, /^kv\/(?:once|again|gone)\/\d\/[\d-]+$/);
      for (const key of acknowledged) assert.ok(names.includes(parseObjectKey(key)), key);
      for (const { key } of objects) {
        requireCheckedBody((await store.get(key))?.bytes ?? new Uint8Array(0));
        read += 1;
      }
      // What a dead process had locked can be replaced and deleted again.
      const last = parseObjectKey('kv/again/0/0');
      await inTime(10_000, 'delete', store.delete(last));
      acknowledged.delete(last);
      await store.close();
    }
    context.diagnostic(
      `${acknowledged.size} acknowledged puts, ${read} checked reads, ` +
        `files left behind after ${leftBehind} of ${rounds} rounds`,
    );
    assert.ok(acknowledged.size > 0 && leftBehind > 0, 'the kills hit puts');
  });
});
