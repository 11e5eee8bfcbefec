import { after } from 'node:test';
import { kvStoreSuite } from '../../test/conformance/kv-store-suite.ts';
import { daemonHarness } from '../../test/support/daemon-world.ts';
import { openObjectStore } from '../objectstore/open-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';

const harness = daemonHarness(
  (directory) => openObjectStore(`file://${directory}`, nodePlatform()),
  'http',
  { wireCompression: 'on' },
);
after(() => harness.close());

kvStoreSuite('client of a daemon over HTTP, every payload compressed', harness);
