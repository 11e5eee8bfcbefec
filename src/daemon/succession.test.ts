import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { makeTemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { TemporaryDirectory } from '../../test/support/temporary-directory.ts';
import type { Clock } from '../platform/clock.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { nodeVisits } from '../platform/node-visits.ts';
import { Succession } from './succession.ts';

const platform = nodePlatform();
let directory: TemporaryDirectory;

interface SuccessionOptions {
  readonly url?: string;
  readonly clock?: Clock;
}

function successionIn(cacheDirectory: string, options: SuccessionOptions = {}): Succession {
  const { url = 's3://bucket', clock = platform.clock } = options;
  const parts = { platform: { ...platform, clock }, visits: nodeVisits };
  return new Succession({ ...parts, cacheDirectory, identity: { url, keyPrefix: 'kv' } });
}

describe('Succession', () => {
  beforeEach(async () => {
    directory = await makeTemporaryDirectory('succession');
  });
  afterEach(() => directory.remove());

  it('waits for a process that drains until it has ended', async () => {
    const old = successionIn(directory.path);
    const order: string[] = [];
    await old.listen(() => {
      order.push('asked');
      setTimeout(() => {
        order.push('ended');
        void old.end();
      }, 50);
      return true;
    });
    await successionIn(directory.path).ask();
    order.push('went on');
    assert.deepEqual(order, ['asked', 'ended', 'went on']);
    assert.deepEqual(readdirSync(directory.path), [], 'its socket is gone');
  });

  it('goes on beside a process that serves, and leaves its socket', async () => {
    const other = successionIn(directory.path);
    let asked = 0;
    await other.listen(() => {
      asked += 1;
      return false;
    });
    await successionIn(directory.path).ask();
    await successionIn(directory.path).ask();
    assert.equal(asked, 2);
    assert.equal(readdirSync(directory.path).length, 1);
    await other.end();
  });

  it('does not ask processes with another object store', async () => {
    const other = successionIn(directory.path, { url: 's3://another' });
    await other.listen(() => assert.fail('it is asked'));
    await successionIn(directory.path).ask();
    await other.end();
  });

  it('removes the sockets of the dead, once they are old', async () => {
    const other = successionIn(directory.path);
    await other.listen(() => false);
    const [name = ''] = readdirSync(directory.path);
    await other.end();
    // A file to which nobody listens refuses connections, as the socket of a dead process does.
    const path = join(directory.path, name);
    writeFileSync(path, '');
    await successionIn(directory.path).ask();
    assert.deepEqual(readdirSync(directory.path), [name], 'it may be about to listen');
    const { clock } = platform;
    const later = { ...clock, wallMs: () => clock.wallMs() + 60_000 };
    await successionIn(directory.path, { clock: later }).ask();
    assert.deepEqual(readdirSync(directory.path), []);
  });

  it('asks nobody where there is no cache directory yet', async () => {
    await successionIn(join(directory.path, 'absent')).ask();
  });
});
