import { after, describe } from 'node:test';
import { kvStoreSuite } from '../../test/conformance/kv-store-suite.ts';
import { withoutNative } from '../../test/support/c-compiler.ts';
import { inProcessHarness } from '../../test/support/in-process-world.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';

describe('with saves that are accepted in memory', { skip: withoutNative() }, () => {
  const harness = inProcessHarness(() => new MemoryObjectStore(nodePlatform().clock), true);
  after(() => harness.close());

  kvStoreSuite('store in process that shares its memory', harness);
});
