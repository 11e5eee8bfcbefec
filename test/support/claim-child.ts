import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemErrorCode } from '../../src/base/errors.ts';
import { claimDirectory } from '../../src/cache/cache-directory.ts';
import type { OwnedDirectory } from '../../src/cache/cache-directory.ts';
import { nodePlatform } from '../../src/platform/node-platform.ts';

/**
 * A process that claims sub-directories of the cache directory in its first argument, for tests
 * that kill it. It does what the messages of its parent say, until it is killed or the parent goes.
 *
 * - `claim`: claims one and tells its number; `release`: gives it back and says so.
 * - `race`: claims, holds and releases without end, and tells of each hold.
 */
export type ClaimOrder = 'claim' | 'release' | 'race';

/** What the process tells its parent. */
export type ClaimReport =
  | { readonly event: 'ready' | 'released' | 'holding' }
  | { readonly event: 'claimed'; readonly number: number | undefined }
  /** Another process left its mark: fine when that one was killed, a double owner when not. */
  | { readonly event: 'found'; readonly processId: number }
  | { readonly event: 'failed'; readonly message: string };

const cacheDirectory = process.argv[2] ?? '';
const storeIdentity = { url: 's3://bucket', keyPrefix: 'wombatkv' };
const platform = nodePlatform();
let owned: OwnedDirectory | undefined;

process.on('message', (order: ClaimOrder) => {
  obey(order).catch((error: unknown) => tell({ event: 'failed', message: String(error) }));
});
process.on('disconnect', () => process.exit());
tell({ event: 'ready' });

async function obey(order: ClaimOrder): Promise<void> {
  switch (order) {
    case 'claim':
      owned = await claimDirectory(platform, cacheDirectory, storeIdentity);
      tell({ event: 'claimed', number: owned?.number });
      return;
    case 'release':
      await owned?.release();
      tell({ event: 'released' });
      return;
    case 'race':
      await race();
      return;
    default:
      order satisfies never;
  }
}

async function race(): Promise<never> {
  const ownMark = join(cacheDirectory, `process-${process.pid}`);
  await writeMark(ownMark);
  for (;;) {
    const directory = await claimDirectory(platform, cacheDirectory, storeIdentity);
    if (directory === undefined) {
      await sleep(Math.random() * 12);
      continue;
    }
    await hold(join(directory.path, 'held'), ownMark);
    await directory.release();
    await sleep(Math.random() * 2);
  }
}

/** Puts the mark where only one owner at a time may, and takes it away after a moment. */
async function hold(mark: string, ownMark: string): Promise<void> {
  // A link, so that whoever finds the mark finds all of it.
  while (!(await isLinked(ownMark, mark))) {
    tell({ event: 'found', processId: await readMark(mark) });
    await platform.files.remove(mark);
  }
  tell({ event: 'holding' });
  await sleep(Math.random() * 4);
  const processId = await readMark(mark);
  if (processId !== process.pid) tell({ event: 'found', processId });
  await platform.files.remove(mark);
}

async function isLinked(existing: string, path: string): Promise<boolean> {
  try {
    await platform.files.link(existing, path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function writeMark(path: string): Promise<void> {
  const file = await platform.files.open(path, 'create-or-replace');
  await file.write([new TextEncoder().encode(String(process.pid))], 0);
  await file.close();
}

async function readMark(path: string): Promise<number> {
  return Number(new TextDecoder().decode(await platform.files.readSmall(path, 100)));
}

function tell(report: ClaimReport): void {
  // The parent may be gone, or closing the channel: then nobody wants to know.
  if (process.connected) process.send?.(report, undefined, undefined, () => undefined);
}
