/**
 * Runs the benchmarks named as arguments, or all: `npm run bench -- --help`. Prints tables, keeps
 * results in bench/results and, with --write, brings them into the documents.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { demoCacheDirectory } from '../src/cli/demo/demo-model.ts';
import { packageVersion } from '../src/cli/package-version.ts';
import { Progress } from '../src/cli/progress.ts';
import { processTerminal } from '../src/cli/terminal.ts';
import { nodePlatform } from '../src/platform/node-platform.ts';
import type { Platform } from '../src/platform/platform.ts';
import { projectRoot } from '../tools/project.ts';
import { parseBenchOptions } from './bench-options.ts';
import type { BenchOptions } from './bench-options.ts';
import { keepResult } from './keep-results.ts';
import { readMachine, readSourceVersion } from './machine.ts';
import { betweenHosts } from './between-hosts/between-hosts.ts';
import { engineSequence } from './engine-sequence/engine-sequence.ts';
import { wire } from './between-hosts/wire.ts';
import { mainJob } from './main-job/main-job.ts';
import { measureLimits } from './measured-limits.ts';
import { compression } from './micro/compression.ts';
import { framing } from './micro/framing.ts';
import { hashing } from './micro/hashing.ts';
import { parsing } from './micro/parsing.ts';
import { tiers } from './micro/tiers.ts';
import { oneHost } from './one-host/one-host.ts';
import { scale } from './scale/scale.ts';
import { objectStore } from './object-store/object-store.ts';
import { pythonPeers } from './python-peers/python-peers.ts';
import { rustPeer } from './rust-peer/rust-peer.ts';
import { renderText } from './report-text.ts';
import { toJson } from './result-file.ts';
import type { ResultFile } from './result-file.ts';
import { RunEnd } from './run-end.ts';
import type { BenchContext, Scenario } from './scenario.ts';

/** Short ones first: who waits sees something. */
const scenarios: readonly Scenario[] = [
  ...[hashing, framing, parsing, tiers, scale, compression, engineSequence, oneHost],
  ...[objectStore, rustPeer, pythonPeers, betweenHosts, wire, mainJob],
];

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = parseBenchOptions(args);
    if (options.isHelp) {
      console.log(help());
      return 0;
    }
    const results = await runAll(options, scenariosOf(options));
    return results.every(({ voidReasons }) => voidReasons.length === 0) ? 0 : 1;
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError)) throw error;
    console.error(`bench: ${error.message}`);
    return 2;
  }
}

async function runAll(
  options: BenchOptions,
  wanted: readonly Scenario[],
): Promise<readonly ResultFile[]> {
  const platform = nodePlatform();
  const root = projectRoot();
  const context = contextOf(options, platform);
  const common = {
    isQuick: options.isQuick,
    date: new Date().toISOString(),
    machine: readMachine(),
    source: readSourceVersion(root),
    limits: context.limits.table,
  };
  const wombatkv = await packageVersion(platform.files);
  const results: ResultFile[] = [];
  const cleanUp = (): void => rmSync(context.directory, { recursive: true, force: true });
  await new RunEnd(cleanUp).during(async () => {
    try {
      console.log(renderText(context.limits.table, options.isQuick));
      for (const scenario of wanted) {
        const result = await scenario.run(context);
        const versions = { wombatkv, node: process.version, ...result.versions };
        const file = { scenario: scenario.name, ...common, ...result, versions };
        results.push(file);
        print(file, await keepResult(root, file, options));
      }
    } finally {
      cleanUp();
    }
  });
  if (options.jsonPath !== undefined) writeFileSync(resolve(options.jsonPath), toJson(results));
  return results;
}

function contextOf(options: BenchOptions, platform: Platform): BenchContext {
  const { isQuick, rounds, hasAllCores, hasPeers } = options;
  const progress = new Progress(processTerminal().notes, platform.clock);
  // The cache's own disk: a temporary directory may lie in memory.
  const cacheDirectory = demoCacheDirectory(platform);
  mkdirSync(cacheDirectory, { recursive: true });
  const directory = mkdtempSync(join(cacheDirectory, 'bench-'));
  const limits = measureLimits(directory, isQuick);
  return { platform, progress, isQuick, rounds, hasAllCores, hasPeers, limits, directory };
}

function print(
  { tables, isQuick, voidReasons }: ResultFile,
  [path, ...documents]: readonly string[],
): void {
  for (const table of tables) console.log(`\n${renderText(table, isQuick)}`);
  for (const reason of voidReasons) console.log(`VOID: ${reason}`);
  console.log(`kept in ${path}`);
  for (const document of documents) console.log(`written: ${document}`);
}

function scenariosOf({ names, hasPeers }: BenchOptions): readonly Scenario[] {
  const known = scenarios.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new RangeError(`no scenario is called ${unknown}; there are: ${known.join(', ')}`);
  }
  return scenarios.filter(({ name, isOptIn = false }) =>
    names.length === 0 ? hasPeers || !isOptIn : names.includes(name),
  );
}

function help(): string {
  const width = Math.max(...scenarios.map(({ name }) => name.length));
  const list = scenarios.map(({ name, about }) => `  ${name.padEnd(width)}  ${about}`);
  return [
    'npm run bench [-- scenarios…] [--quick] [--rounds N] [--threads all] [--peers] [--json FILE] [--write]',
    '',
    ...list,
    '',
    '  --quick        micro model and few rounds: shows that all runs, not how fast',
    '  --rounds N     rounds of everything, instead of the usual number of each',
    '  --threads all  the main job with all cores too, beside one core',
    '  --peers        beside the Rust WombatKV, LMCache and Mooncake too; cargo and pip install them (5 to 20 min)',
    '  --json FILE    all results in one file, beside bench/results',
    '  --write        bring tables and charts into docs',
  ].join('\n');
}
