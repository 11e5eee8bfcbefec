import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import { chainOf } from '../chain.ts';
import type { ChainShape } from '../chain.ts';
import { timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import { medianOf } from '../statistics.ts';
import { keyOf } from './index-memory.ts';
import type { PutRounds } from './puts.ts';
import { Samples } from './samples.ts';

const mib = 1024 * 1024;
const batchBlocks = 40;
const chainBlocks = 80;
const batchBytes = batchBlocks * mib;
const smallBytes = 4096;
const lookups = 500;
const gets = 1000;
const smallGets = 5000;
/** Of the batch, by each way in turns. */
const copies = 9;

interface ReadRounds extends PutRounds {
  readonly known: number;
}

/** Lookups of a client in Node in the memory of many blocks, and its gets from another daemon's. */
export async function measureNodeReads(
  manyPath: string,
  otherPath: string,
  { known, rounds, restMs }: ReadRounds,
): Promise<Table> {
  const index = await connect(`shm:${manyPath}`);
  const store = await connect(`shm:${otherPath}`);
  const samples = new Samples();
  try {
    const batch = await storedKeys(store, { seed: 'read', blocks: batchBlocks, blockBytes: mib });
    const small = await storedKeys(store, {
      ...{ seed: 'read small', blocks: batchBlocks, blockBytes: smallBytes },
    });
    await sleep(restMs);
    for (let round = 0; round <= rounds; round += 1) {
      const lookup = await lookUp(index, known);
      const get = await getAll(store, batch);
      const one = await getRate(store, small);
      const few = await fewRate(store, small);
      const [out, copy] = await copyOut(store, batch);
      if (round === 0) continue;
      samples.keep('few', few);
      samples.keep('out', out);
      samples.keep('M', copy);
      samples.keep('lookup', lookup);
      samples.keep('get', get);
      samples.keep('one', one);
    }
  } finally {
    await index.close();
    await store.close();
  }
  return tableOf(samples, known);
}

/** Keys of blocks that are in memory, and come back as they were saved. */
async function storedKeys(store: KvStore, shape: ChainShape): Promise<readonly BlockKey[]> {
  const blocks = chainOf(shape);
  await store.save(blocks);
  await store.flush();
  const keys = blocks.map(({ key }) => key);
  const borrow = await store.load(keys);
  const isRight = blocks.every(({ payload }, at) => {
    const loaded = borrow.blocks[at];
    return loaded?.tier === 'memory' && Buffer.compare(loaded.payload, payload) === 0;
  });
  borrow.release();
  if (!isRight) throw new Error('a block does not come back from memory as it was saved');
  return keys;
}

/**
 * The median of a lookup in microseconds, of other keys each time. A few of them have no place in the index: the daemon is
 * asked for them, and this one knows none; those lookups do not count.
 */
async function lookUp(store: KvStore, known: number): Promise<number> {
  const times: number[] = [];
  for (let call = 0; call < lookups; call += 1) {
    const chain = Array.from({ length: chainBlocks }, () =>
      keyOf(Math.floor(Math.random() * known)),
    );
    const startMs = performance.now();
    const { matched } = await store.lookup(chain);
    if (matched === chainBlocks) times.push((performance.now() - startMs) * 1000);
  }
  if (times.length < lookups / 2) throw new Error(`${times.length} of ${lookups} chains are found`);
  return medianOf(times);
}

/** The median of a load of all, and its release, in microseconds. */
async function getAll(store: KvStore, keys: readonly BlockKey[]): Promise<number> {
  const times: number[] = [];
  for (let call = 0; call < gets; call += 1) {
    const startMs = performance.now();
    const borrow = await store.load(keys);
    borrow.release();
    times.push((performance.now() - startMs) * 1000);
    if (borrow.blocks.length !== keys.length) throw new Error('a block is not there any more');
  }
  return medianOf(times);
}

async function getRate(store: KvStore, keys: readonly BlockKey[]): Promise<number> {
  const calls = keys.map((key) => [key]);
  const startMs = performance.now();
  for (let call = 0; call < smallGets; call += 1) {
    const borrow = await store.load(calls[call % calls.length]);
    if (borrow.blocks.length !== 1) throw new Error('a block is not there any more');
    borrow.release();
  }
  return Math.round((smallGets * 1000) / (performance.now() - startMs));
}

/** All of them in a call. */
async function fewRate(store: KvStore, keys: readonly BlockKey[]): Promise<number> {
  const calls = Math.ceil(smallGets / keys.length);
  const ms = await timed(async () => {
    for (let call = 0; call < calls; call += 1) {
      const borrow = await store.load(keys);
      if (borrow.blocks.length !== keys.length) throw new Error('a block is not there any more');
      borrow.release();
    }
  });
  return Math.round((calls * keys.length * 1000) / ms);
}

/** Bytes a nanosecond of a load whose bytes are copied out, and of a copy of the same bytes in own memory. */
async function copyOut(
  store: KvStore,
  keys: readonly BlockKey[],
): Promise<readonly [number, number]> {
  const [source, target] = [new Uint8Array(batchBytes).fill(1), new Uint8Array(batchBytes).fill(2)];
  const [out, copy]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < copies; turn += 1) {
    out.push(
      await timed(async () => {
        const borrow = await store.load(keys);
        borrow.blocks.forEach(({ payload }, at) => target.set(payload, at * mib));
        borrow.release();
      }),
    );
    copy.push(
      await timed(async () => {
        for (let at = 0; at < batchBytes; at += mib) target.set(source.subarray(at, at + mib), at);
      }),
    );
  }
  return [batchBytes / medianOf(out) / 1e6, batchBytes / medianOf(copy) / 1e6];
}

function tableOf(samples: Samples, known: number): Table {
  const lookup = `lookup of 80, other ones each time, of ${known.toLocaleString('en-US')}: p50`;
  const get = 'get of 40 × 1 MiB, borrowed and released: p50';
  const rows = [
    rowOf({ what: lookup, unit: 'µs', samples: samples.of('lookup'), bar: atMost(40) }),
    rowOf({ what: get, unit: 'µs', samples: samples.of('get'), bar: atMost(100) }),
    rowOf({
      ...{ what: 'the same, copied out', unit: 'GB/s', samples: samples.of('out') },
      ...{ against: { what: 'M', value: samples.of('M') }, bar: atLeast(0.9) },
    }),
    rowOf({
      ...{ what: 'gets of 4 KiB a second, one in a call', unit: 'count' },
      ...{ samples: samples.of('one'), bar: atLeast(200_000) },
    }),
    rowOf({
      ...{ what: 'gets of 4 KiB a second, 40 in a call', unit: 'count' },
      ...{ samples: samples.of('few'), bar: atLeast(200_000) },
    }),
  ];
  return { name: 'one-host-node', title: 'One host: reads of a client in Node', rows, notes };
}

const notes = [
  'Through `shm:`, one call after the other, each awaited. Keys of a lookup are drawn before its time ' +
    'begins. Every block was compared with what was saved before it is timed. System calls are counted by strace, on all ' +
    'threads: read, write, send, recv, poll, open, mmap, ioctl and their kin, but not memory of no file that V8 maps.',
];
