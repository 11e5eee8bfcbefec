import { after } from 'node:test';
import { kvStoreSuite } from '../../test/conformance/kv-store-suite.ts';
import { inProcessHarness } from '../../test/support/in-process-world.ts';
import { openObjectStore } from '../objectstore/open-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';

const harness = inProcessHarness((directory) =>
  openObjectStore(`file://${directory}`, nodePlatform()),
);
after(() => harness.close());

kvStoreSuite('store in process over a directory', harness);
