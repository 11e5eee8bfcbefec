import { parseArgs } from 'node:util';

/** What the command line asks for. */
export interface BenchOptions {
  /** Scenarios; all when empty. */
  readonly names: readonly string[];
  readonly isQuick: boolean;
  readonly rounds: number | undefined;
  readonly hasAllCores: boolean;
  /** Compare with other programs, which are built first. */
  readonly hasPeers: boolean;
  /** One file for all results, beside those of each scenario. */
  readonly jsonPath: string | undefined;
  readonly isWriting: boolean;
  readonly isHelp: boolean;
}

/** @throws TypeError or RangeError naming the flag that is wrong. */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      threads: { type: 'string', default: '1' },
      peers: { type: 'boolean', default: false },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.threads !== '1' && values.threads !== 'all') {
    throw new RangeError(`--threads must be 1 or all; got ${values.threads}`);
  }
  return {
    names: positionals,
    isQuick: values.quick,
    rounds: values.rounds === undefined ? undefined : parseRounds(values.rounds),
    hasAllCores: values.threads === 'all',
    hasPeers: values.peers,
    jsonPath: values.json,
    isWriting: values.write,
    isHelp: values.help,
  };
}

function parseRounds(text: string): number {
  const rounds = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (rounds === 0) throw new RangeError(`--rounds must be 1 to 9999; got ${text}`);
  return rounds;
}
