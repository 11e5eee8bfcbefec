import { after } from 'node:test';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { kvStoreSuite } from '../conformance/kv-store-suite.ts';
import { tlsHarness } from '../support/tls-world.ts';

for (const door of ['tls', 'https'] as const) {
  const harness = tlsHarness(
    (directory) => openObjectStore(`file://${directory}`, nodePlatform()),
    door,
  );
  after(() => harness.close());
  kvStoreSuite(`client of a daemon over ${door} with a token`, harness);
}
