import { join } from 'node:path';
import { blake3Hex } from '../../base/blake3.ts';
import { messageOf, StoreError, systemErrorCode } from '../../base/errors.ts';
import { randomModels } from '../../engines/llama/gguf-model.ts';
import type { RandomModelName } from '../../engines/llama/gguf-model.ts';
import { randomModelByteLength, writeRandomModel } from '../../engines/llama/gguf-writer.ts';
import type { Platform } from '../../platform/platform.ts';
import type { Progress } from '../progress.ts';
import { formatBytes } from '../quantity.ts';

/** Where the demo keeps its models between runs: `wombatkv` in the user's cache directory. */
export function demoCacheDirectory({ environment, host }: Platform): string {
  const base = environment['XDG_CACHE_HOME'] ?? '';
  return join(base.startsWith('/') ? base : join(host.homeDirectory, '.cache'), 'wombatkv');
}

/** The path of the random model, which is made when it is not there. */
export async function randomModelPath(
  platform: Platform,
  name: RandomModelName,
  progress: Progress,
): Promise<string> {
  const { files } = platform;
  const spec = randomModels[name];
  // Other weights are another file: what is there is never stale.
  const digest = blake3Hex(new TextEncoder().encode(JSON.stringify(spec))).slice(0, 8);
  const directory = demoCacheDirectory(platform);
  const path = join(directory, `random-${name}-${digest}.gguf`);
  const total = randomModelByteLength(spec);
  if ((await files.status(path))?.byteLength === total) return path;
  progress.begin(`Making a random model of ${formatBytes(total)} in ${directory}, once`);
  try {
    await files.makeDirectory(directory);
    await checkRoom(platform, directory, total);
    await writeRandomModel(platform, path, spec, (done) => {
      progress.update({ activity: '', done, total, isBytes: true });
    });
  } catch (error) {
    progress.fail();
    if (systemErrorCode(error) === undefined) throw error;
    const message = `the model ${path} cannot be made: ${messageOf(error)}; XDG_CACHE_HOME moves it`;
    throw new StoreError('UNAVAILABLE', message, { cause: error });
  }
  progress.end('done');
  return path;
}

async function checkRoom({ files }: Platform, directory: string, bytes: number): Promise<void> {
  const free = await files.freeBytes(directory);
  if (free >= bytes) return;
  const sizes = `${formatBytes(bytes)} are needed and ${formatBytes(free)} are free`;
  throw new StoreError('UNAVAILABLE', `no room for the model in ${directory}: ${sizes}`);
}
