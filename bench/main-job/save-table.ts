import { atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import type { SaveMeasured } from '../engine/engine-job.ts';
import type { Answers } from './answers.ts';

/** What saving the prompt and its answer costs the engine. */
export function saveTable({ cold }: Answers): Table {
  const saves = cold.flatMap(({ save }) => save ?? []);
  const samples = (pick: (save: SaveMeasured) => number): number[] => saves.map(pick);
  const exportMs = medianOf(saves.flatMap(({ exportAloneMs }) => exportAloneMs));
  const unit = 'ms';
  return {
    name: 'save',
    title: 'Saving, as the engine sees it',
    rows: [
      rowOf({
        what: 'calls that save before the answer has ended',
        ...{ unit: 'count', samples: samples((one) => one.savesDuringAnswer), bar: atMost(0) },
      }),
      rowOf({
        what: "the engine's own export of the state",
        ...{ unit, samples: saves.flatMap(({ exportAloneMs }) => exportAloneMs) },
      }),
      rowOf({
        what: 'from the start of the save until the sequence is free',
        ...{ unit, samples: samples((one) => one.sequenceFreeMs) },
        ...{ against: { what: 'export + 5 ms', value: exportMs + 5 }, bar: atMost(1) },
      }),
      rowOf({
        what: 'longest time the thread is busy during the save',
        ...{ unit, samples: samples((one) => one.longestBlockMs) },
      }),
      rowOf({
        what: 'until the store has accepted everything',
        ...{ unit, samples: samples((one) => one.acceptedMs) },
      }),
      rowOf({
        what: 'saving again what is stored',
        ...{ unit, samples: saves.flatMap(({ againMs }) => againMs), bar: atMost(1) },
      }),
      rowOf({
        what: 'exports for saving again',
        ...{ unit: 'count', samples: samples((one) => one.againExports), bar: atMost(0) },
      }),
    ],
    notes: [
      `One save holds ${medianOf(samples((one) => one.statistics.savedBlocks))} blocks and ` +
        `${medianOf(samples((one) => one.statistics.savedTails))} tails.`,
    ],
  };
}
