import { parseNamespace } from '../../src/blocks/namespace.ts';
import { blockObjectKey } from '../../src/format/object-keys.ts';
import { chainOf } from '../chain.ts';
import type { ChainShape } from '../chain.ts';
import type { BucketAccess } from './client-job.ts';
import { openOn } from './restore-client.ts';

/** A way to the bucket. */
export interface Place {
  readonly name: string;
  readonly access: BucketAccess;
  /** What a round trip takes longer than on loopback. */
  readonly addedMs: number;
}

/** What the store prepares when it is opened is done by then. */
export const restMs = 300;

/** Saves the chain and waits until it is in the bucket. */
export async function saveChain(
  access: BucketAccess,
  cacheDirectory: string,
  shape: ChainShape,
): Promise<void> {
  const store = await openOn(access, cacheDirectory);
  try {
    await store.save(chainOf(shape));
    await store.flush();
  } finally {
    await store.close();
  }
}

/** The objects of the chain's blocks, as a store with the usual settings names them. */
export function objectKeysOf(shape: ChainShape): string[] {
  const namespace = parseNamespace('default');
  return chainOf(shape).map(({ key }) => blockObjectKey('kv/cabi', namespace, key));
}

/** `40 × 1 MiB` */
export function chainName({ blocks, blockBytes }: ChainShape): string {
  return `${blocks} × ${sizeName(blockBytes)}`;
}

function sizeName(bytes: number): string {
  if (bytes % 1024 ** 2 === 0) return `${bytes / 1024 ** 2} MiB`;
  return bytes % 1024 === 0 ? `${bytes / 1024} KiB` : `${bytes / 1e6} MB`;
}
