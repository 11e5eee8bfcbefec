import { rustVersion } from '../../tools/rust-wombatkv.ts';
import type { Samples } from '../one-host/samples.ts';
import { atLeast, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import type { Side } from './peer-places.ts';
import { batchBlocks } from './peer-rounds.ts';
import type { Mode } from './peer-rounds.ts';

/** One thing that both did. */
interface Compared {
  readonly text: string;
  /** As peer-rounds.ts and peer-restarts.ts name the samples. */
  readonly name: string;
  /** `a second`: how many calls. */
  readonly unit: 'ms' | 'µs' | 'a second';
  /** How many times as fast as the Rust version it must be, at least; 1 when absent. */
  readonly factor?: number;
  /** Whether the Rust version, whose puts are durable, stands against durable ones, and against accepted ones too. */
  readonly isPut?: boolean;
}

/** Factors that depend on the mode. */
interface Factors {
  readonly durablePut: number;
  readonly residentGet: number;
}

const batch = `${batchBlocks} × 1 MiB`;

/** In a mode whose processes go on. */
function comparedIn({ durablePut, residentGet }: Factors): readonly Compared[] {
  const small = 'of 4 KiB a second, one in a call';
  return [
    { text: `put of ${batch}, new`, name: 'put', unit: 'ms', factor: durablePut, isPut: true },
    { text: 'put of the same again', name: 'again', unit: 'ms', isPut: true },
    { text: `lookup of ${batchBlocks}`, name: 'lookup', unit: 'µs' },
    {
      ...{ text: `get of ${batch}, borrowed and released`, name: 'get' },
      ...{ unit: 'µs', factor: residentGet },
    },
    { text: `get of ${batch}, copied out`, name: 'out', unit: 'ms' },
    { text: 'tail of 23.5 MB, put and got', name: 'tail', unit: 'ms' },
    { text: `puts ${small}`, name: 'small put', unit: 'a second', isPut: true },
    { text: `gets ${small}`, name: 'small get', unit: 'a second' },
  ];
}

/** In fresh processes. */
const wiped: readonly Compared[] = [
  { text: 'first get, cache wiped', name: 'wiped get', unit: 'ms', factor: 1.5 },
  { text: 'opening, lookup and get, cache wiped', name: 'wiped whole', unit: 'ms' },
];
const kept: readonly Compared[] = [
  { text: 'first get, cache on disk', name: 'kept get', unit: 'ms' },
  { text: 'opening, lookup and get, cache on disk', name: 'kept whole', unit: 'ms' },
];

/** A store of the process's own. */
export function embeddedTable(samples: Samples): Table {
  const rows = [...comparedIn({ durablePut: 1.5, residentGet: 1000 }), ...wiped, ...kept];
  const copies = samples.of('embedded own copy').map((ns) => ns / 1e6);
  return {
    ...{ name: 'rust-peer-embedded', title: 'Beside the Rust WombatKV: embedded' },
    rows: [
      ...rows.flatMap((row) => rowsFor('embedded', row, samples)),
      rowOf({ what: `M: copy of ${batch}`, unit: 'ms', samples: copies }),
    ],
    notes,
  };
}

/** Daemons, by each of their doors. */
export function daemonTable(samples: Samples): Table {
  const rowsOf = (mode: Mode, residentGet: number): readonly Row[] =>
    [...comparedIn({ durablePut: 20, residentGet }), ...wiped].flatMap((row) =>
      rowsFor(mode, row, samples),
    );
  const found = (side: Side): string =>
    (['shm', 'tcp', 'http'] as const)
      .map((mode) => medianOf(samples.of(`${mode} ${side} wiped found`)))
      .join(', ');
  return {
    ...{ name: 'rust-peer-daemons', title: 'Beside the Rust WombatKV: daemons' },
    rows: [...rowsOf('shm', 1000), ...rowsOf('tcp', 1), ...rowsOf('http', 1)],
    notes: [
      'As above, by the shared memory of a daemon, by TCP and by HTTP, one daemon of each kind with all three doors. ' +
        'The Rust version’s takes 0.2 s for each block of a put; so there are few rounds of puts.',
      'Cache wiped: a daemon that has just started in an empty directory. Lookups there find, by shared memory, TCP and ' +
        `HTTP, ${found('rust')} of ${batchBlocks} blocks with the Rust version, whose engine so restores nothing, and ` +
        `${found('own')} with this one. The get is made all the same.`,
    ],
  };
}

const notes = [
  `${rustVersion}. One program in C (bench/rust-peer/client.c) that knows the fifteen functions of ABI 1.0, linked to ` +
    'either library, one thread; both on one S3 server, which keeps everything in memory, below prefixes of their ' +
    'own, in turns. Half of each block is random, half zeros; both compress by their own defaults. What comes back ' +
    'is compared with what was put, outside the time. After puts nothing is measured until uploads have ended.',
  'Puts of the Rust version return when the bucket has confirmed. They stand against those of this library with ' +
    '`WMBT_KV_PUT_DURABLE`, which do so too, and against its usual ones, which return when what was put ' +
    'survives the death of engine and daemon, and is uploaded then. Tails return before their upload in both; ' +
    'those of the Rust version are lost when the process ends in the next quarter of a second.',
  'In a fresh process everything is done once, as by an engine that has just started: a process of Node is started for the ' +
    'store of this library. With opening: the Rust version reads then what the bucket holds.',
];

function rowsFor(
  mode: Mode,
  { text, name, unit, factor = 1, isPut }: Compared,
  all: Samples,
): Row[] {
  const inUnit = (ns: number): number =>
    unit === 'a second' ? Math.round(1e9 / ns) : ns / (unit === 'ms' ? 1e6 : 1e3);
  const samplesOf = (side: Side): readonly number[] =>
    all.of(`${mode} ${side} ${name}`).map(inUnit);
  const row = (side: Side, what: string, least: number): Row =>
    rowOf({
      ...{ what: `${mode}: ${what}`, unit: unit === 'a second' ? 'count' : unit },
      ...{ samples: samplesOf(side), against: { what: 'Rust', value: samplesOf('rust') } },
      ...{ ratio: unit === 'a second' ? 'share' : 'speed-up', bar: atLeast(least) },
    });
  if (isPut !== true) return [row('own', text, factor)];
  return [row('durable', `${text}, durable`, factor), row('own', `${text}, accepted`, 1)];
}
