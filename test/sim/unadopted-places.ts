import type { Slot } from './slot.ts';

/**
 * True while a place of the cache directory that is not the process's own holds payloads. One whose
 * claim of its predecessor's place failed by an error of the disk takes another, and adopts that one
 * in the background: until then it need not find what was accepted there.
 */
export function hasUnadoptedPlace({ machine, process }: Slot, cacheDirectory: string): boolean {
  const root = `${cacheDirectory}/v1`;
  const places = machine.disk.find(root);
  if (places?.kind !== 'directory') return false;
  const own = process?.endpoints.firstListening ?? '';
  return [...places.entries].some(([name, place]) => {
    if (place.kind !== 'directory' || own.startsWith(`${root}/${name}/`)) return false;
    return [...place.entries.keys()].some(
      (file) => file.endsWith('.log') || file.startsWith('memory-'),
    );
  });
}
