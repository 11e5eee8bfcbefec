import { join } from 'node:path';
import type { KvStore, ObjectVerb } from '../../src/blocks/kv-store.ts';
import { chainOf } from '../chain.ts';
import type { ChainShape } from '../chain.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row, Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import type { BucketAccess, RestoreResult } from './client-job.ts';
import { runFresh } from './client-process.ts';
import { chainName, restMs } from './place.ts';
import type { Place } from './place.ts';
import { mapVerbs, openOn, requestsOf } from './restore-client.ts';
import type { Places } from './restore-table.ts';

const kib = 1024;
const lookupDeadlineMs = 250;
const turns = 40;
const turnBlocks = 2;
const turnRequestsMax = 20;
const tailTokens = 100;

/** What is asked of the bucket, counted; and a conversation found far away. */
export async function requestTable(context: BenchContext, places: Places): Promise<Table> {
  const { progress } = context;
  const rows: Row[] = [];
  for (const blocks of [80, 640]) {
    const shape = { seed: `requests ${blocks}`, blocks, blockBytes: 4 * kib };
    progress.begin(`requests, ${chainName(shape)}`);
    rows.push(...(await saveRows(context, places.near, shape)));
    rows.push(...(await restoreRows(context, places.near, shape)));
    progress.end('done');
  }
  progress.begin(`a conversation of ${turns} turns`);
  rows.push(...(await turnRows(context, places)));
  progress.end('done');
  return { name: 'object-store-requests', title: 'Requests of a bucket', rows, notes };
}

const notes = [
  'Requests are those that the store counts at its door to the bucket. Once in its life a process asks of a namespace, by ' +
    'one list, whether there are objects of the v1 format: when a lookup does not find something, as here before a save, ' +
    'or else when it uploads its first block. That list belongs to the process, not to a save, and has a bar of its own; where it says ' +
    '"lists apart" it comes on top. Each save is of a store that knows nothing, but for those that say what came before. A restore has a tail with it, ' +
    'and the tails under its tip are listed, which is one of its requests. A fresh host is a new process with an empty cache; between opening and the lookup it rests for 300 ms, ' +
    'except where it says at once: there HTTP itself is still being loaded.',
];

/**
 * A save as an engine makes it, of blocks that it has looked for before; and the same by a process
 * that never asked for anything, whose first upload asks for objects of the v1 format.
 */
async function saveRows(
  { directory }: BenchContext,
  { access }: Place,
  shape: ChainShape,
): Promise<Row[]> {
  const { blocks } = shape;
  const count = (what: string, requests: number, most: number): Row =>
    rowOf({
      ...{ what: `${blocks} blocks ${what}`, unit: 'count', samples: [requests] },
      bar: atMost(most),
    });
  const unasked = { ...shape, seed: `${shape.seed}, unasked` };
  const later = { ...shape, seed: `${shape.seed}, unasked, later` };
  const alone = { ...shape, seed: `${shape.seed}, unasked, without a tail` };
  const path = (name: string): string => join(directory, `requests-${blocks}-${name}`);
  return [
    ...(await withStore(access, path('asked'), async (store) => {
      const keys = chainOf(shape).map(({ key }) => key);
      const lookup = await requestsDuring(store, async () => {
        const { matched } = await store.lookup(keys, { deadlineMs: 10_000 });
        if (matched !== 0) throw new Error(`${matched} blocks are there already`);
      });
      const saved = await requestsDuring(store, () => saveWithTail(store, shape));
      const again = await requestsDuring(store, () => saveWithTail(store, shape));
      return [
        count('that are nowhere: requests of a lookup', sumOf(lookup), 3 + blocks / 64),
        count('that are nowhere: lists of that lookup', lookup.list, 1),
        count('and a tail, looked up before: requests of the save', sumOf(saved), blocks + 1),
        count('and a tail: requests of saving them again', sumOf(again), 0),
      ];
    })),
    ...(await withStore(access, path('unasked'), async (store) => {
      const saved = await requestsDuring(store, () => saveWithTail(store, unasked));
      const next = await requestsDuring(store, () => saveWithTail(store, later));
      const first = 'and a tail, nothing asked before:';
      return [
        count(`${first} requests of the save, lists apart`, sumOf(saved) - saved.list, blocks + 1),
        count(`${first} lists of that process`, saved.list + next.list, 1),
        count('and a tail, the next save of that process: requests', sumOf(next), blocks + 1),
      ];
    })),
    ...(await withStore(access, path('alone'), async (store) => {
      const saved = await requestsDuring(store, () => saveBlocks(store, alone));
      return [
        count(
          'without a tail, nothing asked before: requests of the save',
          sumOf(saved),
          blocks + 1,
        ),
      ];
    })),
  ];
}

async function withStore<Result>(
  access: BucketAccess,
  cacheDirectory: string,
  use: (store: KvStore) => Promise<Result>,
): Promise<Result> {
  const store = await openOn(access, cacheDirectory);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

async function saveBlocks(store: KvStore, shape: ChainShape): Promise<void> {
  await store.save(chainOf(shape));
  await store.flush();
}

async function saveWithTail(store: KvStore, shape: ChainShape): Promise<void> {
  await store.save(chainOf(shape));
  await store.saveTail(tailOf(shape));
  await store.flush();
}

async function restoreRows(
  { directory }: BenchContext,
  { access }: Place,
  shape: ChainShape,
): Promise<Row[]> {
  const cacheDirectory = join(directory, `requests-${shape.blocks}-fresh`);
  const store = await openOn(access, cacheDirectory);
  try {
    const keys = chainOf(shape).map(({ key }) => key);
    const { tip, tokens } = tailOf(shape);
    let matched = 0;
    const lookup = await requestsDuring(store, async () => {
      ({ matched } = await store.lookup(keys, { deadlineMs: 10_000 }));
    });
    const restore = await requestsDuring(store, async () => {
      const [borrow, tail] = await Promise.all([store.load(keys), store.loadTail({ tip, tokens })]);
      if (borrow.blocks.length !== keys.length || tail === undefined) {
        throw new Error(`${borrow.blocks.length} blocks came, tail: ${tail !== undefined}`);
      }
      borrow.release();
      tail.release();
    });
    if (matched !== keys.length) throw new Error(`${matched} of ${keys.length} were found`);
    const count = (what: string, requests: number, most: number): Row =>
      rowOf({
        ...{ what: `${shape.blocks} blocks: ${what}`, unit: 'count' },
        ...{ samples: [requests], bar: atMost(most) },
      });
    return [
      count('requests of a lookup on a fresh host', sumOf(lookup), 3 + shape.blocks / 64),
      count('lists of that lookup', lookup.list, 0),
      count('requests of the restore, a tail with it', sumOf(restore), shape.blocks + 2),
    ];
  } finally {
    await store.close();
  }
}

/** A conversation saved turn by turn is looked up by a host that is far from the bucket. */
async function turnRows(context: BenchContext, { near, far }: Places): Promise<Row[]> {
  const { directory, isQuick } = context;
  const shape = { seed: 'turns', blocks: turns * turnBlocks, blockBytes: 4 * kib };
  await saveByTurns(near.access, join(directory, 'turns'), shape);
  const lookups = async (rest: number): Promise<readonly RestoreResult[]> => {
    const results: RestoreResult[] = [];
    for (let round = 0; round < (context.rounds ?? (isQuick ? 1 : 5)); round += 1) {
      const cacheDirectory = join(directory, `turns-${rest}-${round}`);
      const job = { kind: 'restore', access: far.access, shape, cacheDirectory } as const;
      results.push(await runFresh({ ...job, rest }));
    }
    return results;
  };
  const rested = await lookups(restMs);
  const atOnce = await lookups(0);
  const what = (text: string): string => `${far.name}, ${turns} turns of ${turnBlocks}: ${text}`;
  const requests = rested.map(({ lookupRequests }) => sumOf(lookupRequests));
  return [
    rowOf({
      ...{ what: what('blocks not found in time'), unit: 'count' },
      ...{ samples: rested.map(({ matched }) => shape.blocks - matched), bar: atMost(0) },
    }),
    rowOf({
      ...{ what: what('lookup on a fresh host'), unit: 'ms' },
      ...{ samples: rested.map(({ lookupMs }) => lookupMs), bar: atMost(lookupDeadlineMs) },
    }),
    rowOf({
      ...{ what: what('its requests'), unit: 'count', samples: requests },
      bar: atMost(turnRequestsMax),
    }),
    rowOf({
      ...{ what: what('blocks not found, asked at once'), unit: 'count' },
      samples: atOnce.map(({ matched }) => shape.blocks - matched),
    }),
  ];
}

async function saveByTurns(
  access: BucketAccess,
  cacheDirectory: string,
  shape: ChainShape,
): Promise<void> {
  const store = await openOn(access, cacheDirectory);
  try {
    const chain = chainOf(shape);
    for (let at = 0; at < chain.length; at += turnBlocks) {
      const parent = at === 0 ? undefined : chain[at - 1].key;
      await store.save(chain.slice(at, at + turnBlocks), { parent });
      await store.flush();
    }
  } finally {
    await store.close();
  }
}

function tailOf(shape: ChainShape): Parameters<KvStore['saveTail']>[0] {
  const chain = chainOf({ ...shape, blockBytes: 1 });
  return {
    tip: chain[chain.length - 1].key,
    tokens: Array.from({ length: tailTokens }, (_, i) => i),
    payload: new Uint8Array(4 * kib).fill(7),
  };
}

async function requestsDuring(
  store: KvStore,
  task: () => Promise<void>,
): Promise<Record<ObjectVerb, number>> {
  const before = await requestsOf(store);
  await task();
  return mapVerbs(await requestsOf(store), (verb, count) => count - before[verb]);
}

function sumOf({ put, get, head, list, delete: removed }: Record<ObjectVerb, number>): number {
  return put + get + head + list + removed;
}
