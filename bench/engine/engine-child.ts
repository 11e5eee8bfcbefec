import { runAnswer } from './answer.ts';
import type { EngineJob, EngineMessage, EngineResults } from './engine-job.ts';
import { runExport } from './export.ts';
import { runLoss } from './loss.ts';
import { runSuffix } from './suffix.ts';

/** The program of the benchmark's processes: takes one job from its parent, does it and ends. */
function run(job: EngineJob): Promise<EngineResults[EngineJob['kind']]> {
  switch (job.kind) {
    case 'answer':
      return runAnswer(job);
    case 'suffix':
      return runSuffix(job);
    case 'loss':
      return runLoss(job);
    case 'export':
      return runExport(job);
    default:
      return job satisfies never;
  }
}

function tell(message: EngineMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) throw new Error('the benchmark starts this program');
    process.send(message, undefined, undefined, (error: Error | null) =>
      error === null ? resolve() : reject(error),
    );
  });
}

// Without its parent nobody hears the result.
process.once('disconnect', () => process.exit(1));
process.once('message', (job: EngineJob) => {
  run(job)
    .then(
      (result) => tell({ kind: 'done', result }),
      (error: unknown) => tell({ kind: 'failed', message: String(error) }),
    )
    // What the engine would still do at exit is of no use: the process ends at once.
    .then(
      () => process.exit(0),
      () => process.exit(1),
    );
});
