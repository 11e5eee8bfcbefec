import { auditHashMemory, defaultHashMemoryPath } from '../engines/llama/model-hash.ts';
import type { HashMemoryFault } from '../engines/llama/model-hash.ts';
import type { Platform } from '../platform/platform.ts';

/** The file that remembers the hashes of models, where llama.cpp's adapter keeps it by default. */
export interface ModelHashesAudit {
  readonly path: string;
  readonly state: 'sound' | HashMemoryFault;
  /** What repair did. */
  readonly repair: 'removed' | undefined;
}

/** Checks the file. Removing it costs hashing the models again. */
export async function auditModelHashes(
  { files, host }: Platform,
  isRepair: boolean,
): Promise<ModelHashesAudit> {
  const path = defaultHashMemoryPath(host.homeDirectory);
  const state = await auditHashMemory(files, path);
  if (state !== 'damaged' || !isRepair) return { path, state, repair: undefined };
  await files.remove(path);
  return { path, state, repair: 'removed' };
}
