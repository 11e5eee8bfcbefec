import { threadId } from 'node:worker_threads';
import { StoreError } from '../../src/base/errors.ts';
import { endThread, serveTasks } from '../../src/platform/worker-pool.ts';

/** What the tests of the worker pool ask of a worker. */
export type TestTask =
  | { readonly kind: 'echo'; readonly value: unknown }
  | { readonly kind: 'thread' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'has-dropped' }
  | { readonly kind: 'fill'; readonly bytes: Uint8Array; readonly value: number }
  | { readonly kind: 'move'; readonly bytes: Uint8Array }
  | { readonly kind: 'return-function' }
  | { readonly kind: 'throw-store-error' }
  | { readonly kind: 'throw-other' }
  | { readonly kind: 'want-memory' }
  | { readonly kind: 'throw-later' }
  | { readonly kind: 'exit' }
  | { readonly kind: 'exit-after-answer' }
  | { readonly kind: 'wait-until-set'; readonly flag: Int32Array }
  | { readonly kind: 'count-forever'; readonly counter: Int32Array };

/** What the thread has let go of. */
let dropped: WeakRef<object> | undefined;

serveTasks<TestTask, unknown>((task) => {
  switch (task.kind) {
    case 'echo':
      return task.value;
    case 'thread':
      return threadId;
    case 'drop':
      dropped = new WeakRef({ text: 'garbage' });
      return undefined;
    case 'has-dropped':
      return dropped?.deref() === undefined;
    case 'fill':
      task.bytes.fill(task.value);
      return undefined;
    case 'move':
      return { result: task.bytes, transfer: [task.bytes.buffer as ArrayBuffer] };
    case 'return-function':
      return () => undefined;
    case 'throw-store-error':
      throw new StoreError('CORRUPT', 'bytes 7 to 9 are wrong');
    case 'throw-other':
      throw new TypeError('not a store error');
    case 'want-memory':
      return new Uint8Array(new SharedArrayBuffer(2 ** 46));
    case 'throw-later':
      setImmediate(() => {
        throw new Error('nobody catches this');
      });
      return new Promise(() => undefined);
    case 'exit':
      process.exit(3);
      break;
    case 'exit-after-answer':
      endThread();
      return 'answer';
    case 'wait-until-set':
      Atomics.wait(task.flag, 0, 0);
      return undefined;
    case 'count-forever':
      for (;;) Atomics.add(task.counter, 0, 1);
    default:
      return task satisfies never;
  }
});
