import type { Progress } from '../src/cli/progress.ts';
import type { Platform } from '../src/platform/platform.ts';
import type { MeasuredLimits } from './measured-limits.ts';
import type { ScenarioResult } from './report.ts';

/** What a scenario is given. */
export interface BenchContext {
  readonly platform: Platform;
  readonly progress: Progress;
  /** Micro model, few rounds: shows that everything runs, not how fast. */
  readonly isQuick: boolean;
  /** Rounds that were asked for; each scenario has its own number when undefined. */
  readonly rounds: number | undefined;
  /** Measure what depends on the engine with all cores too. */
  readonly hasAllCores: boolean;
  /** Measure other programs too, which take minutes to build. */
  readonly hasPeers: boolean;
  readonly limits: MeasuredLimits;
  /** Empty, on the disk of the cache, and removed after the run. */
  readonly directory: string;
}

export interface Scenario {
  readonly name: string;
  /** One line for the list of scenarios. */
  readonly about: string;
  /** Left out unless it is named, or other programs are asked for. */
  readonly isOptIn?: boolean;
  run(context: BenchContext): Promise<ScenarioResult>;
}
