import { join } from 'node:path';
import { machineName } from './machine.ts';
import type { Machine, SourceVersion } from './machine.ts';
import type { ScenarioResult, Table } from './report.ts';

/** A scenario's result as it is kept: figures, and what one must know to judge them. */
export interface ResultFile extends ScenarioResult {
  readonly scenario: string;
  /** True: the micro model and few rounds; the figures prove nothing. */
  readonly isQuick: boolean;
  /** When the run began, in UTC. */
  readonly date: string;
  readonly machine: Machine;
  readonly source: SourceVersion;
  readonly limits: Table;
}

/** Where the result is kept, beside those of other machines. */
export function resultPath(root: string, { scenario, machine, isQuick }: ResultFile): string {
  const name = `${scenario}-${machineName(machine)}${isQuick ? '-quick' : ''}.json`;
  return join(root, 'bench', 'results', name);
}

/** The value as JSON that people can read. */
export function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
