import { after } from 'node:test';
import { kvStoreSuite } from '../../test/conformance/kv-store-suite.ts';
import { inProcessHarness } from '../../test/support/in-process-world.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';

const harness = inProcessHarness(() => new MemoryObjectStore(nodePlatform().clock));
after(() => harness.close());

kvStoreSuite('store in process over a bucket in memory', harness);
