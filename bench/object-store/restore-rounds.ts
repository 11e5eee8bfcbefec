import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ChainShape } from '../chain.ts';
import { medianOf } from '../statistics.ts';
import type { GetJob, GetResult, RestoreResult } from './client-job.ts';
import { ClientProcess } from './client-process.ts';
import { objectKeysOf } from './place.ts';
import type { Place } from './place.ts';

const sdkLanes = 8;
/** Few, which some servers serve faster, and as many as the store has connections. */
const plainLanes = [8, 16, 32];
const smallGets = 10;

/** What all rounds of one chain at one place brought. */
export interface RestoreRounds {
  readonly place: Place;
  readonly shape: ChainShape;
  readonly store: readonly RestoreResult[];
  readonly sdk: readonly GetResult[];
  /** None where that was not asked for. */
  readonly sequential: readonly GetResult[];
  /** The server's own time: in each round the fastest way of the plain client. */
  readonly plain: readonly GetResult[];
  /** The same of a plain client that keeps what comes. */
  readonly kept: readonly GetResult[];
  /** One small GET on a warm server. */
  readonly roundTripMs: number;
}

export interface RoundsOptions {
  readonly rounds: number;
  /** For caches, one for each round. */
  readonly directory: string;
  /** One small object. */
  readonly smallKey: string;
  /** Whether the SDK gets one object after the other too. */
  readonly hasOneByOne: boolean;
}

/** Rounds in which all clients take turns; one more comes first and does not count. */
export async function measureRestore(
  place: Place,
  shape: ChainShape,
  options: RoundsOptions,
): Promise<RestoreRounds> {
  const [storeClient, sdkClient, plainClient] = [
    new ClientProcess(),
    new ClientProcess(),
    new ClientProcess(),
  ];
  const objectKeys = objectKeysOf(shape);
  const { access } = place;
  const get = (kind: GetJob['kind'], lanes: number): GetJob => ({
    ...{ kind, access, objectKeys, lanes },
  });
  const store: RestoreResult[] = [];
  const [sdk, sequential, plain, kept]: GetResult[][] = [[], [], [], []];
  try {
    for (let round = 0; round <= options.rounds; round += 1) {
      const cacheDirectory = join(options.directory, `cache-${round}`);
      const restore = {
        kind: 'restore',
        access,
        shape,
        cacheDirectory,
        rest: 'until idle',
      } as const;
      store.push(await storeClient.run(restore));
      rmSync(cacheDirectory, { recursive: true });
      sdk.push(await sdkClient.run(get('sdk', sdkLanes)));
      if (options.hasOneByOne) sequential.push(await sdkClient.run(get('sdk', 1)));
      const plainJobs = plainLanes.map((lanes) => get('plain', lanes));
      plain.push(await fastest(plainClient, plainJobs));
      const keepingJobs = plainJobs.map((job) => ({ ...job, isKept: true }));
      kept.push(await fastest(plainClient, keepingJobs));
    }
    const roundTripMs = await smallGetMs(plainClient, {
      ...get('plain', 1),
      objectKeys: [options.smallKey],
    });
    for (const samples of [store, sdk, sequential, plain, kept]) samples.shift();
    return { place, shape, store, sdk, sequential, plain, kept, roundTripMs };
  } finally {
    for (const client of [storeClient, sdkClient, plainClient]) await client.stop();
  }
}

async function fastest(client: ClientProcess, jobs: readonly GetJob[]): Promise<GetResult> {
  const results: GetResult[] = [];
  for (const job of jobs) results.push(await client.run(job));
  return results.reduce((best, one) => (one.ms < best.ms ? one : best));
}

async function smallGetMs(client: ClientProcess, job: GetJob): Promise<number> {
  const samples: number[] = [];
  for (let i = 0; i < smallGets; i += 1) samples.push((await client.run(job)).ms);
  return medianOf(samples);
}
