import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { SocketLimit } from '../between-hosts/socket-limit.ts';
import { Samples } from '../one-host/samples.ts';
import type { ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { SequenceEngine } from './sequence-engine.ts';
import type { StateSize } from './sequence-engine.ts';
import { openPlaces } from './sequence-places.ts';
import { measureRound } from './sequence-rounds.ts';
import type { SequenceRig } from './sequence-rounds.ts';
import { sequenceTable, startTable } from './sequence-table.ts';
import { measureStarts } from './store-start.ts';

/** A real engine's calls, in the order in which it makes them, in every mode of the C library. */
export const engineSequence: Scenario = {
  name: 'engine-sequence',
  about: 'an engine in C in every mode: saved, saved again, restored from memory, disk and bucket',
  run,
};

const mib = 1024 * 1024;
/** The tokens behind the last block, of which there are fewer than in a block. */
const tailBytes = 616 * 1024;
/** A prompt of about 1,700 tokens, as that of the main job, and one of about 5,200. */
const sizes: readonly [StateSize, StateSize] = [
  { blocks: 13, blockBytes: mib, tailBytes },
  { blocks: 40, blockBytes: mib, tailBytes },
];
const usualRounds = 5;

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { isQuick, progress } = context;
  const directory = join(context.directory, 'engine-sequence');
  mkdirSync(directory);
  const rounds = context.rounds ?? (isQuick ? 1 : usualRounds);
  progress.begin('engine sequence, the start of a store');
  const engine = await SequenceEngine.build(directory);
  const starts = await measureStarts(engine.library, directory, isQuick);
  const rig: SequenceRig = {
    ...{ engine, sizes: isQuick ? sizes.slice(0, 1) : sizes, folder: directory },
    limits: { T: SocketLimit.start('tcp', directory), U: SocketLimit.start('unix', directory) },
    ...{ places: await openPlaces(directory), samples: new Samples(), voidReasons: new Set() },
  };
  try {
    for (let round = 1; round <= rounds; round += 1) {
      progress.begin(`engine sequence, round ${round} of ${rounds}`);
      await measureRound(rig, round);
    }
    progress.end('done');
  } finally {
    for (const place of rig.places) await place.stop();
    await Promise.all([rig.limits.T.stop(), rig.limits.U.stop()]);
  }
  const tables = rig.sizes.map((size) => sequenceTable(rig.samples, size));
  const largest = rig.sizes[rig.sizes.length - 1] ?? sizes[1];
  return {
    tables: [...tables, startTable(rig.samples, largest, starts)],
    settings: { rounds, tailBytes, blockBytes: mib, bucket: 'directory' },
    ...{ versions: {}, voidReasons: [...rig.voidReasons] },
  };
}
