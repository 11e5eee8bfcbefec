import type { Operation, Program, Registers } from './interleavings.ts';

/**
 * The protocol of lent memory (capi/src/shared/shared-lent.c, src/cache/shared-tier.ts) as a program: one place,
 * the store, one client, and one reader.
 *
 * The place is lent under the stamp 1. The store takes the loan back, looks whether the client has announced
 * that it writes there, and if not puts another payload there, whose two words are 2, and shows it. The client
 * announces its hazard, looks for the stamp, copies the words 1 there if it found it, and lets go. What it
 * asks of the store is whether a payload that was shown is ever changed: the reader, which comes when the payload is
 * shown, and whoever looks when all is over must find the words 2.
 *
 * When the store finds the hazard it looks once more later, as the memory tier does (`retire`): letting go
 * has to be ordered behind the copy for that.
 *
 * Words: `stamp`, `hazard`, `first` and `second` (the payload), `shown`.
 */
export type LendingOmission =
  | 'the hazard'
  | 'the fence of the client'
  | 'the fence of the store'
  | 'the look at the stamp'
  | 'taking the stamp away'
  | 'the look for hazards'
  | 'the order of hazard and stamp'
  | 'the release of letting go'
  | 'letting go behind the copy';

/** The protocol, and each of its parts left out: the checker must find a fault in every variant. */
export const lendingOmissions: readonly LendingOmission[] = [
  'the hazard',
  'the fence of the client',
  'the fence of the store',
  'the look at the stamp',
  'taking the stamp away',
  'the look for hazards',
  'the order of hazard and stamp',
  'the release of letting go',
  'letting go behind the copy',
];

/** The program with one thing left out. */
export function lendingProtocol(without?: LendingOmission): Program {
  return {
    memory: { stamp: 1, hazard: 0, first: 0, second: 0, shown: 0 },
    threads: [
      { name: 'store', operations: store(without) },
      { name: 'client', operations: client(without) },
      { name: 'reader', operations: reader },
    ],
    fault: ({ memory, registers }) => {
      const { shown, first, second } = registers['reader'];
      if (shown === 1 && (first !== 2 || second !== 2)) {
        return `a reader of what was shown read ${first} and ${second}`;
      }
      const isWhole = memory['first'] === 2 && memory['second'] === 2;
      if (memory['shown'] === 1 && !isWhole) {
        return `what was shown is ${memory['first']} and ${memory['second']} at last`;
      }
      return undefined;
    },
  };
}

/** Takes the loan back, and uses the memory unless it is still written to, at the first look or the second. */
function store(without: LendingOmission | undefined): readonly Operation[] {
  const isFree = (r: Registers): boolean =>
    r['held'] === 0 || r['still'] === 0 || without === 'the look for hazards';
  const whenFree = { needs: ['held', 'still'], when: isFree };
  return [
    ...(without === 'taking the stamp away'
      ? []
      : [{ kind: 'store', word: 'stamp', value: 0 } as const]),
    ...(without === 'the fence of the store' ? [] : [fence]),
    { kind: 'load', word: 'hazard', into: 'held', isAcquire: true },
    {
      ...{ kind: 'load', word: 'hazard', into: 'still', isAcquire: true },
      ...{ needs: ['held'], when: ({ held }: Registers) => held !== 0 },
    },
    { kind: 'store', word: 'first', value: 2, ...whenFree },
    { kind: 'store', word: 'second', value: 2, ...whenFree },
    { kind: 'store', word: 'shown', value: 1, isRelease: true, ...whenFree },
  ];
}

function client(without: LendingOmission | undefined): readonly Operation[] {
  const mayWrite = ({ stamp }: Registers): boolean =>
    stamp === 1 || without === 'the look at the stamp';
  const whenLent = { needs: ['stamp'], when: mayWrite };
  const announce: readonly Operation[] =
    without === 'the hazard' ? [] : [{ kind: 'store', word: 'hazard', value: 1 }];
  const ordered: readonly Operation[] = without === 'the fence of the client' ? [] : [fence];
  const look: Operation = { kind: 'load', word: 'stamp', into: 'stamp', isAcquire: true };
  const copy: readonly Operation[] = [
    { kind: 'store', word: 'first', value: 1, ...whenLent },
    { kind: 'store', word: 'second', value: 1, ...whenLent },
  ];
  const letGo: Operation = {
    ...{ kind: 'store', word: 'hazard', value: 0 },
    isRelease: without !== 'the release of letting go',
  };
  const begin =
    without === 'the order of hazard and stamp'
      ? [look, ...announce, ...ordered]
      : [...announce, ...ordered, look];
  const end = without === 'letting go behind the copy' ? [letGo, ...copy] : [...copy, letGo];
  return [...begin, ...end];
}

const whenShown = { needs: ['shown'], when: ({ shown }: Registers): boolean => shown === 1 };

const reader: readonly Operation[] = [
  { kind: 'load', word: 'shown', into: 'shown', isAcquire: true },
  { kind: 'load', word: 'first', into: 'first', ...whenShown },
  { kind: 'load', word: 'second', into: 'second', ...whenShown },
];

const fence: Operation = { kind: 'fence', order: 'full' };
