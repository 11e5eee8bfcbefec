import { after, describe } from 'node:test';
import { kvStoreSuite } from '../../test/conformance/kv-store-suite.ts';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { daemonHarness } from '../../test/support/daemon-world.ts';
import { openObjectStore } from '../objectstore/open-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';

const skip = withoutNative();
describe('with shared memory that the client cannot map', { skip }, () => {
  const harness = daemonHarness(
    (directory) => openObjectStore(`file://${directory}`, nodePlatform()),
    'shm',
    { native: 'off' },
  );
  after(() => harness.close());

  kvStoreSuite('client without native code of a daemon that shares its memory', harness);
});
