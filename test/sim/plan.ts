import { Dice } from './dice.ts';
import type { OperationKind } from './operation-kind.ts';
import { profileOf } from './profile.ts';
import type { Profile } from './profile.ts';

/** One step of a plan. Its details are drawn from its own seed, so that others may be left out. */
export interface Operation {
  readonly id: number;
  readonly kind: OperationKind;
  /** Whether the next one waits until this one has ended, and else for how many milliseconds. */
  readonly isAwaited: boolean;
  readonly gapMs: number;
}

/** A world and what happens in it: all of a simulation. */
export interface Plan {
  readonly seed: number;
  readonly profile: Profile;
  readonly operations: readonly Operation[];
}

const usualWeights: Partial<Record<OperationKind, number>> = {
  save: 22,
  fresh: 6,
  load: 16,
  lookup: 12,
  contains: 4,
  'save-tail': 5,
  'load-tail': 5,
  'save-raw-tail': 5,
  'load-raw-tail': 5,
  'hold-borrow': 2,
  flush: 4,
  reopen: 2,
  crash: 4,
  wipe: 1,
  jump: 1,
  'clock-jump': 1,
  'delete-blocks': 1,
  'delete-subtree': 1,
};

/** Operations of a plan at least. */
const operationsMin = 200;

export function planOf(seed: number): Plan {
  const dice = new Dice(`plan/${seed}`);
  const profile = profileOf(seed);
  const weights = Object.entries({ ...usualWeights, ...profile.extra });
  const kinds = weights.flatMap(([kind, weight]) => new Array<string>(weight).fill(kind));
  const count = operationsMin + dice.below(20);
  const operations = Array.from({ length: count }, (_, id): Operation => {
    const kind = fixedKind(id, profile) ?? (dice.pick(kinds) as OperationKind);
    return {
      id,
      kind,
      isAwaited: kind === 'outage' || (dice.chance(0.5) && kind !== 'stall'),
      gapMs: dice.fraction() * dice.pick([1, 10, 60]),
    };
  });
  return { seed, profile, operations };
}

/** What every plan has, whatever the dice say: a crash, and its outages where there are any. */
function fixedKind(id: number, { extra }: Profile): OperationKind | undefined {
  if (id === 70) return 'crash';
  return extra.outage !== undefined && id % 45 === 30 ? 'outage' : undefined;
}
