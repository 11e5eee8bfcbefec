import type { Operation, Program, Registers } from './interleavings.ts';

/**
 * What is added to the protocol of pin-protocol.ts when the store has built its index anew
 * (src/cache/shared-index.ts, capi/src/shared/shared-index.c) as a program: two indexes with one entry each, one
 * place for payloads, one writer, one reader.
 *
 * Both entries show the payload 1 of key 1 at first. The writer gives the new index the name, says that the old one
 * is superseded, and hides the payload in the new one alone. Then it looks whether somebody pins it, writes the payload 2
 * over it if nobody does, and shows that under key 2, in the new one alone. The reader looks for key 1 in the index that
 * it has: the old one for good, or the one that has the name when it comes. It pins what it finds, reads the payload twice,
 * and lets go.
 *
 * Words: `state` (1: superseded), `sequence`, `location` and `key` of each index (`old` and `new`), `name` (1: the new
 * one has it), `hazard`, `payload`.
 */
export type RebuildOmission =
  | 'hazards'
  | 'saying that it is superseded'
  | 'saying so before looking for hazards'
  | 'the look at the state'
  | 'looking at it behind the announcement'
  | 'the fence of the reader'
  | 'the fence of the writer';

/** The protocol, and each of its parts left out: the checker must find a fault in every variant. */
export const rebuildOmissions: readonly RebuildOmission[] = [
  'hazards',
  'saying that it is superseded',
  'saying so before looking for hazards',
  'the look at the state',
  'looking at it behind the announcement',
  'the fence of the reader',
  'the fence of the writer',
];

/** Which index a reader looks into: the one that it has always had, or the one that has the name. */
export type RebuildReader = 'of the old index' | 'by name';

/** The program for a reader, with one thing left out. */
export function rebuildProtocol(of: RebuildReader, without?: RebuildOmission): Program {
  const index = { state: 0, sequence: 2, key: 1, location: 1 };
  return {
    memory: { ...named('old', index), ...named('new', index), name: 0, hazard: 0, payload: 1 },
    threads: [
      { name: 'writer', operations: writer(without) },
      { name: 'reader', operations: reader(of, without) },
    ],
    fault: ({ registers }) => {
      const own = registers['reader'];
      const isConfirmed = own['s1'] === own['s3'];
      const isCurrent = own['state'] === 0 || without === 'the look at the state';
      if (!isFound(own) || !isConfirmed || !isCurrent) return undefined;
      if (own['first'] === 1 && own['second'] === 1) return undefined;
      return `a reader that pinned the payload of key 1 read ${own['first']} and then ${own['second']}`;
    },
  };
}

function named(
  index: 'old' | 'new',
  words: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(words).map(([word, value]) => [`${index} ${word}`, value]),
  );
}

/** Turns to the new index, hides payload 1 there, and shows payload 2 in its place unless the reader pins that. */
function writer(without: RebuildOmission | undefined): readonly Operation[] {
  const isFree = (r: Registers): boolean => r['held'] === 0 || without === 'hazards';
  const whenFree = { needs: ['held'], when: isFree };
  const supersede: Operation = { kind: 'store', word: 'old state', value: 1 };
  const isLate = without === 'saying so before looking for hazards';
  return [
    { kind: 'store', word: 'name', value: 1, isRelease: true },
    ...(isLate || without === 'saying that it is superseded' ? [] : [supersede]),
    { kind: 'store', word: 'new sequence', value: 3 },
    { kind: 'fence', order: 'release' },
    { kind: 'store', word: 'new location', value: 0 },
    { kind: 'store', word: 'new sequence', value: 4, isRelease: true },
    ...(without === 'the fence of the writer' ? [] : [full]),
    { kind: 'load', word: 'hazard', into: 'held', isAcquire: true },
    ...(isLate ? [supersede] : []),
    { kind: 'store', word: 'payload', value: 2, ...whenFree },
    { kind: 'store', word: 'new sequence', value: 5, ...whenFree },
    { kind: 'fence', order: 'release' },
    { kind: 'store', word: 'new key', value: 2, ...whenFree },
    { kind: 'store', word: 'new location', value: 1, ...whenFree },
    { kind: 'store', word: 'new sequence', value: 6, isRelease: true, ...whenFree },
  ];
}

function reader(of: RebuildReader, without: RebuildOmission | undefined): readonly Operation[] {
  const found = { needs: ['s1', 'key', 'location', 's2'], when: isFound };
  const opening: readonly Operation[] =
    of === 'by name' ? [{ kind: 'load', word: 'name', into: 'name', isAcquire: true }] : [];
  const which = of === 'by name' ? { needs: ['name'] } : {};
  const at =
    (word: string) =>
    ({ name }: Registers): string =>
      `${name === 1 ? 'new' : 'old'} ${word}`;
  const state: Operation = { kind: 'load', word: at('state'), into: 'state', ...which };
  const isEarly = without === 'looking at it behind the announcement';
  return [
    ...opening,
    { kind: 'load', word: at('sequence'), into: 's1', isAcquire: true, ...which },
    { kind: 'load', word: at('key'), into: 'key', ...which },
    { kind: 'load', word: at('location'), into: 'location', ...which },
    { kind: 'load', word: at('sequence'), into: 's2', ...which },
    ...(isEarly ? [state] : []),
    { kind: 'store', word: 'hazard', value: 1, ...found },
    ...(without === 'the fence of the reader' ? [] : [full]),
    ...(isEarly ? [] : [state]),
    { kind: 'load', word: at('sequence'), into: 's3', ...which },
    { kind: 'load', word: payloadAt, into: 'first', needs: ['location'] },
    { kind: 'load', word: payloadAt, into: 'second', needs: ['location'] },
    { kind: 'store', word: 'hazard', value: 0, isRelease: true, ...found },
  ];
}

/** Reading the bytes needs their place, and nothing else keeps a processor from doing it early. */
function payloadAt({ location }: Registers): string {
  return location === 1 ? 'payload' : 'nothing';
}

function isFound({ key, location, s1, s2 }: Registers): boolean {
  return key === 1 && location === 1 && s1 === s2 && (s1 ?? 1) % 2 === 0;
}

const full: Operation = { kind: 'fence', order: 'full' };
