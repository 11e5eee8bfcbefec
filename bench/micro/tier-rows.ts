import type { MeasuredLimits } from '../measured-limits.ts';
import { ratesOf } from '../measure.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';
import { medianOf } from '../statistics.ts';

/** One round, in milliseconds for the whole batch. */
export interface TierSamples {
  readonly saveMs: number;
  readonly againMs: number;
  readonly lookupMs: number;
  readonly residentMs: number;
  readonly diskMs: number;
  readonly objectMs: number;
  readonly plainWriteMs: number;
  readonly plainReadMs: number;
}

export interface BatchSize {
  readonly blocks: number;
  readonly blockBytes: number;
  /** Blocks of the chain that is looked up. */
  readonly chainBlocks: number;
}

/** The rows of one block size, each against what it is limited by. */
export function tierRows(
  { blocks, blockBytes, chainBlocks }: BatchSize,
  rounds: readonly TierSamples[],
  limits: MeasuredLimits,
): Row[] {
  const batch = `${blocks} × ${blockBytes / 1024} KiB`;
  const bytes = blocks * blockBytes;
  const rates = (part: keyof TierSamples): number[] =>
    ratesOf(
      rounds.map((round) => round[part]),
      bytes,
    );
  const micros = (part: keyof TierSamples): number[] => rounds.map((round) => round[part] * 1000);
  const moved = (what: string, part: keyof TierSamples, against: [string, number][]): Row[] =>
    against.map(([name, value]) =>
      rowOf({
        ...{ what: `${batch}: ${what}`, unit: 'GB/s', samples: rates(part) },
        against: { what: name, value },
      }),
    );
  const small = (what: string, part: keyof TierSamples, most: number): Row =>
    rowOf({ what: `${batch}: ${what}`, unit: 'µs', samples: micros(part), bar: atMost(most) });
  const plainWrite = medianOf(rates('plainWriteMs'));
  const plainRead = medianOf(rates('plainReadMs'));
  return [
    ...moved('save, new', 'saveMs', [
      ['M', limits.copyRate],
      ['D, write', limits.diskWriteRate],
      ['plain files', plainWrite],
    ]),
    small('save, stored already', 'againMs', 100),
    small(`lookup of ${chainBlocks}`, 'lookupMs', 40),
    small('load, in memory, no copy', 'residentMs', 100),
    ...moved('load, on disk', 'diskMs', [
      ['D, read', limits.diskReadRate],
      ['plain files', plainRead],
    ]),
    ...moved('load, object store only', 'objectMs', [
      ['D, read', limits.diskReadRate],
      ['plain files', plainRead],
    ]),
  ];
}
