import { isStoreError, messageOf } from '../../base/errors.ts';
import { nodePlatform } from '../../platform/node-platform.ts';
import { answer } from './demo-answer.ts';
import type { DemoJob, DemoMessage, FlushJob } from './demo-job.ts';
import { openJobStore } from './demo-store.ts';

/** The program of the demo's processes: takes one job from its parent, does it and ends. */
function tell(message: DemoMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) throw new Error('the demo starts this program, nobody else');
    process.send(message, undefined, undefined, (error: Error | null) =>
      error === null ? resolve() : reject(error),
    );
  });
}

async function run(job: DemoJob): Promise<void> {
  switch (job.kind) {
    case 'answer':
      return answer(job, tell);
    case 'flush':
      return flush(job);
    default:
      return job satisfies never;
  }
}

async function flush(job: FlushJob): Promise<void> {
  const { clock } = nodePlatform();
  const startMs = clock.nowMs();
  const store = await openJobStore(job);
  const { pending } = await store.stats();
  await store.flush();
  await store.close();
  await tell({ kind: 'flushed', flush: { pending, ms: clock.nowMs() - startMs } });
}

// Without its parent nobody hears the result.
process.once('disconnect', () => process.exit(1));
process.once('message', (job: DemoJob) => {
  run(job)
    .catch((error: unknown) => {
      const code = isStoreError(error) ? error.code : 'UNAVAILABLE';
      return tell({ kind: 'failed', code, message: messageOf(error) });
    })
    .then(
      () => process.exit(0),
      () => process.exit(1),
    );
});
