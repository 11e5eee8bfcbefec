import { mkdirSync, writeFileSync } from 'node:fs';
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

/** Writes the result where those of other machines lie. */
export function writeResult(root: string, result: ResultFile): string {
  const directory = join(root, 'bench', 'results');
  mkdirSync(directory, { recursive: true });
  const name = `${result.scenario}-${machineName(result.machine)}${result.isQuick ? '-quick' : ''}`;
  const path = join(directory, `${name}.json`);
  writeFileSync(path, toJson(result));
  return path;
}

/** The value as JSON that people can read. */
export function toJson(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
