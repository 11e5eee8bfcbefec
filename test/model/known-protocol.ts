import type { Operation, Program, Registers } from './interleavings.ts';

/**
 * The file of known keys (capi/src/shared/known-file.c) as a program: a shard of one or two entries, one writer, one
 * reader. An entry is two words, `first` and `last`, as the words of a tag are; a key is found where both are its number.
 *
 * The writer does one thing:
 * - `put`: writes another entry over one. No key was or is there of which one word is the old one's and one the new one's.
 * - `place`: writes both entries and says that there are two: the shard has grown.
 * - `remove`: writes zeros over the key's entry, and then answers whoever asked for that.
 * - `withdraw`: says that the shard is not there any more, then forgets the key elsewhere, and answers.
 *
 * The reader hears of the answer, or not, and then looks for the key once. What it does not find it asks for, so only
 * what it finds has to be true.
 */
export type KnownChange = 'put' | 'place' | 'remove' | 'withdraw';

export type KnownOmission =
  | 'the odd number'
  | 'the fence behind the odd number'
  | 'the release of the last store'
  | 'the acquire of the first look'
  | 'the check for an odd number'
  | 'the fence before the second look'
  | 'the second look'
  | 'removing it before the answer'
  | 'withdrawing it before the answer';

/** The protocol, and each of its parts left out: the checker must find a fault in one of the changes. */
export const knownOmissions: readonly KnownOmission[] = [
  'the odd number',
  'the fence behind the odd number',
  'the release of the last store',
  'the acquire of the first look',
  'the check for an odd number',
  'the fence before the second look',
  'the second look',
  'removing it before the answer',
  'withdrawing it before the answer',
];

/** The program for a reader of that key, with one thing left out. */
export function knownProtocol(change: KnownChange, key: 1 | 2, without?: KnownOmission): Program {
  const isWhole = change === 'remove' || change === 'withdraw';
  const entry = isWhole ? { first0: key, last0: key } : { first0: 1, last0: 2 };
  return {
    memory: { sequence: 2, log2: 1, ...entry, first1: 0, last1: 0, answered: 0 },
    threads: [
      { name: 'writer', operations: writer(change, without) },
      { name: 'reader', operations: reader(without) },
    ],
    fault: ({ registers }) => {
      const { told, ...own } = registers['reader'];
      if (!isFound(own, key, without)) return undefined;
      if (!isWhole) return `a reader found key ${key}, which never was there`;
      return told === 1 ? `a reader found key ${key} after it was told that it is gone` : undefined;
    },
  };
}

function writer(change: KnownChange, without: KnownOmission | undefined): readonly Operation[] {
  const answer: Operation = { kind: 'store', word: 'answered', value: 1, isRelease: true };
  const isLate =
    (change === 'remove' && without === 'removing it before the answer') ||
    (change === 'withdraw' && without === 'withdrawing it before the answer');
  const changing = [
    ...beginWriting(without),
    ...storesOf(change),
    {
      ...({ kind: 'store', word: 'sequence', value: 4 } as const),
      isRelease: without !== 'the release of the last store',
    },
  ];
  return isLate ? [answer, ...changing] : [...changing, answer];
}

function storesOf(change: KnownChange): readonly Operation[] {
  switch (change) {
    case 'put':
      return [store('first0', 2), store('last0', 1)];
    case 'place':
      return [
        ...[store('first0', 2), store('last0', 1), store('first1', 1), store('last1', 2)],
        store('log2', 2),
      ];
    case 'remove':
      return [store('first0', 0), store('last0', 0)];
    case 'withdraw':
      return [store('log2', 0)];
    default:
      return change satisfies never;
  }
}

function store(word: string, value: number): Operation {
  return { kind: 'store', word, value };
}

function beginWriting(without: KnownOmission | undefined): readonly Operation[] {
  if (without === 'the odd number') return [];
  const odd = store('sequence', 3);
  return without === 'the fence behind the odd number'
    ? [odd]
    : [odd, { kind: 'fence', order: 'release' }];
}

function reader(without: KnownOmission | undefined): readonly Operation[] {
  const isAcquire = without !== 'the acquire of the first look';
  const fence: readonly Operation[] =
    without === 'the fence before the second look' ? [] : [{ kind: 'fence', order: 'acquire' }];
  const at =
    (half: 'first' | 'last') =>
    ({ log2 }: Registers): string =>
      `${half}${log2 === 2 ? 1 : 0}`;
  return [
    { kind: 'load', word: 'answered', into: 'told', isAcquire: true },
    { kind: 'load', word: 'sequence', into: 's1', isAcquire },
    { kind: 'load', word: 'log2', into: 'log2' },
    { kind: 'load', word: at('last'), into: 'last', needs: ['log2'] },
    { kind: 'load', word: at('first'), into: 'first', needs: ['log2'] },
    ...fence,
    { kind: 'load', word: 'sequence', into: 's2' },
  ];
}

function isFound(
  { s1, s2, log2, first, last }: Registers,
  key: number,
  without: KnownOmission | undefined,
): boolean {
  const isOdd = (s1 ?? 1) % 2 === 1 && without !== 'the check for an odd number';
  const isSame = s1 === s2 || without === 'the second look';
  return log2 !== 0 && first === key && last === key && isSame && !isOdd;
}
