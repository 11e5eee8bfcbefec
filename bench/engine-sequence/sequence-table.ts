import { atLeast, rowOf } from '../report.ts';
import type { ReferenceParts, Row, Table } from '../report.ts';
import type { Samples } from '../one-host/samples.ts';
import type { StateSize } from './sequence-engine.ts';
import { modes } from './sequence-places.ts';
import type { Mode } from './sequence-places.ts';
import { nameOf, steps } from './sequence-rounds.ts';
import type { Step } from './sequence-rounds.ts';

const stepTexts: Readonly<Record<Step, string>> = {
  save: 'first save, until it is accepted',
  durable: 'first save, until the bucket has it',
  again: 'the same saved again',
  warm: 'restore, memory warm',
  disk: 'restore from disk',
  wiped: 'restore, cache wiped',
};

/** Table and rows that the chart shows: a restore with memory warm, by mode and by plain files. */
export const warmRows = {
  tableName: 'engine-sequence-40',
  byMode: modes.map((mode) => ({ mode, what: `${stepTexts.warm}: ${mode}` })),
  files: `plain files: ${stepTexts.warm}`,
};

/** What moves the bytes at the least, by mode. */
const limitOf: Readonly<Record<Mode, 'M' | 'U' | 'T'>> = {
  ...{ shm: 'M', unix: 'U', tcp: 'T', http: 'T', tls: 'T', https: 'T', embedded: 'M' },
};

/** What plain files do as well, and the modes on one host that are held against them. */
const filesSteps: readonly Step[] = ['save', 'again', 'warm'];
const besideFiles: readonly Mode[] = ['shm', 'embedded'];

/** The whole sequence of one state, step by step, with the modes side by side. */
export function sequenceTable(samples: Samples, size: StateSize): Table {
  const rows = steps.flatMap((step) => [
    ...modes.map((mode) => modeRow(samples, size, mode, step)),
    ...(filesSteps.includes(step)
      ? besideFiles.map((mode) => filesRow(samples, size, mode, step))
      : []),
  ]);
  const title = `The sequence of an engine: ${size.blocks} blocks and a tail`;
  return { name: `engine-sequence-${size.blocks}`, title, rows, notes: sequenceNotes };
}

/** From the start of an engine until its store has answered a first call. */
export function startTable(samples: Samples, size: StateSize, starts: readonly Row[]): Table {
  const rows = modes.map((mode) =>
    rowOf({
      ...{ what: `open and a first lookup: ${mode}`, unit: 'ms' },
      samples: samples.of(nameOf(size, mode, 'open')),
    }),
  );
  return {
    ...{ name: 'engine-sequence-start', title: 'The sequence of an engine: its start' },
    ...{ rows: [...starts, ...rows], notes: startNotes },
  };
}

function modeRow(samples: Samples, size: StateSize, mode: Mode, step: Step): Row {
  const against = limitFor(samples, size, mode, step);
  return rowOf({
    ...{ what: `${stepTexts[step]}: ${mode}`, unit: 'ms' },
    samples: samples.of(nameOf(size, mode, step)),
    ...(against === undefined ? {} : { against, ratio: 'speed-up' }),
  });
}

/** Nothing has to be moved where all is known, and a bucket is more than bytes. */
function limitFor(
  samples: Samples,
  size: StateSize,
  mode: Mode,
  step: Step,
): ReferenceParts | undefined {
  if (step === 'again' || step === 'durable') return undefined;
  const letter = limitOf[mode];
  const direction = step === 'save' ? 'put' : 'get';
  const name = letter === 'M' ? 'copy' : `${letter} ${direction}`;
  return { what: letter, value: samples.of(nameOf(size, 'limit', name)) };
}

/** How many times as fast as plain files the mode is. */
function filesRow(samples: Samples, size: StateSize, mode: Mode, step: Step): Row {
  return rowOf({
    ...{ what: `plain files: ${stepTexts[step]}`, unit: 'ms' },
    samples: samples.of(nameOf(size, 'files', step)),
    against: { what: mode, value: samples.of(nameOf(size, mode, step)) },
    ...{ ratio: 'share', bar: atLeast(1) },
  });
}

const sequenceNotes = [
  'An engine in C shaped like capi/examples/engine.c (bench/engine-sequence/engine.c), a fresh process for each step: from the ' +
    'tokens to the last byte in memory of the engine, hashes, lookup and tail included, opening the store not. What is ' +
    'restored is compared with what was saved, outside the time. The counters of the store must show that every ' +
    'byte came from memory, from disk, or from the bucket, else the run is void. The bucket is a directory. Disk, bucket and files ' +
    'are in the page cache.',
  'Memory warm: another process has restored the same before; of a store of the engine’s own, which ends with it, the second ' +
    'restore of a process. From disk: the store has restarted. Cache wiped: it has restarted, and its cache directory ' +
    'is gone. Modes: a daemon’s shared memory, the Unix socket of a daemon without native code, TCP, HTTP, both ' +
    'over TLS, and a store of the engine’s own.',
  'M copies the bytes from memory to memory; T and U move them over TCP or a Unix socket, from C to C: a ratio is the part of ' +
    'that speed. Plain files are written beside their place and renamed, without a sync and without checksums, and ' +
    'nothing uploads them; their ratio says how many times as fast the mode is.',
];

const startNotes = [
  'The store process of an engine’s own, in a fresh cache directory, from its start until it says that it is ready. Node ' +
    'alone says so on the same socket and does nothing else. Below: a fresh engine opens its store and looks a block up, ' +
    'once in each restore of the larger state from disk and with the cache wiped, and once with memory warm. Of a daemon ' +
    'over TLS and of a store of its own a process is started for it.',
];
