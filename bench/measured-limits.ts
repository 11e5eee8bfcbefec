import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { measureInTurns, ratesOf, samplesOf } from './measure.ts';
import { rowOf } from './report.ts';
import type { Table } from './report.ts';
import { medianOf } from './statistics.ts';

/** What this machine can do at all, measured before anything else, in GB/s. */
export interface MeasuredLimits {
  /** M: one core copying warm blocks of 1 MiB. */
  readonly copyRate: number;
  /** D: one thread reading and writing blocks of 1 MiB of a file, in the page cache. */
  readonly diskReadRate: number;
  readonly diskWriteRate: number;
  readonly table: Table;
}

export const mib = 1024 * 1024;
/** As many blocks as the batch of the bars: more than a core's own cache holds. */
const blocks = 40;

/** Measures the limits; the file lies in the directory for the time being. */
export function measureLimits(directory: string, isQuick: boolean): MeasuredLimits {
  const source = new Uint8Array(blocks * mib).fill(1);
  const target = new Uint8Array(blocks * mib).fill(2);
  const path = join(directory, 'limit.bin');
  const file = openSync(path, 'w+');
  try {
    const cases = [
      { name: 'copy', run: () => eachBlock((at) => copyBlock(source, target, at)) },
      { name: 'write', run: () => eachBlock((at) => writeSync(file, source, at, mib, at)) },
      { name: 'read', run: () => eachBlock((at) => readSync(file, target, at, mib, at)) },
    ];
    const measured = measureInTurns(cases, { rounds: isQuick ? 5 : 15, roundMs: 30 });
    const rates = (name: string): number[] => ratesOf(samplesOf(measured, name), blocks * mib);
    const rates3 = { copy: rates('copy'), write: rates('write'), read: rates('read') };
    return {
      copyRate: medianOf(rates3.copy),
      diskReadRate: medianOf(rates3.read),
      diskWriteRate: medianOf(rates3.write),
      table: tableOf(rates3),
    };
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

function tableOf(rates: Readonly<Record<'copy' | 'write' | 'read', readonly number[]>>): Table {
  return {
    name: 'limits',
    title: 'Limits of this machine',
    rows: [
      rowOf({ what: 'M: copy, one core, warm', unit: 'GB/s', samples: rates.copy }),
      rowOf({ what: 'D: write a file, page cache', unit: 'GB/s', samples: rates.write }),
      rowOf({ what: 'D: read a file, page cache', unit: 'GB/s', samples: rates.read }),
    ],
    notes: [
      'Blocks of 1 MiB, 40 in a row, in CPU time. The file lies on the disk of the cache; what is read was just ' +
        'written, so that the disk itself is not asked.',
    ],
  };
}

function eachBlock(work: (at: number) => void): void {
  for (let at = 0; at < blocks * mib; at += mib) work(at);
}

function copyBlock(source: Uint8Array, target: Uint8Array, at: number): void {
  target.set(source.subarray(at, at + mib), at);
}
