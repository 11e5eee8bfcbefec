import type { Operation, Outcome, Program, Registers } from './interleavings.ts';

/**
 * How a save is left in a ring as a reference to memory that was lent ahead of need, and how what is lent is taken back
 * (capi/src/library/shared-ring.c, src/store/ring-loans.ts, src/store/ring-merge.ts), as a program: one loan, the client, and
 * the store, which closes the ring.
 *
 * The client announces its hazard, looks for the stamp, writes its payload, which is 1, and lets go; then it moves the
 * head, and looks whether the ring is closed: if it is not, the save is accepted. The store closes the ring and looks for
 * the head. Where it finds it moved, the payload is accepted where it lies. Else it takes the stamp away, looks for hazards,
 * and where there is none, at once or at a second look, it puts another payload there, which is 2.
 *
 * What is asked: a save that is accepted is taken, with its own bytes, and nobody changes them; and a payload that
 * was put there later stays as it is.
 *
 * Words: `stamp`, `hazard`, `payload`, `head`, `closed`.
 */
export type RingLoanOmission =
  | 'the hazard'
  | 'the look at the stamp'
  | 'the fence behind the hazard'
  | 'letting go behind the payload'
  | 'the release of letting go'
  | 'the release of the head'
  | 'the fence behind the head'
  | 'the look whether it is closed'
  | 'the fence behind closing'
  | 'the look for the head behind closing'
  | 'the acquire of the head'
  | 'taking the stamp away'
  | 'the fence behind the stamp'
  | 'the look for hazards'
  | 'waiting for the ring to be closed';

/** The protocol, and each of its parts left out: the checker must find a fault in every variant. */
export const ringLoanOmissions: readonly RingLoanOmission[] = [
  'the hazard',
  'the look at the stamp',
  'the fence behind the hazard',
  'letting go behind the payload',
  'the release of letting go',
  'the release of the head',
  'the fence behind the head',
  'the look whether it is closed',
  'the fence behind closing',
  'the look for the head behind closing',
  'the acquire of the head',
  'taking the stamp away',
  'the fence behind the stamp',
  'the look for hazards',
  'waiting for the ring to be closed',
];

/** The program with one thing left out. */
export function ringLoansProtocol(without?: RingLoanOmission): Program {
  return {
    memory: { stamp: 1, hazard: 0, payload: 0, head: 0, closed: 0 },
    threads: [
      { name: 'client', operations: client(without) },
      { name: 'store', operations: store(without) },
    ],
    fault: (outcome) => faultOfSave(outcome, without) ?? faultOfMemory(outcome, without),
  };
}

/** A save that is accepted and not taken, or taken with other bytes. */
function faultOfSave(
  { registers }: Outcome,
  without: RingLoanOmission | undefined,
): string | undefined {
  const { stamp, closed } = registers['client'];
  const { head, taken } = registers['store'];
  const hasWritten = stamp === 1 || without === 'the look at the stamp';
  const isOpen = closed === 0 || without === 'the look whether it is closed';
  if (hasWritten && isOpen && head !== 1) return 'a save that was accepted is not taken';
  return head === 1 && taken !== 1 ? `what was taken is ${taken}` : undefined;
}

/** What was taken is changed, or what was put there later. */
function faultOfMemory(
  { memory, registers }: Outcome,
  without: RingLoanOmission | undefined,
): string | undefined {
  const { payload } = memory;
  const { head, held, still } = registers['store'];
  if (head === 1) return payload === 1 ? undefined : `what was taken became ${payload}`;
  const isUsed = held === 0 || still === 0 || without === 'the look for hazards';
  return isUsed && payload !== 2 ? `another payload became ${payload}` : undefined;
}

function client(without: RingLoanOmission | undefined): readonly Operation[] {
  const mayWrite = ({ stamp }: Registers): boolean =>
    stamp === 1 || without === 'the look at the stamp';
  const whenLent = { needs: ['stamp'], when: mayWrite };
  const write: Operation = { kind: 'store', word: 'payload', value: 1, ...whenLent };
  const letGo: Operation = {
    ...{ kind: 'store', word: 'hazard', value: 0 },
    isRelease: without !== 'the release of letting go',
  };
  return [
    ...(without === 'the hazard' ? [] : [{ kind: 'store', word: 'hazard', value: 1 } as const]),
    ...(without === 'the fence behind the hazard' ? [] : [fence]),
    { kind: 'load', word: 'stamp', into: 'stamp', isAcquire: true },
    ...(without === 'letting go behind the payload' ? [letGo, write] : [write, letGo]),
    {
      ...{ kind: 'store', word: 'head', value: 1, ...whenLent },
      isRelease: without !== 'the release of the head',
    },
    ...(without === 'the fence behind the head' ? [] : [fence]),
    { kind: 'load', word: 'closed', into: 'closed', isAcquire: true },
  ];
}

function store(without: RingLoanOmission | undefined): readonly Operation[] {
  const isLeft = ({ head }: Registers): boolean => head === 0;
  const isFree = (r: Registers): boolean =>
    isLeft(r) && (r['held'] === 0 || r['still'] === 0 || without === 'the look for hazards');
  const whenLeft = { needs: ['head'], when: isLeft };
  const close: readonly Operation[] = [
    ...(without === 'waiting for the ring to be closed'
      ? []
      : [{ kind: 'store', word: 'closed', value: 1 } as const]),
    ...(without === 'the fence behind closing' ? [] : [fence]),
  ];
  const look: Operation = {
    ...{ kind: 'load', word: 'head', into: 'head' },
    isAcquire: without !== 'the acquire of the head',
  };
  return [
    ...(without === 'the look for the head behind closing' ? [look, ...close] : [...close, look]),
    // A processor may read ahead of the branch: nothing but the acquire holds it back.
    { kind: 'load', word: 'payload', into: 'taken' },
    ...(without === 'taking the stamp away'
      ? []
      : [{ kind: 'store', word: 'stamp', value: 0, ...whenLeft } as const]),
    ...(without === 'the fence behind the stamp' ? [] : [fence]),
    { kind: 'load', word: 'hazard', into: 'held', isAcquire: true, ...whenLeft },
    {
      ...{ kind: 'load', word: 'hazard', into: 'still', isAcquire: true },
      ...{ needs: ['head', 'held'], when: (r: Registers) => isLeft(r) && r['held'] !== 0 },
    },
    { kind: 'store', word: 'payload', value: 2, needs: ['head', 'held', 'still'], when: isFree },
  ];
}

const fence: Operation = { kind: 'fence', order: 'full' };
