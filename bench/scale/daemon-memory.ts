import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../src/client.ts';
import { DaemonProcess } from '../../test/cli/daemon-process.ts';
import { chainOf } from '../chain.ts';
import { mib } from '../measured-limits.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';

/** Of bars.md: the tiers come on top. */
const idleBytesMax = 80e6;
/** By then a daemon without work has given back what it does not need (docs/decisions/0119). */
const restMs = 30_000;
const batches = 6;
const batch = { blocks: 40, blockBytes: mib } as const;

/** Bytes that a process has in memory, but for what it shares by name: the memory tier, and the indexes in it. */
export interface ResidentBytes {
  readonly own: number;
  /** Pages of programs and libraries, which processes that run the same ones have together. */
  readonly ofFiles: number;
}

export function residentBytes(processId: number): ResidentBytes {
  const text = readFileSync(`/proc/${processId}/status`, 'utf8');
  const bytesOf = (name: string): number => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    if (found === undefined) throw new Error(`the system does not say ${name} of a process`);
    return 1024 * Number(found);
  };
  return { own: bytesOf('RssAnon'), ofFiles: bytesOf('RssFile') };
}

/** A daemon that nobody has asked for anything, and one that has served. */
export async function daemonMemoryRows(directory: string): Promise<readonly Row[]> {
  const home = join(directory, 'idle');
  mkdirSync(home);
  const daemon = new DaemonProcess(['--prefix', 'bench'], {
    ...{ HOME: home, WMBT_KV_RUNTIME_DIR: join(home, 'run') },
    WMBT_KV_OBJECT_STORE: `file://${encodeURI(join(home, 'objects'))}`,
    WMBT_KV_PUFFER_DIR: join(home, 'cache'),
  });
  try {
    await daemon.ready();
    const processId = daemon.child.pid ?? 0;
    await sleep(restMs);
    const rowsNow = (what: string): readonly Row[] => {
      const { own, ofFiles } = residentBytes(processId);
      return [
        rowOf({
          ...{ what: `${what}: resident memory, tiers left out`, unit: 'bytes' },
          ...{ samples: [own + ofFiles], bar: atMost(idleBytesMax) },
        }),
        rowOf({
          ...{ what: `${what}: of it, pages of programs and libraries`, unit: 'bytes' },
          samples: [ofFiles],
        }),
      ];
    };
    const rows = [...rowsNow('an idle daemon')];
    const store = await connect(`unix:${join(home, 'run', 'bench.sock')}`);
    for (let round = 0; round < batches; round += 1) {
      const chain = chainOf({ seed: `idle ${round}`, ...batch });
      await store.save(chain);
      await store.flush();
      (await store.load(chain.map(({ key }) => key))).release();
    }
    await store.close();
    await sleep(restMs);
    rows.push(...rowsNow(`an idle daemon that has served ${2 * batches * batch.blocks} MiB`));
    return rows;
  } finally {
    await daemon.stop();
  }
}
