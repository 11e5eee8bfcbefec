import { after, describe, it } from 'node:test';
import { openObjectStore } from '../../src/objectstore/open-object-store.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';
import { basicCases } from '../conformance/kv-store-basics.ts';
import type { KvStoreCase } from '../conformance/kv-store-harness.ts';
import { tailCases } from '../conformance/kv-store-tails.ts';
import { tlsHarness } from '../support/tls-world.ts';

/** Those of which each kind of call is part; the slow suite runs all. */
const cases: readonly KvStoreCase[] = [...basicCases, ...tailCases];

for (const door of ['tls', 'https'] as const) {
  const harness = tlsHarness(
    (directory) => openObjectStore(`file://${directory}`, nodePlatform()),
    door,
  );
  after(() => harness.close());
  describe(`KvStore contract in part, over ${door}`, { concurrency: 4 }, () => {
    for (const { name, run } of cases) {
      it(name, async () => {
        const world = await harness.createWorld();
        try {
          await run(world, harness);
        } finally {
          await world.faults.setMode('none');
          await world.dispose();
        }
      });
    }
  });
}
