import type { Operation, Program, Registers } from './interleavings.ts';

/**
 * The index and pin protocol of capi/src/shared/shared-index.c as a program: one entry, one place for
 * payloads, one writer, one reader.
 *
 * The entry shows the payload 1 of key 1. The writer hides it, looks whether somebody pins it, writes
 * the payload 2 over it if nobody does, and shows that under key 2. The reader looks for one of the
 * keys, pins what it finds, reads the payload twice, and lets go.
 *
 * The program is weaker than the code in two places that need no more: the code has a fence within the
 * first look, for those who look without pinning, and the second look acquires.
 *
 * Words: `sequence`, `key`, `location` (1: the place, 0: nothing), `hazard`, `payload`.
 */
export type Omission =
  | 'hazards'
  | 'the fence of the reader'
  | 'the fence of the writer'
  | 'the second look at the sequence'
  | 'the sequence check of the first look'
  | 'the odd number while writing'
  | 'the fence behind the odd number'
  | 'the release of the last store'
  | 'the release of letting go';

/** The protocol, and each of its parts left out: the checker must find a fault in every variant. */
export const omissions: readonly Omission[] = [
  'hazards',
  'the fence of the reader',
  'the fence of the writer',
  'the second look at the sequence',
  'the sequence check of the first look',
  'the odd number while writing',
  'the fence behind the odd number',
  'the release of the last store',
  'the release of letting go',
];

/** The program for a reader that looks for the key, with one thing left out. */
export function pinProtocol(key: 1 | 2, without?: Omission): Program {
  return {
    memory: { sequence: 2, key: 1, location: 1, hazard: 0, payload: 1 },
    threads: [
      { name: 'writer', operations: writer(without) },
      { name: 'reader', operations: reader(key, without) },
    ],
    fault: ({ registers }) => {
      const { isPinned, first, second } = readerView(registers['reader'], key, without);
      if (!isPinned) return undefined;
      if (first === key && second === key) return undefined;
      return `a reader that pinned the payload of key ${key} read ${first} and then ${second}`;
    },
  };
}

/** Hides payload 1, and shows payload 2 in its place unless the reader pins that. */
function writer(without: Omission | undefined): readonly Operation[] {
  const isFree = (r: Registers): boolean => r['held'] === 0 || without === 'hazards';
  const whenFree = { needs: ['held'], when: isFree };
  return [
    ...beginWriting(3, without),
    { kind: 'store', word: 'location', value: 0 },
    endWriting(4, without),
    ...(without === 'the fence of the writer' ? [] : [fence('full')]),
    { kind: 'load', word: 'hazard', into: 'held', isAcquire: true },
    { kind: 'store', word: 'payload', value: 2, ...whenFree },
    ...beginWriting(5, without).map((one) =>
      one.kind === 'fence' ? one : { ...one, ...whenFree },
    ),
    { kind: 'store', word: 'key', value: 2, ...whenFree },
    { kind: 'store', word: 'location', value: 1, ...whenFree },
    { ...endWriting(6, without), ...whenFree },
  ];
}

function beginWriting(sequence: number, without: Omission | undefined): readonly Operation[] {
  if (without === 'the odd number while writing') return [];
  const odd: Operation = { kind: 'store', word: 'sequence', value: sequence };
  return without === 'the fence behind the odd number' ? [odd] : [odd, fence('release')];
}

function endWriting(sequence: number, without: Omission | undefined): Operation {
  const isRelease = without !== 'the release of the last store';
  return { kind: 'store', word: 'sequence', value: sequence, isRelease };
}

function reader(key: 1 | 2, without: Omission | undefined): readonly Operation[] {
  const found = { needs: ['s1', 'key', 'location', 's2'], when: isFound(key, without) };
  const pinned = { needs: ['location'] };
  const secondLook: readonly Operation[] =
    without === 'the second look at the sequence'
      ? []
      : [{ kind: 'load', word: 'sequence', into: 's3' }];
  return [
    { kind: 'load', word: 'sequence', into: 's1', isAcquire: true },
    { kind: 'load', word: 'key', into: 'key' },
    { kind: 'load', word: 'location', into: 'location' },
    { kind: 'load', word: 'sequence', into: 's2' },
    { kind: 'store', word: 'hazard', value: 1, ...found },
    ...(without === 'the fence of the reader' ? [] : [fence('full')]),
    ...secondLook,
    { kind: 'load', word: payloadAt, into: 'first', ...pinned },
    { kind: 'load', word: payloadAt, into: 'second', ...pinned },
    {
      ...{ kind: 'store', word: 'hazard', value: 0, ...found },
      isRelease: without !== 'the release of letting go',
    },
  ];
}

/** Reading the bytes needs their place, and nothing else keeps a processor from doing it early. */
function payloadAt({ location }: Registers): string {
  return location === 1 ? 'payload' : 'nothing';
}

function isFound(key: 1 | 2, without: Omission | undefined): (r: Registers) => boolean {
  return (r) => {
    if (r['key'] !== key || r['location'] !== 1) return false;
    if (without === 'the sequence check of the first look') return true;
    return r['s1'] === r['s2'] && (r['s1'] ?? 1) % 2 === 0;
  };
}

function readerView(
  registers: Registers,
  key: 1 | 2,
  without: Omission | undefined,
): { isPinned: boolean; first: number | undefined; second: number | undefined } {
  const { s1, s3, first, second } = registers;
  const isConfirmed = without === 'the second look at the sequence' || s1 === s3;
  return { isPinned: isFound(key, without)(registers) && isConfirmed, first, second };
}

function fence(order: 'acquire' | 'release' | 'full'): Operation {
  return { kind: 'fence', order };
}
