import type { ClientAnswer, ClientJob, ClientResults } from './client-job.ts';
import { getPlainly } from './plain-client.ts';
import { restore, save } from './restore-client.ts';
import { getBySdk } from './sdk-client.ts';

/** The program of the benchmark's clients: does one job after another for its parent. */
function run(job: ClientJob): Promise<ClientResults[ClientJob['kind']]> {
  // What a round before left is no part of this one: a process opens a store once.
  globalThis.gc?.();
  switch (job.kind) {
    case 'restore':
      return restore(job);
    case 'save':
      return save(job);
    case 'sdk':
      return getBySdk(job);
    case 'plain':
      return getPlainly(job);
    default:
      return job satisfies never;
  }
}

// Without its parent nobody hears the result.
process.once('disconnect', () => process.exit(1));
process.on('message', (job: ClientJob) => {
  run(job).then(
    (result) => tell({ isDone: true, result }),
    (error: unknown) => tell({ isDone: false, message: String(error) }),
  );
});

function tell(answer: ClientAnswer): void {
  process.send?.(answer, undefined, undefined, (error: Error | null) => {
    if (error !== null) process.exit(1);
  });
}
