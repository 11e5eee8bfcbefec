import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect } from '../../src/client.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { withoutNative } from '../support/c-compiler.ts';
import { chainOf } from '../support/chains.ts';
import { seededRandom } from '../support/random.ts';
import { makeTemporaryDirectory } from '../support/temporary-directory.ts';
import { filledBlocks, filledBytes } from './filling.ts';

const clients = 24;
/** So little that memory is lent again at once. */
const memoryBytes = 24 * 1024 * 1024;
const childProgram = fileURLToPath(new URL('./filling-child.js', import.meta.url));

interface Told {
  readonly event: 'connected' | 'accepted' | 'refused';
  readonly count?: number;
}

/** A client that fills lent memory, and what it told. */
class FillingClient {
  readonly child: ChildProcess;
  readonly name: string;
  readonly accepted: number[] = [];
  refused = 0;

  private constructor(child: ChildProcess, name: string) {
    this.child = child;
    this.name = name;
    child.on('message', ({ event, count }: Told) => {
      if (event === 'accepted') this.accepted.push(count ?? -1);
      if (event === 'refused') this.refused += 1;
    });
  }

  static async start(url: string, name: string): Promise<FillingClient> {
    const child = fork(childProgram, [url, name], { execArgv: ['--enable-source-maps'] });
    const client = new FillingClient(child, name);
    await once(child, 'message', { signal: AbortSignal.timeout(60_000) });
    return client;
  }

  /** Until it has told that a save was accepted. */
  async hasSaved(): Promise<void> {
    const signal = AbortSignal.timeout(60_000);
    while (this.accepted.length === 0) await once(this.child, 'message', { signal });
  }

  async kill(): Promise<void> {
    const ended = once(this.child, 'close');
    this.child.kill('SIGKILL');
    await ended;
  }
}

/** Every block of the chain is there with its bytes. */
async function assertWhole(store: KvStore, name: string): Promise<void> {
  const chain = chainOf(name, filledBlocks, filledBytes);
  const borrow = await store.load(chain.keys);
  try {
    assert.equal(borrow.blocks.length, filledBlocks, `${name}: ${borrow.reason}`);
    borrow.blocks.forEach(({ payload }, index) => {
      const expected = chain.blocks[index].payload;
      assert.ok(Buffer.from(expected).equals(payload), `${name}: block ${index} has other bytes`);
    });
  } finally {
    borrow.release();
  }
}

/** The client's call runs out of time, and its memory is used by saves of another; gives their names. */
async function saveWhileStopped(client: FillingClient, store: KvStore): Promise<string[]> {
  const names = [0, 1, 2].map((i) => `beside ${client.name}/${i}`);
  client.child.kill('SIGSTOP');
  for (const name of names) {
    await store.save(chainOf(name, filledBlocks, filledBytes).blocks);
    await sleep(100);
  }
  client.child.kill('SIGCONT');
  return names;
}

describe('clients that fill lent memory', { skip: withoutNative() }, () => {
  // Goal: a client that is killed or stopped as it fills memory harms nobody: what was accepted has its
  // bytes, and memory is used again without being written to by whoever had it before. Method: processes
  // that save without end are killed, some after they were stopped for longer than their calls may take, while
  // another client saves through the same little memory; then everything is read.
  it('may die or stand still at any moment', async (t) => {
    const temporary = await makeTemporaryDirectory('lent-kills');
    const home = temporary.path;
    const runtime = join(home, 'run');
    mkdirSync(runtime, { mode: 0o700 });
    const daemon = new DaemonProcess(['--prefix', 'kills'], {
      ...{ HOME: home, WMBT_KV_RUNTIME_DIR: runtime, WMBT_KV_PUFFER_DIR: join(home, 'cache') },
      WMBT_KV_OBJECT_STORE: `file://${encodeURI(join(home, 'objects'))}`,
      WMBT_KV_PUFFER_RAM_BYTES: String(memoryBytes),
    });
    const saved: string[] = [];
    const counts = { killed: 0, stopped: 0, accepted: 0, refused: 0 };
    try {
      await daemon.ready();
      const socket = join(runtime, 'kills.sock');
      const store = await connect(`shm:${socket}`);
      const random = seededRandom('lent-kills');
      for (let index = 0; index < clients; index += 1) {
        const client = await FillingClient.start(`shm:${socket}`, `client ${index}`);
        // Every third one is killed or stopped before it has saved anything, perhaps.
        if (index % 3 > 0) await client.hasSaved();
        await sleep(20 + random.below(150));
        if (index % 2 === 0) {
          counts.stopped += 1;
          saved.push(...(await saveWhileStopped(client, store)));
          await sleep(random.below(60));
        }
        await client.kill();
        counts.killed += 1;
        counts.accepted += client.accepted.length;
        counts.refused += client.refused;
        saved.push(...client.accepted.map((count) => `${client.name}/${count}`));
        for (const name of saved.slice(-4)) await assertWhole(store, name);
      }
      await store.flush();
      const other = await connect(`unix:${socket}`);
      for (const name of saved) await assertWhole(other, name);
      await other.close();
      await store.close();
      t.diagnostic(JSON.stringify(counts));
      assert.ok(counts.accepted >= clients / 2, 'clients saved something before they died');
    } finally {
      await daemon.stop();
      await temporary.remove();
    }
  });
});
