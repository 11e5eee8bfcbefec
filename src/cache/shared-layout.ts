import { join } from 'node:path';

/**
 * The directory of a store's shared memory, 0700, one for each life of a store:
 *
 * ```text
 * <directory>/index         what is where, written by the store alone; locked by it while it lives
 *             clients       what each client pins; a client locks its part while it lives
 *             segment-<n>   payloads
 * ```
 */
export const sharedPaths = {
  index: (directory: string): string => join(directory, 'index'),
  clients: (directory: string): string => join(directory, 'clients'),
  segment: (directory: string, number: number): string => join(directory, `segment-${number}`),
};

/** The kind of a block, below the number of its namespace. Other kinds are not shown. */
const blockKind = 1;

/** Whose the blocks of a namespace are, by its number. */
export function ownerOf(namespace: number): number {
  return namespace * 256 + blockKind;
}

/** Fields of the facts of an entry: tokens below, a bit for decoded ones, the fingerprint above. */
export const factBits = { tokensMax: 0x7fff, decoded: 0x8000, fingerprintShift: 16 } as const;

/** Fingerprints with a number as large as this cannot be told apart: their payloads are not shown. */
export const fingerprintsMax = 0xffff;
