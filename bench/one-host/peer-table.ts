import { atLeast, rowOf } from '../report.ts';
import type { Row, RowParts, Table } from '../report.ts';
import type { Peer, PeerName, Peers } from './peers.ts';
import type { Samples } from './samples.ts';

/** What is measured of a peer in each round, and of WombatKV in the same one, under the same names. */
export interface Compared {
  readonly name: string;
  readonly text: string;
  readonly unit: 'µs' | 'GB/s' | 'count';
  /** How many times as fast as a peer WombatKV must be, where it is not just faster. */
  readonly factor?: Partial<Readonly<Record<PeerName, number>>>;
}

/** In the order of the rows; a peer that lacks one has no samples of it. */
export const compared: readonly Compared[] = [
  { name: 'lookup', text: 'lookup of 80', unit: 'µs' },
  { name: 'growing', text: 'put of 40 × 1 MiB, memory new', unit: 'GB/s' },
  { name: 'warm', text: 'put of 40 × 1 MiB, memory used before', unit: 'GB/s' },
  {
    ...{ name: 'get', text: 'get of 40 × 1 MiB', unit: 'µs' },
    factor: { Redis: 5, files: 5, LMDB: 10 },
  },
  { name: 'touch', text: 'the same, a byte of each page read', unit: 'µs' },
  { name: 'out', text: 'the same, copied out', unit: 'GB/s' },
  { name: 'one', text: 'gets of 4 KiB a second, one in a call', unit: 'count' },
  { name: 'few', text: 'gets of 4 KiB a second, 40 in a call', unit: 'count' },
  { name: 'put one', text: 'puts of 4 KiB a second, one in a call', unit: 'count' },
  { name: 'put many', text: 'puts of 4 KiB a second, 40 in a call', unit: 'count' },
];

/** A row for each thing that a peer does, with how many times as fast WombatKV is in C. */
export function peerTable({ list, missing }: Peers, samples: Samples): Table {
  const title = 'One host: Redis, plain files and LMDB from C';
  return {
    ...{ name: 'one-host-peers', title, rows: peerRows(list, samples) },
    notes: missing === '' ? notes : [`Peers are left out: ${missing}`],
  };
}

/** The rows of peers one behind the other. */
export function peerRows(list: readonly Pick<Peer, 'name'>[], samples: Samples): readonly Row[] {
  return list.flatMap(({ name }) => compared.flatMap((what) => rowsOf(name, what, samples)));
}

function rowsOf(peer: PeerName, { name, text, unit, factor }: Compared, all: Samples): Row[] {
  const samples = all.of(`${peer} ${name}`);
  const own = all.of(name);
  if (samples.length === 0) return [];
  const ratio: RowParts['ratio'] = unit === 'µs' ? 'share' : 'speed-up';
  const against = { what: 'WombatKV', value: own };
  const bar = atLeast(factor?.[peer] ?? 1);
  return [rowOf({ what: `${peer}: ${text}`, unit, samples, against, ratio, bar })];
}

const notes = [
  'One thread in C for each, in the same rounds as the client in C above; a ratio says how many times as fast as the ' +
    'peer WombatKV is. Keys are the 64 digits of a hash everywhere, and what comes back is compared, outside the ' +
    'time. Memory is used before where earlier blocks were removed first.',
  'Redis is asked by hiredis through its Unix socket, a batch in one pipeline: it keeps values in its memory, computes no ' +
    'checksum, and they die with it; its gets end with the bytes in memory of the client. Files lie on tmpfs: ' +
    'each is written beside its place and renamed, a get opens and reads it into memory that is there; no checksum, ' +
    'no index, no limit. LMDB lies on tmpfs with NOSYNC and WRITEMAP: a batch is one transaction; what it has survives ' +
    'the process, and neither a crash of the system nor, surely, a wrong pointer of the engine; it checks no ' +
    'bytes. Its gets, and those of WombatKV, show where the bytes lie and touch none of them; “a byte of each page ' +
    'read” does. None of the three uploads anything.',
];
