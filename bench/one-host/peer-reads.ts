import type { Peer } from './peers.ts';
import type { Samples } from './samples.ts';

/** One round of a peer's lookups and gets; batches of `batchBlocks`, `batchBytes` in all when they are of 1 MiB. */
export async function measurePeerReads(
  { name, isLent, index, batch, small, few }: Peer,
  batchBlocks: number,
  batchBytes: number,
  keep: Samples['keep'],
): Promise<void> {
  const of = (what: string): string => `${name} ${what}`;
  keep(of('lookup'), (await index.order('lookup 500'))[0] / 1000);
  keep(of('get'), (await batch.order(isLent ? 'get 5000' : 'get 5'))[0] / 1000);
  if (isLent) {
    keep(of('touch'), (await batch.order('touch 50'))[0] / 1000);
    keep(of('out'), batchBytes / (await batch.order('out 9'))[0]);
  }
  keep(of('one'), Math.round(1e9 / (await small.order('one 5000'))[0]));
  keep(of('few'), Math.round((batchBlocks * 1e9) / (await few.order('get 500'))[0]));
}
