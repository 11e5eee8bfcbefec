import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row } from '../report.ts';
import { medianOf } from '../statistics.ts';
import type { GetResult } from './client-job.ts';
import { chainName } from './place.ts';
import type { RestoreRounds } from './restore-rounds.ts';

const speedUpMin = 1.3;
const cpuShareMax = 0.5;
/** Round trips of a restore: one to ask, one that does not fit beside it. */
const roundTrips = 2;

/** The rows of one chain at one place, against the clients of the same rounds. */
export function restoreRows(rounds: RestoreRounds): Row[] {
  const { place, shape, store, sdk, sequential, plain, kept, roundTripMs } = rounds;
  const what = (text: string): string => `${place.name}, ${chainName(shape)}: ${text}`;
  const bytes = shape.blocks * shape.blockBytes;
  const perGigabyte = (cpuMs: readonly number[]): number[] => cpuMs.map((ms) => ms / (bytes / 1e9));
  const loads = store.map(({ loadMs }) => loadMs);
  const sdkCpu = medianOf(perGigabyte(sdk.map(({ cpuMs }) => cpuMs)));
  const ownMs = medianOf(msOf(plain));
  const against = (name: string, value: number): { what: string; value: number } => ({
    ...{ what: name, value },
  });
  const time = { unit: 'ms', samples: loads } as const;
  const cpu = { unit: 'ms', ratio: 'share' } as const;
  const oneByOne = (): Row =>
    rowOf({
      ...{ ...time, what: what('restore') },
      against: against('SDK, one by one', medianOf(msOf(sequential))),
      ratio: 'speed-up',
    });
  return [
    rowOf({
      ...{ ...time, what: what('restore') },
      against: against('SDK, 8 at once', medianOf(msOf(sdk))),
      ...{ ratio: 'speed-up', bar: atLeast(speedUpMin) },
    }),
    ...(sequential.length === 0 ? [] : [oneByOne()]),
    rowOf({
      ...{ ...time, what: what('restore') },
      against: against("2 round trips + the server's own time", roundTrips * roundTripMs + ownMs),
      bar: atMost(1),
    }),
    rowOf({
      ...{ ...time, what: what('restore') },
      against: against('a plain client that keeps the bytes', medianOf(msOf(kept))),
    }),
    rowOf({
      ...{ ...cpu, what: what('CPU of a GB') },
      samples: perGigabyte(store.map(({ cpuMs }) => cpuMs)),
      ...{ against: against('SDK', sdkCpu), bar: atMost(cpuShareMax) },
    }),
    rowOf({
      ...{ ...cpu, what: what('the same, written to the local log too') },
      samples: perGigabyte(store.map(({ cpuWithLogMs }) => cpuWithLogMs)),
      against: against('SDK', sdkCpu),
    }),
    rowOf({
      ...{ what: what('CPU of opening the store'), unit: 'ms' },
      samples: store.map(({ openCpuMs }) => openCpuMs),
    }),
    rowOf({
      ...{ what: what('lookup before it'), unit: 'ms' },
      samples: store.map(({ lookupMs }) => lookupMs),
      against: against('a round trip', roundTripMs),
    }),
  ];
}

function msOf(results: readonly GetResult[]): number[] {
  return results.map(({ ms }) => ms);
}
