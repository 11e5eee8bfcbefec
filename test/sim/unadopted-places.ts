import { linkNameOf } from '../../src/cache/memory-link.ts';
import type { Slot } from './slot.ts';

/**
 * True while there are payloads that the process need not find, though its machine accepted them. One whose claim
 * of its predecessor's place failed by an error of the disk takes another, and adopts that one in the background. One
 * that could not take over what a dead store left in memory, by such an error too, leaves it to the next process.
 */
export function hasUnadoptedPlace({ machine, process }: Slot, cacheDirectory: string): boolean {
  const root = `${cacheDirectory}/v1`;
  const places = machine.disk.find(root);
  if (places?.kind !== 'directory') return false;
  const own = process?.endpoints.firstListening ?? '';
  const ownLink = linkNameOf(process?.sharedDirectory ?? '');
  return [...places.entries].some(([name, place]) => {
    if (place.kind !== 'directory') return false;
    const isOwn = own.startsWith(`${root}/${name}/`);
    return [...place.entries.keys()].some(
      (file) =>
        (file.startsWith('memory-') && file !== ownLink) || (file.endsWith('.log') && !isOwn),
    );
  });
}
