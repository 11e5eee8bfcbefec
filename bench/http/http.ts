import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { HttpClientStore } from '../../src/client/http-client-store.ts';
import { nodeTcpSockets } from '../../src/platform/tcp-node-sockets.ts';
import { ratesOf, timed } from '../measure.ts';
import { atLeast, atMost, rowOf } from '../report.ts';
import type { Row, ScenarioResult } from '../report.ts';
import type { BenchContext, Scenario } from '../scenario.ts';
import { medianOf } from '../statistics.ts';
import { batchBytes, batchMemory, batchOf, smallCallsLabel } from './http-batch.ts';
import type { ChildPorts } from './http-batch.ts';
import { exchangeWithNodeHttp, PlainClient } from './plain-client.ts';

/** Milliseconds of one round, for the whole batch. */
interface Round {
  readonly plainGetMs: number;
  readonly plainPutMs: number;
  readonly nodeGetMs: number;
  readonly nodePutMs: number;
  readonly saveMs: number;
  readonly againMs: number;
  readonly loadMs: number;
}

/** The store behind HTTP/1.1 on loopback, against a plain pair of sockets. */
export const http: Scenario = {
  name: 'http',
  about: 'the store over HTTP/1.1 on loopback, against a plain pair of sockets',
  run,
};

async function run(context: BenchContext): Promise<ScenarioResult> {
  const { platform, directory, isQuick, progress } = context;
  const rounds = context.rounds ?? (isQuick ? 3 : 9);
  const place = join(directory, 'http');
  mkdirSync(place);
  const child = startChild('./http-child.js', place);
  progress.begin('http, 40 blocks of 1 MiB');
  try {
    const ports = await portsOf(child);
    const options = { platform: { ...platform, sockets: nodeTcpSockets }, host: '127.0.0.1' };
    const store = new HttpClientStore({ ...options, port: ports.http });
    const samples = await measureRounds(store, ports, rounds);
    const smallMs = await measureSmallCalls(store, ports.http);
    await store.close();
    progress.end('done');
    return {
      tables: [
        { name: 'http', title: 'HTTP/1.1 between hosts', rows: rowsOf(samples, smallMs), notes },
      ],
      settings: { rounds },
      versions: {},
      voidReasons: [],
    };
  } finally {
    child.stdin?.end();
    await once(child, 'exit');
  }
}

const notes = [
  'Server and client are two processes of one machine. T: the fastest plain pair of sockets of Node, ' +
    'bytes straight from and into the same memory, nothing checked and nothing kept. The rows of ' +
    'the store pay for checksums at both ends; a save is accepted: written to the log of the ' +
    'disk tier. A load comes from the memory tier. node:http: its own server with our client, ' +
    'no store behind it.',
];

async function measureRounds(
  store: HttpClientStore,
  ports: ChildPorts,
  rounds: number,
): Promise<readonly Round[]> {
  const plain = new PlainClient(ports.plain);
  const bytes = batchMemory();
  const samples: Round[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const blocks = batchOf(String(round), bytes);
    const keys = blocks.map(({ key }) => key);
    const plainGetMs = await timed(() => plain.get());
    const plainPutMs = await timed(() => plain.put());
    const nodeGetMs = await timed(() => exchangeWithNodeHttp(ports.nodeHttp, 'get'));
    const nodePutMs = await timed(() => exchangeWithNodeHttp(ports.nodeHttp, 'put'));
    const saveMs = await timed(() => store.save(blocks));
    // Uploads would take turns with what is measured next.
    await store.flush();
    const againMs = await timed(() => store.save(blocks));
    (await store.load(keys)).release();
    const loadMs = await timed(async () => (await store.load(keys)).release());
    await store.delete({ kind: 'namespace' });
    // The first round warms the code up.
    if (round === 0) continue;
    samples.push({ plainGetMs, plainPutMs, nodeGetMs, nodePutMs, saveMs, againMs, loadMs });
  }
  await plain.close();
  return samples;
}

/** How long lookups take while a client in another process loads whole batches without pause. */
async function measureSmallCalls(store: HttpClientStore, port: number): Promise<readonly number[]> {
  const blocks = batchOf(smallCallsLabel, batchMemory());
  const keys = blocks.map(({ key }) => key);
  await store.save(blocks);
  await store.flush();
  const bulk = startChild('./bulk-child.js', String(port));
  try {
    if (bulk.stdout !== null) await once(bulk.stdout, 'data');
    const samples: number[] = [];
    for (let call = 0; call < 500; call += 1) {
      samples.push(await timed(() => store.lookup(keys)));
      await sleep(2);
    }
    return samples;
  } finally {
    bulk.stdin?.end();
    await once(bulk, 'exit');
  }
}

function startChild(module: string, argument: string): ChildProcess {
  const path = fileURLToPath(new URL(module, import.meta.url));
  return spawn(process.execPath, [path, argument], { stdio: ['pipe', 'pipe', 'inherit'] });
}

function rowsOf(rounds: readonly Round[], smallMs: readonly number[]): Row[] {
  const rates = (part: keyof Round): number[] => {
    const samples = rounds.map((round) => round[part]);
    return ratesOf(samples, batchBytes);
  };
  const get = { what: 'T, get', value: medianOf(rates('plainGetMs')) };
  const put = { what: 'T, put', value: medianOf(rates('plainPutMs')) };
  const sorted = [...smallMs].sort((a, b) => a - b);
  const p99 = sorted[Math.floor(sorted.length * 0.99)];
  const moved = (what: string, part: keyof Round, against: typeof get, bar?: number): Row =>
    rowOf({
      ...{ what, unit: 'GB/s', samples: rates(part), against },
      ...(bar === undefined ? {} : { bar: atLeast(bar) }),
    });
  return [
    moved('load of 40 × 1 MiB', 'loadMs', get, 0.75),
    moved('save of 40 × 1 MiB, new', 'saveMs', put, 0.75),
    rowOf({
      what: 'save, stored already',
      unit: 'ms',
      samples: rounds.map(({ againMs }) => againMs),
    }),
    moved('node:http, get', 'nodeGetMs', get),
    moved('node:http, put', 'nodePutMs', put),
    rowOf({
      what: 'lookup of 40 while batches are loaded, p99',
      unit: 'ms',
      samples: [p99],
      bar: atMost(10),
    }),
  ];
}

async function portsOf(child: ChildProcess): Promise<ChildPorts> {
  if (child.stdout === null) throw new Error('the server has no output');
  for await (const line of createInterface({ input: child.stdout })) {
    return JSON.parse(line) as ChildPorts;
  }
  throw new Error('the server ended before it listened');
}
