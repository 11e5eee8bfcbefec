import { join } from 'node:path';
import type { PayloadKind } from '../blocks/payload-kind.ts';

/**
 * The directory of a store's shared memory, 0700, one for each life of a store:
 *
 * ```text
 * <directory>/index         what is where, written by the store alone; locked by it while it lives
 *             index-next    the one that is to take its place, while it is built
 *             known         keys that the store knows in the bucket, see src/catalog/shared-known.ts
 *             clients       what each client pins; a client locks its part while it lives
 *             segment-<n>   payloads
 *             uses-<n>      which of them clients have used, a byte for each 4 KiB of a segment
 *             loans         which of them clients may fill, see loan-stamps.ts
 *             ring-<n>      saves that one client leaves for the store, see ring-layout.ts
 *             place         the place in the cache directory that it belongs to, see memory-link.ts
 * ```
 */
export const sharedPaths = {
  index: (directory: string): string => join(directory, 'index'),
  nextIndex: (directory: string): string => join(directory, 'index-next'),
  known: (directory: string): string => join(directory, 'known'),
  clients: (directory: string): string => join(directory, 'clients'),
  segment: (directory: string, number: number): string => join(directory, `segment-${number}`),
  uses: (directory: string, number: number): string => join(directory, `uses-${number}`),
  loans: (directory: string): string => join(directory, 'loans'),
  ring: (directory: string, number: number): string => join(directory, `ring-${number}`),
};

/** True for the name of a ring in such a directory. */
export function isRingName(name: string): boolean {
  return /^ring-\d{1,10}$/.test(name);
}

/** The number of each kind, below that of its namespace. */
const kindNumbers: Readonly<Record<PayloadKind, number>> = { block: 1, tail: 2, 'raw-tail': 3 };

/** Whose the payloads of a kind are in a namespace, by its number. */
export function ownerOf(namespace: number, kind: PayloadKind = 'block'): number {
  return namespace * 256 + kindNumbers[kind];
}

/** Fields of the facts of an entry: tokens below, a bit for decoded ones, the fingerprint above. */
export const factBits = { tokensMax: 0x7fff, decoded: 0x8000, fingerprintShift: 16 } as const;

/** Fingerprints with a number as large as this cannot be told apart: their payloads are not shown. */
export const fingerprintsMax = 0xffff;
