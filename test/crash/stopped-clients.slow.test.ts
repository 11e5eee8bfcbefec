import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { limits } from '../../src/blocks/limits.ts';
import { connect } from '../../src/client.ts';
import { httpLimits } from '../../src/daemon/http-limits.ts';
import { chainOf } from '../support/chains.ts';
import { openGuardedDaemon, urlOf } from '../support/guarded-daemon.ts';
import type { GuardedDaemon } from '../support/guarded-daemon.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { eventually } from '../support/waiting.ts';
import { stoppedBlocks, stoppedBytes } from './stopping.ts';
import type { Order } from './stopping.ts';

const childProgram = fileURLToPath(new URL('./stopped-child.js', import.meta.url));
const doors = ['unix', 'tcp', 'http'] as const;
type Door = (typeof doors)[number];
type Verb = Order['verb'];
/** What those load who load. */
const storedChain = 'stopped/stored';
/** Of each verb at each door. */
const clientsPerVerb = 2;
const waitMs = 60_000;
/** A call may be over before its client is stopped: so often it is made again. */
const attemptsMax = 30;
/** What the process may grow while clients are stopped and others are served: far less than what they asked for. */
const growthBytesMax = 120 * 1024 * 1024;

interface Told {
  readonly event: 'connected' | 'done' | 'refused';
  readonly id?: number;
}

/** A client in a process of its own, and what it told last. */
class StoppableClient {
  readonly verb: Verb;
  readonly #child: ChildProcess;
  readonly #told: Told[] = [];
  #orders = 0;

  private constructor(child: ChildProcess, verb: Verb) {
    this.#child = child;
    this.verb = verb;
    child.on('message', (told: Told) => this.#told.push(told));
  }

  static async start(url: string, name: string, verb: Verb): Promise<StoppableClient> {
    const child = fork(childProgram, [url, name], { execArgv: ['--enable-source-maps'] });
    const client = new StoppableClient(child, verb);
    await once(child, 'message', { signal: AbortSignal.timeout(waitMs) });
    return client;
  }

  /** Gives the number of the order. */
  order(chain: string): number {
    this.#orders += 1;
    this.#child.send({ id: this.#orders, verb: this.verb, chain } satisfies Order);
    return this.#orders;
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    assert.ok(this.#child.kill(signal));
  }

  /** What became of the call of that order; undefined: it is under way. */
  outcome(order: number): Told['event'] | undefined {
    return this.#told.find(({ id }) => id === order)?.event;
  }

  async end(): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

/** What the daemon holds for clients: pinned for answers, and on its way in. */
async function heldBy(rig: GuardedDaemon): Promise<Readonly<Record<Verb, number>>> {
  const text = await (await fetch(`${urlOf(rig, 'http')}/metrics`)).text();
  const ofHttp = (name: string): number =>
    Number(new RegExp(`^wombatkv_http_${name} (\\d+)$`, 'm').exec(text)?.[1]);
  return {
    load: rig.accounts.pinnedBytes + ofHttp('pinned_bytes'),
    save: rig.accounts.intake.taken + ofHttp('body_bytes'),
  };
}

/** Stops the client where the daemon holds something for it, in the middle of a body. */
async function stopInBody(
  rig: GuardedDaemon,
  client: StoppableClient,
  name: string,
): Promise<number> {
  const { verb } = client;
  const before = (await heldBy(rig))[verb];
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const asked = client.order(verb === 'load' ? storedChain : `${name}/${attempt}`);
    const endMs = performance.now() + waitMs;
    while ((await heldBy(rig))[verb] <= before && client.outcome(asked) === undefined) {
      assert.ok(performance.now() < endMs, `${name} makes its call`);
      await turn();
    }
    client.signal('SIGSTOP');
    // What is under way in sockets arrives; a call that was over then is no longer held.
    await sleep(150);
    if ((await heldBy(rig))[verb] > before) return asked;
    client.signal('SIGCONT');
    await eventually('its call has ended', async () => client.outcome(asked) !== undefined);
  }
  return assert.fail(`${name} was not stopped in mid-body`);
}

/** Another client at the same door saves, loads and looks up. */
async function assertServed(client: KvStore, name: string): Promise<void> {
  for (let round = 0; round < 5; round += 1) {
    const chain = chainOf(`${name}/${round}`, 4, 250_000);
    assert.equal((await client.save(chain.blocks)).saved, 4);
    const borrow = await client.load(chain.keys);
    borrow.blocks.forEach(({ payload }, at) =>
      assert.ok(Buffer.from(payload).equals(chain.blocks[at].payload)),
    );
    assert.equal(borrow.blocks.length, 4);
    borrow.release();
    assert.equal((await client.lookup(chain.keys, { deadlineMs: 10_000 })).matched, 4);
  }
}

/**
 * Goal: clients that the system has stopped cost a daemon what its limits say, for as long as they say, and cost others
 * nothing. Method: processes are stopped in the middle of loads, whose payloads the daemon has pinned, and of saves, which
 * have memory and room; others are served at the same door meanwhile. The clock of the doors stands until it is moved past their
 * limits: nothing is pinned or taken then, and the clients, when they go on, are served as before.
 */
describe('clients that are stopped', () => {
  for (const door of doors) {
    it(`over ${door} in mid-body lose what they held, and nobody else does`, (context) =>
      stopAtDoor(door, (line) => context.diagnostic(line)));
  }
});

async function stopAtDoor(door: Door, print: (line: string) => void): Promise<void> {
  const clock = new ManualClock();
  const rig = await openGuardedDaemon({ clock });
  const url = urlOf(rig, door);
  const verbs = (['load', 'save'] as const).flatMap((verb) =>
    Array.from({ length: clientsPerVerb }, () => verb),
  );
  const other = await connect(url);
  const clients = await Promise.all(
    verbs.map((verb, at) => StoppableClient.start(url, `${door}/${at}`, verb)),
  );
  try {
    const stored = chainOf(storedChain, stoppedBlocks, stoppedBytes);
    await rig.store.save(stored.blocks);
    await assertServed(other, `${door}/before`);
    const asked: number[] = [];
    for (const [at, client] of clients.entries()) {
      asked.push(await stopInBody(rig, client, `stopped/${door}/${at}`));
    }
    const held = await heldBy(rig);
    const rssBytes = process.memoryUsage().rss;
    await assertServed(other, `${door}/meanwhile`);
    const grownBytes = process.memoryUsage().rss - rssBytes;
    print(
      `${door}: ${JSON.stringify(held)} bytes held, ${grownBytes} more while others were served`,
    );
    const whole = clientsPerVerb * stoppedBlocks * stoppedBytes;
    assert.ok(held.load <= whole && held.save <= whole + 1_000_000, JSON.stringify(held));
    assert.ok(grownBytes < growthBytesMax, `the daemon has grown by ${grownBytes} bytes`);
    assert.deepEqual(await heldBy(rig), held, 'nothing more is held than before');
    await passLimits(clock);
    await eventually('nothing is held any more', async () => {
      const { load, save } = await heldBy(rig);
      return load === 0 && save === 0;
    });
    await assertServed(other, `${door}/after`);
    for (const client of clients) client.signal('SIGCONT');
    for (const [at, client] of clients.entries()) {
      await eventually(
        `client ${at} hears of its call`,
        async () => {
          return client.outcome(asked[at]) !== undefined;
        },
        waitMs,
      );
      await goesOn(client, `${door}/again/${at}`);
    }
  } finally {
    await Promise.all(clients.map((client) => client.end()));
    await other.close();
    await closeBy(clock, rig);
  }
}

/** Draining takes time of the doors' clock. */
async function closeBy(clock: ManualClock, rig: GuardedDaemon): Promise<void> {
  let isClosed = false;
  const closing = rig.close().finally(() => (isClosed = true));
  for (const endMs = performance.now() + waitMs; !isClosed; await turn()) {
    assert.ok(performance.now() < endMs, 'the daemon stops');
    clock.advance(limits.stalledLookMs);
  }
  await closing;
}

/** Its next call succeeds, or one soon after. */
async function goesOn(client: StoppableClient, name: string): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const asked = client.order(client.verb === 'load' ? storedChain : `${name}/${attempt}`);
    await eventually('it is told', async () => client.outcome(asked) !== undefined, waitMs);
    if (client.outcome(asked) === 'done') return;
  }
  assert.fail(`${name} is not served again`);
}

/** Past what the doors give a client that does not move on, second by second. */
async function passLimits(clock: ManualClock): Promise<void> {
  const { stalledMs, stalledLookMs, saveDeadlineMs } = limits;
  const { bodyMs, writeMs } = httpLimits;
  const ms = Math.max(stalledMs, saveDeadlineMs, bodyMs, writeMs) + 5 * stalledLookMs;
  for (let passed = 0; passed < ms; passed += stalledLookMs) {
    clock.advance(stalledLookMs);
    await turn();
  }
}
