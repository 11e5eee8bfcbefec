import { join } from 'node:path';
import { mib } from '../measured-limits.ts';
import { rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import { medianOf } from '../statistics.ts';
import { chainName, objectKeysOf, saveChain } from './place.ts';
import type { Place } from './place.ts';
import { measureRestore } from './restore-rounds.ts';
import type { RestoreRounds } from './restore-rounds.ts';
import { restoreRows } from './restore-rows.ts';

/** Blocks that one prompt restores. */
const blocks = 40;
const nearSizes = [mib, 16 * 1024, 1_760_000, 4 * mib];
const farSizes = [mib, 16 * 1024, 1_760_000, 4 * mib];

export interface Places {
  readonly near: Place;
  /** The relay without a delay: what it costs by itself. */
  readonly relayed: Place;
  readonly far: Place;
}

/** A batch restored from the bucket alone, against other clients on the same objects. */
export async function restoreTable(
  context: BenchContext,
  { near, relayed, far }: Places,
): Promise<Table> {
  const { isQuick } = context;
  const rounds = context.rounds ?? (isQuick ? 1 : 7);
  const small = { seed: 'round trip', blocks: 1, blockBytes: 64 };
  const [smallKey] = objectKeysOf(small);
  await saveChain(near.access, join(context.directory, 'save-small'), small);
  const rows: Row[] = [];
  const measure = async (place: Place, blockBytes: number): Promise<RestoreRounds> => {
    const shape = { seed: `restore ${blockBytes}`, blocks, blockBytes };
    context.progress.begin(`restore, ${place.name}, ${chainName(shape)}`);
    // Nothing is saved where the objects are there already.
    await saveChain(near.access, join(context.directory, `save-${blockBytes}`), shape);
    const directory = join(context.directory, 'restore');
    // Far, and large, one by one takes seconds, in which nothing is learnt that smaller blocks do not show.
    const hasOneByOne = place !== far || blockBytes <= mib;
    const turns = { rounds, directory, smallKey, hasOneByOne };
    const result = await measureRestore(place, shape, turns);
    context.progress.end('done');
    return result;
  };
  const nearRounds: RestoreRounds[] = [];
  for (const size of isQuick ? nearSizes.slice(0, 2) : nearSizes) {
    nearRounds.push(await measure(near, size));
  }
  const relayedRounds = await measure(relayed, mib);
  const farRounds: RestoreRounds[] = [];
  for (const size of isQuick ? farSizes.slice(0, 1) : farSizes) {
    farRounds.push(await measure(far, size));
  }
  rows.push(...nearRounds.flatMap(restoreRows));
  rows.push(...relayRows(nearRounds[0], relayedRounds));
  rows.push(...farRounds.flatMap(restoreRows));
  return { name: 'object-store-restore', title: 'Restored from a bucket', rows, notes };
}

const notes = [
  'Random bytes, which do not compress; all objects are in the memory of radosgw on the same machine, which ' +
    'shares the two cores with the client. Every client is a process of its own, so that CPU time is its own. The store ' +
    'is opened anew on an empty cache in each round; the SDK (@aws-sdk/client-s3, checksums when required) keeps its ' +
    "client and connections. The server's own time is that of the fastest plain client: sockets, requests signed " +
    'beforehand, bodies thrown away, with 8, 16 or 32 at once; another one keeps them, in memory of their own, unchecked. ' +
    'Every client collects its garbage before each round. Far: through a relay that holds every byte for ' +
    '15 ms in each direction; connecting costs no round trip in it.',
];

/** What the relay costs when it does not delay. */
function relayRows(direct: RestoreRounds, relayed: RestoreRounds): Row[] {
  const { name } = relayed.place;
  const row = (what: string, samples: readonly number[], value: number): Row =>
    rowOf({
      ...{ what: `${name}, ${chainName(relayed.shape)}: ${what}`, unit: 'ms', samples },
      against: { what: 'without it', value },
    });
  const sdk = (rounds: RestoreRounds): number[] => rounds.sdk.map(({ ms }) => ms);
  const plain = (rounds: RestoreRounds): number[] => rounds.plain.map(({ ms }) => ms);
  const small = (rounds: RestoreRounds): number[] => [rounds.roundTripMs];
  return [
    row('SDK, 8 at once', sdk(relayed), medianOf(sdk(direct))),
    row('plain client', plain(relayed), medianOf(plain(direct))),
    row('one small GET', small(relayed), direct.roundTripMs),
  ];
}
