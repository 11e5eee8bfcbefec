import { after } from 'node:test';
import { kvStoreSuite } from '../../test/conformance/kv-store-suite.ts';
import { daemonHarness } from '../../test/support/daemon-world.ts';
import { openObjectStore } from '../objectstore/open-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';

// Every case once; the slow suites run all of them over each kind of socket.
const harness = daemonHarness(
  (directory) => openObjectStore(`file://${directory}`, nodePlatform()),
  (world) => (world % 2 === 0 ? 'unix' : 'tcp'),
);
after(() => harness.close());

kvStoreSuite('client of a daemon, Unix and TCP in turn', harness);
