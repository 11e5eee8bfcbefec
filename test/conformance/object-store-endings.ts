import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { isStoreError } from '../../src/base/errors.ts';
import { bytesOf, inTime, rejectsWith } from './object-store-harness.ts';
import type { CaseBucket, ObjectStoreCase } from './object-store-harness.ts';

/** How long a call may go on after its signal fired, on a busy machine. */
const promptMs = 1500;

/** Bytes of a body that takes several milliseconds to move. */
const bodyBytes = 8 * 1024 * 1024;

function isFilledWith(bytes: Uint8Array, value: number): boolean {
  return Buffer.alloc(bytes.length, value).equals(bytes);
}

/** Every call, with a signal. */
function allCalls(bucket: CaseBucket, signal?: AbortSignal): (() => Promise<unknown>)[] {
  const { store } = bucket;
  const key = bucket.key('object');
  return [
    () => store.put(bucket.key('new/object'), [bytesOf('bytes')], { signal }),
    () => store.put(key, [bytesOf('bytes')], { signal, condition: { kind: 'if-absent' } }),
    () => store.put(key, [], { signal, condition: { kind: 'if-match', etag: 'none' } }),
    () => store.get(key, { signal }),
    () => store.get(key, { signal, range: { offset: 1, length: 2 } }),
    () => store.head(key, { signal }),
    () => store.list(bucket.prefix, { signal }),
    () => store.delete(key, { signal }),
  ];
}

/** How calls end before their time: signals, deadlines, close. */
export const endingCases: readonly ObjectStoreCase[] = [
  {
    name: 'a signal that has fired already ends every call, and nothing happens',
    run: async (bucket) => {
      const key = await bucket.put('object', 'bytes');
      const signal = AbortSignal.abort();
      for (const call of allCalls(bucket, signal)) await rejectsWith('ABORTED', call());
      assert.equal(await bucket.text(key), 'bytes');
      assert.deepEqual(await bucket.names(), ['object']);
    },
  },
  {
    name: 'a signal that fires during a call ends it promptly',
    run: async (bucket) => {
      for (let index = 0; index < allCalls(bucket).length; index += 1) {
        await bucket.put('object', 'bytes');
        const controller = new AbortController();
        const running = allCalls(bucket, controller.signal)[index]?.();
        assert.ok(running !== undefined);
        controller.abort(new Error('enough'));
        await inTime(promptMs, `call ${index}`, rejectsWith('ABORTED', running));
      }
    },
  },
  {
    name: 'a get that is ended in mid-body writes nothing to its memory afterwards',
    run: async (bucket) => {
      const key = await bucket.put('object', new Uint8Array(bodyBytes).fill(7));
      const controller = new AbortController();
      let memory = new Uint8Array(0);
      const running = bucket.store.get(key, {
        signal: controller.signal,
        allocate: (byteLength) => {
          memory = new Uint8Array(byteLength);
          setTimeout(() => controller.abort(), 1);
          return memory;
        },
      });
      // The last bytes may have come before the signal; then the get has its result.
      await running.catch((error: unknown) => assert.ok(isStoreError(error, 'ABORTED')));
      memory.fill(1);
      await sleep(50);
      assert.ok(isFilledWith(memory, 1));
      const again = new AbortController();
      const refused = bucket.store.get(key, {
        signal: again.signal,
        allocate: (byteLength) => {
          again.abort();
          return new Uint8Array(byteLength);
        },
      });
      await inTime(promptMs, 'get', rejectsWith('ABORTED', refused));
    },
  },
  {
    name: 'a put that is ended in mid-body leaves a whole object or none, and the caller its bytes',
    run: async (bucket) => {
      for (let round = 0; round < 6; round += 1) {
        const key = bucket.key(`object-${round}`);
        const content = new Uint8Array(bodyBytes).fill(round);
        const controller = new AbortController();
        const running = bucket.store.put(key, [content], { signal: controller.signal });
        await sleep(round * 2);
        controller.abort();
        await inTime(
          promptMs,
          'put',
          running.then(
            () => undefined,
            (error: unknown) => assert.ok(isStoreError(error, 'ABORTED'), String(error)),
          ),
        );
        content.fill(255);
        await sleep(30);
        const body = await bucket.store.get(key);
        if (body === undefined) continue;
        assert.equal(body.bytes.length, content.length);
        assert.ok(isFilledWith(body.bytes, round));
      }
    },
  },
  {
    name: 'a deadline ends a caller that asks again and again',
    run: async (bucket) => {
      const key = await bucket.put('object', 'bytes');
      const controller = new AbortController();
      const { signal } = controller;
      const deadline = setTimeout(() => controller.abort(new Error('deadline')), 60);
      const askForEver = async (): Promise<never> => {
        for (;;) {
          await bucket.store.put(key, [bytesOf('bytes')], { signal });
          await bucket.store.get(key, { signal });
          await bucket.store.list(bucket.prefix, { signal });
        }
      };
      await inTime(60 + promptMs, 'the loop', rejectsWith('ABORTED', askForEver()));
      clearTimeout(deadline);
    },
  },
  {
    name: 'calls that have ended leave nothing at their signal, and it harms nobody later',
    run: async (bucket) => {
      const key = await bucket.put('object', 'bytes');
      const controller = new AbortController();
      for (const call of allCalls(bucket, controller.signal)) await call();
      assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
      controller.abort();
      await bucket.put('object', 'after');
      assert.equal(await bucket.text(key), 'after');
    },
  },
  {
    name: 'one signal may end many calls at once',
    run: async (bucket) => {
      await bucket.put('object', 'bytes');
      const controller = new AbortController();
      const running = Array.from({ length: 5 }, () =>
        allCalls(bucket, controller.signal).map((call) => call()),
      ).flat();
      controller.abort();
      const results = await inTime(promptMs, 'all', Promise.allSettled(running));
      for (const result of results) {
        assert.ok(result.status === 'rejected' && isStoreError(result.reason, 'ABORTED'));
      }
    },
  },
  {
    name: 'after close every call is CLOSED, and closing again is harmless',
    run: async (bucket) => {
      await bucket.put('object', 'bytes');
      await bucket.store.close();
      for (const call of allCalls(bucket)) await rejectsWith('CLOSED', call());
      await bucket.store.close();
      await Promise.all([bucket.store.close(), bucket.store.close()]);
    },
  },
  {
    name: 'close waits for calls under way, which end with CLOSED or their result',
    run: async (bucket) => {
      await bucket.put('object', 'bytes');
      let settled = 0;
      const running = allCalls(bucket).map(async (call) => {
        try {
          await call();
        } catch (error) {
          assert.ok(isStoreError(error, 'CLOSED'), String(error));
        } finally {
          settled += 1;
        }
      });
      await bucket.store.close();
      await Promise.all(running);
      assert.equal(settled, running.length);
    },
  },
];
