import type { LoadOptions, MissReason } from '../../blocks/kv-store.ts';
import { refusalOf } from '../../store/read-path.ts';
import type { BlockPlace, LocalCopy, ObjectCopy } from './chain-look.ts';
import type { Worth } from './model-look.ts';

/** Why a prompt is not restored whole: a store's reason, or the adapter's own. */
export type ExplainReason = MissReason | 'not-worth-it';

/**
 * What is known of a block's upload. `gone`: it was in the object store once, and is not any more.
 * `unknown`: the object store did not tell.
 */
export type Durability = 'durable' | 'pending' | 'gone' | 'none' | 'unknown';

/** Neighbouring blocks that are at the same places. */
export interface BlockRun {
  /** Indexes of the first and the last block. */
  readonly from: number;
  readonly to: number;
  readonly place: BlockPlace;
  readonly durability: Durability;
}

export interface Explanation {
  /** Number of leading blocks that can be had. */
  readonly had: number;
  readonly reason: ExplainReason | undefined;
  /** What a check or the object store said of the first block that is not had. */
  readonly detail: string | undefined;
  /** Blocks behind it that are stored all the same. */
  readonly laterStored: number;
  readonly runs: readonly BlockRun[];
}

export type Wish = Pick<LoadOptions, 'exact' | 'fingerprint'>;

/** What the places of a chain mean for who wants to load it. */
export function explain(
  places: readonly BlockPlace[],
  wish: Wish,
  worth: Worth | undefined,
): Explanation {
  const runs = runsOf(places);
  for (const [index, place] of places.entries()) {
    const reason = missOf(places, index, wish);
    if (reason === undefined) continue;
    const laterStored = places.slice(index + 1).filter(isStored).length;
    return { had: index, reason, detail: detailOf(place), laterStored, runs };
  }
  const isWorthIt = worth?.isWorthIt ?? true;
  const reason = isWorthIt ? undefined : 'not-worth-it';
  return { had: places.length, reason, detail: undefined, laterStored: 0, runs };
}

/** Why the block cannot be had, in the order in which a load looks: this host, then the object store. */
function missOf(places: readonly BlockPlace[], index: number, wish: Wish): MissReason | undefined {
  const { local, object } = places[index];
  const onHost = local.find(({ isIntact }) => isIntact);
  if (onHost !== undefined) return refusalOf(onHost, wish);
  switch (object.state) {
    case 'there':
      return object.header === undefined ? undefined : refusalOf(object.header, wish);
    case 'absent':
      if (local.length > 0) return 'corrupt';
      return isListedBefore(places, index) ? 'evicted' : 'unknown';
    case 'damaged':
      return 'corrupt';
    case 'newer':
      return 'incompatible';
    case 'deadline':
    case 'unavailable':
      return object.state;
    case 'unasked':
      return places.some((other) => other.object.state === 'deadline') ? 'deadline' : 'unavailable';
    default:
      return object.state satisfies never;
  }
}

/** A list of following keys names only what was in the object store as it was written. */
function isListedBefore(places: readonly BlockPlace[], index: number): boolean {
  const { key } = places[index];
  return places.slice(0, index).some(({ object }) => object.header?.following.includes(key));
}

function isStored({ local, object }: BlockPlace): boolean {
  return object.state === 'there' || local.some(({ isIntact }) => isIntact);
}

function detailOf({ local, object }: BlockPlace): string | undefined {
  if (object.detail !== undefined) return object.detail;
  const damaged = local.find(({ isIntact }) => !isIntact);
  if (damaged === undefined) return undefined;
  const where = damaged.tier === 'memory' ? 'the memory of ' : '';
  return `its copy in ${where}cache part ${damaged.part} is damaged`;
}

function runsOf(places: readonly BlockPlace[]): readonly BlockRun[] {
  const runs: BlockRun[] = [];
  let last = '';
  for (const [index, place] of places.entries()) {
    const durability = durabilityOf(place);
    const text = JSON.stringify([place.local.map(copyText), place.object.state, durability]);
    const run = runs.at(-1);
    if (run !== undefined && text === last) runs[runs.length - 1] = { ...run, to: index };
    else runs.push({ from: index, to: index, place, durability });
    last = text;
  }
  return runs;
}

/** What tells two copies apart for who reads of them. */
function copyText({ tier, part, isPending, isIntact }: LocalCopy): string {
  return `${tier} ${part} ${isPending} ${isIntact}`;
}

function durabilityOf({ local, object }: BlockPlace): Durability {
  const intact = local.filter(({ isIntact }) => isIntact);
  if (object.state === 'there') return 'durable';
  if (intact.some(({ isPending }) => isPending)) return 'pending';
  if (intact.length > 0) return object.state === 'absent' ? 'gone' : 'durable';
  return hasAnswered(object) ? 'none' : 'unknown';
}

function hasAnswered({ state }: ObjectCopy): boolean {
  return state !== 'deadline' && state !== 'unavailable' && state !== 'unasked';
}
