import { join } from 'node:path';
import type { Platform } from '../platform/platform.ts';
import { memoryNameOf, readLinkOfMemory, readLinkOfPlace } from './memory-link.ts';
import type { MemoryLink } from './memory-link.ts';
import { parentOfSharedMemory } from './shared-directories.ts';

/** What a file of a place leads to. */
export interface LinkLook {
  /** Undefined when neither end tells. */
  readonly link: MemoryLink | undefined;
  /** True when the end in the place is damaged, and its other one was looked for where memory lies. */
  readonly isDamaged: boolean;
}

/** Follows a link by the end in the place, else by the one in the memory, where that lies where memory does. */
export async function lookAtLink(
  platform: Platform,
  place: string,
  linkName: string,
): Promise<LinkLook> {
  const link = await readLinkOfPlace(platform.files, place, linkName);
  if (link !== undefined) return { link, isDamaged: false };
  const parent = parentOfSharedMemory(platform);
  const name = memoryNameOf(linkName);
  if (parent === undefined || name === undefined) return { link: undefined, isDamaged: false };
  const other = await readLinkOfMemory(platform.files, join(parent, name));
  return { link: other?.place === place ? other : undefined, isDamaged: true };
}
