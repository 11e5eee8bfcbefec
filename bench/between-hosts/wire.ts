import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BlockToSave, KvStore } from '../../src/blocks/kv-store.ts';
import { connect } from '../../src/client.ts';
import type { KvType } from '../engine/engine-job.ts';
import { chainOf } from '../chain.ts';
import { timed } from '../measure.ts';
import { computeKv } from '../micro/compression.ts';
import { DelayRelay } from '../object-store/delay-relay.ts';
import { atMost, rowOf } from '../report.ts';
import type { Row, ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { BenchDaemon } from './bench-daemon.ts';

/** Compression on the wire over links of several speeds, on KV that an engine computed. */
export const wire: Scenario = {
  name: 'wire',
  about: 'compression between client and daemon over slow links: auto against off',
  run,
};

const kvTypes: readonly KvType[] = ['F16', 'BF16'];
const doors = ['tcp', 'http'] as const;
const batchBlocks = 16;
/** Megabytes a second of each connection; undefined: as fast as loopback is. */
const links = [20, 100, undefined] as const;
/** Never slower than without, but for noise. */
const ratioMax = 1.05;
/** The first transfers measure the link and start threads. */
const warmUps = 4;

/** The same daemon with and without compression. */
type Sides = Readonly<Record<'auto' | 'off', KvStore>>;

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { isQuick, progress, directory } = context;
  const modelName = isQuick ? 'tiny' : 'qwen2.5-0.5b';
  const place = join(directory, 'wire');
  mkdirSync(place);
  const rounds = context.rounds ?? (isQuick ? 2 : 5);
  const rows: Row[] = [];
  let versions = {};
  for (const kvType of kvTypes) {
    const kv = await computeKv(context, { modelName, promptTokens: 600, kvType });
    versions = kv.versions;
    const home = join(place, kvType);
    mkdirSync(home);
    const daemon = await BenchDaemon.start(home);
    try {
      const cases = doors.flatMap((door) => links.map((link) => ({ door, link })));
      for (const { door, link } of cases) {
        const one = { kvType, door, link, rounds, blocks: kv.blocks };
        progress.begin(nameOf(one));
        rows.push(...(await measureLink(daemon, one)));
        progress.end('done');
      }
    } finally {
      await daemon.stop();
    }
  }
  const notes = [
    `KV of ${modelName} with random weights, ${batchBlocks} blocks; client, daemon and the relay that ` +
      'bounds the speed share the processors of one machine. Loads from the memory of the daemon; saves until they ' +
      `are accepted. ${warmUps} transfers come first. The bar is that of noise: auto is never slower than off.`,
  ];
  return {
    tables: [{ name: 'wire', title: 'Between hosts: compression on the wire', rows, notes }],
    settings: { model: modelName, blocks: batchBlocks, rounds },
    versions,
    voidReasons: [],
  };
}

interface LinkCase {
  readonly kvType: KvType;
  readonly door: (typeof doors)[number];
  readonly link: (typeof links)[number];
  readonly rounds: number;
  readonly blocks: readonly Uint8Array[];
}

async function measureLink(daemon: BenchDaemon, one: LinkCase): Promise<readonly Row[]> {
  const { door, link, rounds } = one;
  const direct = daemon.urls[door];
  const targetPort = Number(new URL(direct).port);
  const relay =
    link === undefined
      ? undefined
      : await DelayRelay.start({ targetPort, delayMs: 0, bytesPerSecond: link * 1e6 });
  const url = relay === undefined ? direct : `${door}://127.0.0.1:${relay.port}`;
  const sides: Sides = {
    off: await connect(url, { wireCompression: 'off' }),
    auto: await connect(url, { wireCompression: 'auto' }),
  };
  try {
    const samples = { load: { off: [], auto: [] }, save: { off: [], auto: [] } } as Samples;
    for (let round = -warmUps; round < rounds; round += 1) {
      for (const side of ['off', 'auto'] as const) {
        const batch = batchOf(one, `${nameOf(one)}/${side}/${round}`);
        const saveMs = await timed(() => sides[side].save(batch));
        await sides[side].flush();
        const loadMs = await timed(() => loadOnce(sides[side], batch));
        samples.save[side].push(saveMs);
        samples.load[side].push(loadMs);
      }
    }
    return (['load', 'save'] as const).map((verb) =>
      rowOf({
        ...{ what: `${nameOf(one)}: ${verb}, auto`, unit: 'ms' },
        ...{ samples: samples[verb].auto.slice(warmUps), bar: atMost(ratioMax) },
        against: { what: 'off', value: samples[verb].off.slice(warmUps) },
      }),
    );
  } finally {
    await Promise.all([sides.off.close(), sides.auto.close()]);
    await relay?.stop();
  }
}

type Samples = Readonly<Record<'load' | 'save', Readonly<Record<'off' | 'auto', number[]>>>>;

/** New keys for the payloads that there are, over and over. */
function batchOf({ blocks }: LinkCase, seed: string): readonly BlockToSave[] {
  return chainOf({ seed, blocks: batchBlocks, blockBytes: 1 }).map((block, index) => ({
    ...block,
    payload: blocks[index % blocks.length],
  }));
}

async function loadOnce(store: KvStore, batch: readonly BlockToSave[]): Promise<void> {
  const borrow = await store.load(batch.map(({ key }) => key));
  const { length } = borrow.blocks;
  borrow.release();
  if (length !== batch.length) throw new Error(`${length} of ${batch.length} blocks came`);
}

function nameOf({ kvType, door, link }: LinkCase): string {
  const speed = link === undefined ? 'loopback' : `${link} MB/s`;
  return `${kvType}, ${door.toUpperCase()}, ${speed}`;
}
