import type { ObjectVerb } from '../../src/objectstore/object-store.ts';
import type { Dice } from './dice.ts';
import type { FaultKind } from './fault-counts.ts';
import type { BucketMode } from './sim-bucket.ts';

/** How often requests go wrong, as shares of all. */
export interface NetworkShares {
  /** Errors, resets, lost replies, slow or missing answers. */
  readonly trouble: number;
  /** Bodies altered or cut off on the way. */
  readonly altered: number;
  /** Objects damaged as they are stored. */
  readonly damaged: number;
  readonly staleLists: number;
}

export const calmNetwork: NetworkShares = { trouble: 0, altered: 0, damaged: 0, staleLists: 0 };

/** What goes wrong with one request. */
export interface NetworkFault {
  readonly kind: FaultKind;
  /** The bucket does not get the request. */
  readonly stops: boolean;
  /** A fraction in [0, 1) that says where. */
  readonly at: number;
}

const stopping: readonly FaultKind[] = ['transient error', 'throttled', 'no answer'];

/** The fault of one request, if any. */
export function pickFault(
  verb: ObjectVerb,
  mode: BucketMode,
  shares: NetworkShares,
  dice: Dice,
): NetworkFault | undefined {
  const at = dice.fraction();
  if (mode !== 'normal') return faultOfMode(verb, mode, at);
  const roll = dice.fraction();
  if (roll < shares.trouble) return trouble(verb, dice, at);
  if (verb === 'get' && roll < shares.trouble + shares.altered) {
    return { kind: dice.pick(['altered body', 'truncated body']), stops: false, at };
  }
  if (verb === 'put' && roll < shares.trouble + shares.damaged) {
    return { kind: 'object damaged as it was put', stops: false, at };
  }
  if (verb === 'list' && roll < shares.trouble + shares.staleLists) {
    return { kind: 'stale listing', stops: false, at };
  }
  return undefined;
}

function faultOfMode(
  verb: ObjectVerb,
  mode: Exclude<BucketMode, 'normal'>,
  at: number,
): NetworkFault | undefined {
  switch (mode) {
    case 'gone':
      return { kind: at < 0.2 ? 'no answer' : 'transient error', stops: true, at };
    case 'throttled':
      return { kind: 'throttled', stops: true, at };
    case 'refusing puts':
      return verb === 'put' ? { kind: 'refused put', stops: true, at } : undefined;
    default:
      return mode satisfies never;
  }
}

function trouble(verb: ObjectVerb, dice: Dice, at: number): NetworkFault {
  const kinds: FaultKind[] = [...stopping, 'slow first byte'];
  if (verb === 'get') kinds.push('connection reset in mid-body');
  if (verb === 'put') kinds.push('lost reply of a put that succeeded');
  const kind = dice.pick(kinds);
  return { kind, stops: stopping.includes(kind), at };
}
