import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { chainOf } from '../chain.ts';
import { atMost, rowOf } from '../report.ts';
import type { Table } from '../report.ts';
import type { BenchContext } from '../scenario.ts';
import type { Place } from './place.ts';
import { openOn } from './restore-client.ts';

const pollMs = 5;
/** Between two saves, so that they fall on every moment of the second that an absence is believed. */
const pauseMs = 23;
const seenMs = 10_000;
const visibleMs = 1000;
/** Chains watched at once: each is asked for once a second, and the server has other work. */
const groupChains = 20;

/** When another live host sees what is durable. */
export async function visibilityTable(context: BenchContext, { access }: Place): Promise<Table> {
  const groups = context.isQuick ? 1 : 8;
  const chains = groups * groupChains;
  context.progress.begin(`visible on another host, ${chains} chains`);
  const writer = await openOn(access, join(context.directory, 'visible-writer'));
  const reader = await openOn(access, join(context.directory, 'visible-reader'));
  try {
    const delays: number[] = [];
    for (let group = 0; group < groups; group += 1) {
      delays.push(...(await watch(writer, reader, group)));
    }
    const { requests } = (await reader.stats()).object;
    context.progress.end('done');
    const sorted = [...delays].sort((a, b) => a - b);
    const p99 = sorted[Math.ceil(sorted.length * 0.99) - 1];
    const rows = [
      rowOf({ what: 'seen by another host after it was durable', unit: 'ms', samples: delays }),
      rowOf({ what: 'the same, p99', unit: 'ms', samples: [p99], bar: atMost(visibleMs) }),
      rowOf({ what: 'lists meanwhile', unit: 'count', samples: [requests.list], bar: atMost(1) }),
    ];
    return { name: 'object-store-visibility', title: 'Seen by other hosts', rows, notes };
  } finally {
    await Promise.all([writer.close(), reader.close()]);
  }
}

const notes = [
  'One host makes chains of one block durable, one after another; another has asked for each of them all the ' +
    `while, every ${pollMs} ms. An absence is believed for 0.9 s, which is what decides here. ` +
    'The list is that by which a process learns, once, whether there are objects of the v1 format.',
];

/** Milliseconds from the end of each durable save to the first lookup that sees it. */
async function watch(writer: KvStore, reader: KvStore, group: number): Promise<number[]> {
  const blocks = Array.from(
    { length: groupChains },
    (_, i) => chainOf({ seed: `visible ${group} ${i}`, blocks: 1, blockBytes: 4096 })[0],
  );
  const seenAt = new Map<BlockKey, number>();
  const state = { endMs: Infinity };
  const polling = poll(
    reader,
    blocks.map(({ key }) => key),
    { seenAt, state },
  );
  const durableAt = new Map<BlockKey, number>();
  await sleep(2 * visibleMs);
  for (const block of blocks) {
    await writer.save([block], { durable: true });
    durableAt.set(block.key, performance.now());
    await sleep(pauseMs);
  }
  state.endMs = performance.now() + seenMs;
  await polling;
  return blocks.map(({ key }) => {
    const [durable, seen] = [durableAt.get(key), seenAt.get(key)];
    if (durable === undefined || seen === undefined) throw new Error(`${key} was never seen`);
    // It may be seen before its writer knows that it is durable.
    return Math.max(0, seen - durable);
  });
}

async function poll(
  reader: KvStore,
  keys: readonly BlockKey[],
  progress: { readonly seenAt: Map<BlockKey, number>; readonly state: { readonly endMs: number } },
): Promise<void> {
  const { seenAt, state } = progress;
  while (seenAt.size < keys.length && performance.now() < state.endMs) {
    const unseen = keys.filter((key) => !seenAt.has(key));
    await Promise.all(
      unseen.map(async (key) => {
        const { matched } = await reader.lookup([key]);
        if (matched === 1) seenAt.set(key, performance.now());
      }),
    );
    await sleep(pollMs);
  }
}
