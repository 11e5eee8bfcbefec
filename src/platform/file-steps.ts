import type { FileStep, Files, StepsOutcome } from './files.ts';

/** What steps are made of, each in a call of its own. */
export type SingleCalls = Pick<
  Files,
  'open' | 'status' | 'link' | 'rename' | 'remove' | 'syncDirectory'
>;

/** {@link Files.steps} by the single calls of the files: whatever stands around those sees each. */
export async function stepByStep(
  files: SingleCalls,
  steps: readonly FileStep[],
  signal?: AbortSignal,
): Promise<StepsOutcome> {
  let done = 0;
  for (const step of steps) {
    if (signal?.aborted === true) break;
    try {
      await carryOut(files, step, signal);
    } catch (failure) {
      return { done, failure };
    }
    done += 1;
  }
  return { done, failure: undefined };
}

async function carryOut(files: SingleCalls, step: FileStep, signal?: AbortSignal): Promise<void> {
  switch (step.kind) {
    case 'expect-absent':
      if ((await files.status(step.path)) === undefined) return;
      throw Object.assign(new Error(`EEXIST: ${step.path} is there`), { code: 'EEXIST' });
    case 'write-new':
      return writeNew(files, step, signal);
    case 'link':
      return files.link(step.existing, step.path);
    case 'rename':
      return files.rename(step.from, step.to);
    case 'sync-directory':
      return files.syncDirectory(step.path);
    case 'remove':
      await files.remove(step.path);
      return;
    default:
      return step satisfies never;
  }
}

async function writeNew(
  files: SingleCalls,
  { path, parts }: Extract<FileStep, { kind: 'write-new' }>,
  signal?: AbortSignal,
): Promise<void> {
  const file = await files.open(path, 'create-new');
  try {
    throwIfAborted(path, signal);
    await file.write(parts, 0);
    throwIfAborted(path, signal);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Bytes that may have changed need no sync. */
function throwIfAborted(path: string, signal?: AbortSignal): void {
  if (signal?.aborted !== true) return;
  throw Object.assign(new Error(`ECANCELED: ${path} is not wanted any more`), {
    code: 'ECANCELED',
  });
}
