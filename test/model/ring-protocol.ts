import type { Operation, Program, Registers } from './interleavings.ts';

/**
 * How a ring is closed (capi/src/shared/commit-ring.c, src/cache/commit-ring.ts, src/cache/ring-takeover.ts) as a
 * program: the client that leaves one save, whoever closes the ring and takes out what is there, and the client's next
 * save, which wants the place of the first.
 *
 * The client writes the save, moves the head, and looks whether the ring is closed: if it is not, the save is accepted.
 * The closer closes it, looks for the head, and takes the save where it finds it moved; then it moves the tail, behind which
 * the client writes again. What is asked: a save that is accepted is taken, and with its own bytes.
 *
 * The same two steps tell the store of news: the word is then not `closed` but the one that says that it was told, and
 * what is asked is that either the client tells, or the store finds the save by itself.
 *
 * Words: `payload`, `head`, `closed`, `tail`.
 */
export type RingOmission =
  | 'the fence of the client'
  | 'the fence of the closer'
  | 'the look whether it is closed'
  | 'the look for the head behind closing'
  | 'the release of the head'
  | 'the acquire of the head'
  | 'the release of the tail';

/** The protocol, and each of its parts left out: the checker must find a fault in every variant. */
export const ringOmissions: readonly RingOmission[] = [
  'the fence of the client',
  'the fence of the closer',
  'the look whether it is closed',
  'the look for the head behind closing',
  'the release of the head',
  'the acquire of the head',
  'the release of the tail',
];

/** The program with one thing left out. */
export function ringProtocol(without?: RingOmission): Program {
  return {
    memory: { payload: 0, head: 0, closed: 0, tail: 0 },
    threads: [
      { name: 'client', operations: client(without) },
      { name: 'closer', operations: closer(without) },
    ],
    fault: ({ registers }) => {
      const { closed } = registers['client'];
      const { head, taken } = registers['closer'];
      const isAccepted = closed === 0 || without === 'the look whether it is closed';
      if (head === 1 && taken !== 1) return `what was taken is ${taken}`;
      return isAccepted && head !== 1 ? 'a save that was accepted is not taken' : undefined;
    },
  };
}

function client(without: RingOmission | undefined): readonly Operation[] {
  const whenTaken = { needs: ['tail'], when: ({ tail }: Registers): boolean => tail === 1 };
  return [
    { kind: 'store', word: 'payload', value: 1 },
    { kind: 'store', word: 'head', value: 1, isRelease: without !== 'the release of the head' },
    ...(without === 'the fence of the client' ? [] : [fence]),
    { kind: 'load', word: 'closed', into: 'closed', isAcquire: true },
    { kind: 'load', word: 'tail', into: 'tail', isAcquire: true },
    { kind: 'store', word: 'payload', value: 2, ...whenTaken },
  ];
}

function closer(without: RingOmission | undefined): readonly Operation[] {
  const whenThere = { needs: ['head'], when: ({ head }: Registers): boolean => head === 1 };
  const close: readonly Operation[] = [
    { kind: 'store', word: 'closed', value: 1 },
    ...(without === 'the fence of the closer' ? [] : [fence]),
  ];
  const look: Operation = {
    ...{ kind: 'load', word: 'head', into: 'head' },
    isAcquire: without !== 'the acquire of the head',
  };
  return [
    ...(without === 'the look for the head behind closing' ? [look, ...close] : [...close, look]),
    // A processor may read ahead of the branch: nothing but the acquire holds it back.
    { kind: 'load', word: 'payload', into: 'taken' },
    {
      ...{ kind: 'store', word: 'tail', value: 1, ...whenThere },
      // A release orders the loads before it, too.
      isRelease: without !== 'the release of the tail',
    },
  ];
}

const fence: Operation = { kind: 'fence', order: 'full' };
