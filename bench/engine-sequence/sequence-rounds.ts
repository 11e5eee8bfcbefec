import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { SocketLimit } from '../between-hosts/socket-limit.ts';
import type { Samples } from '../one-host/samples.ts';
import { bytesOf } from './sequence-engine.ts';
import type { SequenceEngine, StateSize, StepFigures, TierBytes } from './sequence-engine.ts';
import type { Mode, SequencePlace } from './sequence-places.ts';

/** What the sequence is run on, and what it came to so far. */
export interface SequenceRig {
  readonly engine: SequenceEngine;
  readonly places: readonly SequencePlace[];
  /** Over TCP and over a Unix socket. */
  readonly limits: Readonly<Record<'T' | 'U', SocketLimit>>;
  /** Where plain files lie. */
  readonly folder: string;
  readonly sizes: readonly StateSize[];
  /** Milliseconds by {@link nameOf}. */
  readonly samples: Samples;
  /** Why the figures must not be used. */
  readonly voidReasons: Set<string>;
}

/** What is measured of a state, in the order of the sequence. */
export const steps = ['save', 'durable', 'again', 'warm', 'disk', 'wiped'] as const;
export type Step = (typeof steps)[number];

/** Where the bytes of a restore must come from: all of them, and none from elsewhere. */
const tierOf: Readonly<Partial<Record<Step, keyof TierBytes>>> = {
  ...{ warm: 'memory', disk: 'disk', wiped: 'object' },
};

/** What a figure is kept under. */
export function nameOf(size: StateSize, who: Mode | 'files' | 'limit', step: string): string {
  return `${size.blocks} ${who} ${step}`;
}

/** One round: limits and files, then the whole sequence in every mode, under names of its own. */
export async function measureRound(rig: SequenceRig, round: number): Promise<void> {
  for (const size of rig.sizes) await measureLimits(rig, size, round);
  for (const place of rig.places) {
    await place.restart(true);
    await eachState(rig, place, round, saveAndRestore);
    await place.restart(false);
    await eachState(rig, place, round, restoreAs('disk'));
    await place.restart(true);
    await eachState(rig, place, round, restoreAs('wiped'));
    // Nobody else is to share the processors with it.
    await place.stop();
  }
}

interface State {
  readonly size: StateSize;
  readonly mode: Mode;
  readonly name: string;
  readonly environment: Readonly<Record<string, string>>;
}

type Work = (rig: SequenceRig, place: SequencePlace, state: State) => Promise<void>;

async function eachState(
  rig: SequenceRig,
  place: SequencePlace,
  round: number,
  work: Work,
): Promise<void> {
  for (const size of rig.sizes) {
    for (const mode of place.modes) {
      const name = `round ${round}, ${size.blocks} blocks, ${mode}`;
      await work(rig, place, { size, mode, name, environment: place.environmentOf(mode) });
    }
  }
}

async function saveAndRestore(rig: SequenceRig, place: SequencePlace, state: State): Promise<void> {
  const { engine, samples } = rig;
  const first = await engine.run('save', state);
  samples.keep(nameOf(state.size, state.mode, 'save'), first.ms['save'][0]);
  samples.keep(nameOf(state.size, state.mode, 'durable'), first.ms['durable'][0]);
  const again = await engine.run('save', state);
  samples.keep(nameOf(state.size, state.mode, 'again'), again.ms['save'][0]);
  const restored = await engine.run('restore', state);
  // A store of its own ends with the engine, and its memory with it.
  if (state.mode === 'embedded') keepRestore(rig, state, 'warm', { figures: restored, time: 1 });
  else await restoreAs('warm')(rig, place, state);
}

/** A restore by a fresh process. */
function restoreAs(step: 'warm' | 'disk' | 'wiped'): Work {
  return async (rig, _place, state) => {
    const figures = await rig.engine.run('restore', state);
    keepRestore(rig, state, step, { figures, time: 0 });
    rig.samples.keep(nameOf(state.size, state.mode, 'open'), figures.ms['open'][0]);
  };
}

/** Keeps one of the restores of a process, whose bytes must have come from one tier alone. */
function keepRestore(
  { samples, voidReasons }: SequenceRig,
  { size, mode }: State,
  step: 'warm' | 'disk' | 'wiped',
  { figures, time }: { readonly figures: StepFigures; readonly time: number },
): void {
  samples.keep(nameOf(size, mode, step), figures.ms['restore'][time]);
  const found = figures.tiers[time];
  const reason = strayBytes(found, tierOf[step] ?? 'memory', bytesOf(size));
  if (reason !== undefined) voidReasons.add(`${mode}, ${size.blocks} blocks, ${step}: ${reason}`);
}

/** What is wrong with the tiers that bytes came from; undefined when all came from that one. */
export function strayBytes(
  found: TierBytes,
  tier: keyof TierBytes,
  bytes: number,
): string | undefined {
  const expected = { ...{ memory: 0, disk: 0, object: 0 }, [tier]: bytes };
  const isRight = (['memory', 'disk', 'object'] as const).every(
    (one) => found[one] === expected[one],
  );
  if (isRight) return undefined;
  const { memory, disk, object } = found;
  return `${memory} bytes from memory, ${disk} from disk and ${object} from the bucket, of ${bytes} from ${tier}`;
}

/** The same state on plain files, copied, and over a socket. */
async function measureLimits(rig: SequenceRig, size: StateSize, round: number): Promise<void> {
  const { engine, samples, limits } = rig;
  const folder = join(rig.folder, `files-${round}-${size.blocks}`);
  mkdirSync(folder);
  const state = { name: `round ${round}, files`, size, folder };
  const [saved] = (await engine.run('write', state)).ms['save'];
  const [again] = (await engine.run('look', state)).ms['save'];
  const { ms } = await engine.run('read', state);
  rmSync(folder, { recursive: true });
  samples.keep(nameOf(size, 'files', 'save'), saved);
  samples.keep(nameOf(size, 'files', 'again'), again);
  samples.keep(nameOf(size, 'files', 'warm'), ms['restore'][0]);
  samples.keep(nameOf(size, 'limit', 'copy'), ms['copy'][0]);
  for (const letter of ['T', 'U'] as const) {
    for (const direction of ['put', 'get'] as const) {
      const ms = await limits[letter].move(direction, bytesOf(size));
      samples.keep(nameOf(size, 'limit', `${letter} ${direction}`), ms);
    }
  }
}
