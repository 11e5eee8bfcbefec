import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertRejects } from '../../test/conformance/kv-store-steps.ts';
import { chainOf } from '../../test/support/chains.ts';
import { ProcessGate } from '../../test/support/process-gate.ts';
import { rawTranscoder } from '../../test/support/raw-transcoder.ts';
import { BucketSwitch, switchedBucket } from '../../test/support/switched-bucket.ts';
import { withTimeLimit } from '../../test/support/waiting.ts';
import { silentLogger } from '../base/logger.ts';
import { parseNamespace } from '../blocks/namespace.ts';
import { MemoryObjectStore } from '../objectstore/memory-object-store.ts';
import { nodePlatform } from '../platform/node-platform.ts';
import { assembleStore } from './assemble-store.ts';

/** Far below what a delete has without a cap, a minute, and far above what this machine needs for it. */
const capMs = 500;

it('a delete on a bucket that never answers ends by the cap on all calls but flush', async () => {
  const faults = new BucketSwitch();
  const platform = nodePlatform();
  const bucket = new MemoryObjectStore(platform.clock);
  const objects = switchedBucket(bucket, faults, new ProcessGate());
  const budgets = { memoryBytes: 2 ** 24, diskBytes: 0, objectStoreBytesMax: false } as const;
  const deadlines = { lookupDeadlineMs: 250, loadDeadlineMs: 9000, callDeadlineMsMax: capMs };
  const compression = { compression: 'off', compressionLevel: 1 } as const;
  const namespace = parseNamespace('default');
  const places = { namespace, keyPrefix: 'kv/test', cacheDirectory: false } as const;
  const store = await assembleStore({
    ...{ platform, logger: silentLogger, objects, transcoder: rawTranscoder },
    settings: { ...budgets, ...deadlines, ...compression, ...places, putDurable: false },
  });
  const { keys, blocks } = chainOf('capped', 1, 5000);
  await store.save(blocks, { durable: true, deadlineMs: 9000 });
  await faults.setMode('slow');
  await withTimeLimit(30_000, 'delete', () =>
    assertRejects(() => store.delete({ kind: 'blocks', keys }), 'ABORTED'),
  );
  await faults.setMode('none');
  assert.deepEqual(await store.delete({ kind: 'blocks', keys }), { objects: 1 });
  await store.close();
});
