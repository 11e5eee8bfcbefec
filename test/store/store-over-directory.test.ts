import { after } from 'node:test';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { kvStoreSuite } from '../conformance/kv-store-suite.ts';
import { inProcessHarness } from '../support/in-process-world.ts';

const harness = inProcessHarness((directory) =>
  openObjectStore(`file://${directory}`, nodePlatform()),
);
after(() => harness.close());

kvStoreSuite('store in process over a directory', harness);
