import { buildCProgram, hasCompiler } from '../c-program.ts';
import type { Row, Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import { cEnvironments, measureBatchesInC, tableInC } from './batches-in-c.ts';
import type { BatchSize } from './batches.ts';
import type { BenchDaemon } from './bench-daemon.ts';
import { measureCallsInC } from './calls-in-c.ts';
import type { SocketLimit } from './socket-limit.ts';

export interface ClientsInC {
  readonly place: string;
  readonly daemon: BenchDaemon;
  /** T. */
  readonly limit: SocketLimit;
  readonly sizes: readonly BatchSize[];
  readonly roundsOf: (size: BatchSize) => number;
}

/** What programs in C see of the daemon; gives the one that runs then. No tables where there is no compiler. */
export async function measureClientsInC(
  { isQuick, progress }: BenchContext,
  { place, daemon, limit, sizes, roundsOf }: ClientsInC,
): Promise<{ readonly tables: readonly Table[]; readonly daemon: BenchDaemon }> {
  if (!hasCompiler()) return { tables: [], daemon };
  const environments = cEnvironments(daemon, place);
  const program = await buildCProgram(place, 'one-host/client.c');
  const rows: Row[] = [];
  for (const size of sizes) {
    progress.begin(`between hosts from C, 40 blocks of ${size.name}`);
    rows.push(...(await measureBatchesInC({ program, environments, limit }, size, roundsOf(size))));
    progress.end('done');
  }
  progress.begin('between hosts from C, small calls while batches move');
  const many = await buildCProgram(place, 'between-hosts/clients.c');
  const calls = await measureCallsInC({ program: many, environments, isQuick }, daemon);
  progress.end('done');
  return { tables: [tableInC(rows), calls.table], daemon: calls.daemon };
}
