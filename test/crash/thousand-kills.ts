import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { limits } from '../../src/blocks/limits.ts';
import { connect } from '../../src/client/connect.ts';
import { buildKillsTest } from '../capi/c-program.ts';
import { DaemonProcess } from '../cli/daemon-process.ts';
import { patience } from '../support/patience.ts';
import { seededRandom } from '../support/random.ts';
import type { SeededRandom } from '../support/random.ts';

/** Processes that were killed in the midst of what they do, and what was seen meanwhile. */
export interface KillCounts {
  /** Clients that borrow; that save short blocks, by calls or in rings; that fill memory lent by calls, or in rings. */
  readonly reader: number;
  readonly caller: number;
  readonly ringer: number;
  readonly filler: number;
  readonly loaner: number;
  readonly daemon: number;
  /** Daemons that had begun and did not serve yet: most of that is taking over what others have left. */
  readonly starting: number;
  /** Of those, the ones that stood still before, by SIGSTOP; some of them went on again before they were killed. */
  readonly readerStopped: number;
  readonly callerStopped: number;
  readonly ringerStopped: number;
  readonly fillerStopped: number;
  readonly loanerStopped: number;
  readonly daemonStopped: number;
  /** Readers that held borrowed memory. */
  readonly holding: number;
  /** Clients that saved, and had half copied a payload into lent memory or a ring. */
  readonly copying: number;
  /** Clients that were met between two calls: not counted above. */
  readonly elsewhere: number;
  /** Times that everything accepted was looked for, all of its bytes with it. */
  readonly verified: number;
  readonly bytesChecked: number;
  readonly saves: number;
  readonly refused: number;
  readonly borrowed: number;
}

export interface KillPlan {
  readonly scene: keyof typeof scenes;
  readonly daemons: number;
  readonly clientsPerDaemon: number;
  readonly seed: number;
}

/** Clients by their letters (capi/test/kills), and a daemon's memory. */
const scenes = {
  // Little, so that it is used anew, and less than has room for a ring: clients call, and fill what they are lent then.
  lent: { clients: 'bfcbffc', memoryBytes: 24 * 1024 ** 2 },
  ring: { clients: 'brblb', memoryBytes: 128 * 1024 ** 2 },
} as const;
/** One in so many daemons is killed before it serves, within that time. */
const startKills = 4;
const startKillMsMax = 400;
/** For what is saved in a run of the suite, and the daemon's memory. */
const roomBytesMin = 4 * 1024 ** 3;
/** The longest that a driver is silent: everything is looked for, on a busy machine. */
const silenceMs = 180_000;

/**
 * Memory of a daemon that has a ring for each of the clients that want one. With less, who comes late gets none for as
 * long as the others live, and does not begin.
 */
function roomForRings(clients: string): number {
  const count = [...clients].filter((client) => 'rl'.includes(client)).length;
  return (count * limits.ringBytes) / limits.ringsShare;
}

/** The program in C that forks clients and kills them, and what it said. */
class KillDriver {
  readonly #child: ChildProcess;
  readonly lines: string[] = [];
  readonly end: Promise<number | null>;
  #notes = '';
  #onLine: (() => void) | undefined;

  constructor(program: string, args: readonly string[], environment: Record<string, string>) {
    const env = { PATH: process.env['PATH'] ?? '', ...environment };
    this.#child = spawn(program, args, { env, stdio: 'pipe' });
    const { stdin, stdout, stderr } = this.#child;
    assert(stdin !== null && stdout !== null && stderr !== null);
    stdin.on('error', () => undefined);
    stderr.setEncoding('utf8').on('data', (text: string) => (this.#notes += text));
    createInterface({ input: stdout }).on('line', (line) => {
      this.lines.push(line);
      this.#onLine?.();
    });
    this.end = once(this.#child, 'close').then(([status]: unknown[]) => {
      this.#onLine?.();
      return typeof status === 'number' ? status : null;
    });
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** Until it has said `count` lines, or ended; true in the first case. */
  async hasSaid(count: number): Promise<boolean> {
    const silence = AbortSignal.timeout(silenceMs);
    let hasEnded = false;
    void this.end.then(() => (hasEnded = true));
    while (this.lines.length < count && !hasEnded) {
      if (silence.aborted) throw new Error(`the driver is silent: ${this.told()}`);
      await new Promise<void>((resolve) => {
        this.#onLine = resolve;
        silence.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    return this.lines.length >= count;
  }

  told(): string {
    return `${this.lines.slice(-20).join('\n')}\n${this.#notes}`;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** The daemons of one scene, one after another, over one cache directory and one bucket. */
class Daemons {
  starting = 0;
  readonly #settings: Readonly<Record<string, string>>;
  readonly #random: SeededRandom;
  #current: DaemonProcess | undefined;

  constructor(settings: Readonly<Record<string, string>>, random: SeededRandom) {
    this.#settings = settings;
    this.#random = random;
  }

  /** The number of one that serves, behind the death of the one before; some die before they come to that. */
  async next(): Promise<number> {
    if (this.#current !== undefined) await this.#kill(this.#current);
    while (this.#random.below(startKills) === 0) {
      const early = this.#start();
      const isUp = early.ready().then(
        () => true,
        () => false,
      );
      await sleep(this.#random.below(startKillMsMax));
      await this.#kill(early);
      if (!(await isUp)) this.starting += 1;
    }
    this.#current = this.#start();
    await this.#current.ready();
    const { pid } = this.#current.child;
    assert(pid !== undefined);
    return pid;
  }

  async stop(): Promise<void> {
    await this.#current?.stop('SIGKILL');
  }

  /** One that has ended otherwise has met a fault. */
  async #kill(daemon: DaemonProcess): Promise<void> {
    assert.equal(await daemon.stop('SIGKILL'), null, `a daemon ended by itself: ${daemon.notes}`);
  }

  #start(): DaemonProcess {
    return new DaemonProcess(['--prefix', 'kills'], this.#settings);
  }
}

/**
 * Goal: whoever is killed by SIGKILL, at whatever moment, nobody reads a byte that was not saved under its key, and
 * what was accepted is there. Method: a program in C forks clients that borrow and that save in each of the ways there are,
 * and kills them in the midst of it, some after they stood still for longer than their calls may take; the daemon is
 * killed among them, and the next one, which may be killed as it takes over, has to give everything that was accepted.
 */
export async function thousandKills(plan: KillPlan): Promise<KillCounts> {
  const program = await buildKillsTest();
  const { clients, memoryBytes } = scenes[plan.scene];
  assert(memoryBytes >= roomForRings(clients), 'there is a ring for each client that wants one');
  const home = await makeHome();
  const runtime = `${home}/run`;
  await mkdir(runtime, { mode: 0o700 });
  const common = { HOME: home, WMBT_KV_RUNTIME_DIR: runtime };
  const settings = {
    ...common,
    WMBT_KV_PUFFER_RAM_BYTES: String(memoryBytes),
    WMBT_KV_PUFFER_DISK_BYTES: '512MiB',
    // Bytes that are random.
    WMBT_KV_BLOCK_COMPRESS: 'off',
  };
  const daemons = new Daemons(settings, seededRandom(`kills ${plan.scene} ${plan.seed}`));
  const args = [String(plan.clientsPerDaemon), String(plan.seed), clients];
  const driver = new KillDriver(program, args, { ...common, WMBT_KV_REMOTE_PREFIX: 'kills' });
  try {
    let daemon = await daemons.next();
    for (let killed = 0; killed < plan.daemons; killed += 1) {
      driver.say(String(daemon));
      if (!(await driver.hasSaid(killed + 1)) || driver.lines[killed] !== 'killed') break;
      daemon = await daemons.next();
    }
    driver.say('end');
    const status = await driver.end;
    const [, counts] = /^counts (.*)$/m.exec(driver.lines.join('\n')) ?? [];
    assert.equal(status, 0, `seed ${plan.seed}: ${driver.told()}`);
    assert(counts !== undefined, driver.told());
    if (plan.scene === 'lent') await assertEvicts(`unix:${runtime}/kills.sock`);
    return { ...(JSON.parse(counts) as KillCounts), starting: daemons.starting };
  } finally {
    driver.kill();
    await driver.end;
    await daemons.stop();
    await rm(home, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** In memory where there is room: files on disks are synced, and an upload of a block takes milliseconds then. */
async function makeHome(): Promise<string> {
  const memoryFolder = '/dev/shm';
  const { bavail, bsize } = await statfs(memoryFolder).catch(() => ({ bavail: 0, bsize: 0 }));
  const folder = bavail * bsize > roomBytesMin ? memoryFolder : tmpdir();
  return mkdtemp(`${folder}/wombatkv-thousand-kills-`);
}

/** Nothing was proved of memory that was never used anew. */
async function assertEvicts(url: string): Promise<void> {
  const store = await connect(url, patience);
  const { memory: tier } = await store.stats();
  await store.close();
  assert(tier.evictions > 0, 'nothing was evicted');
}
