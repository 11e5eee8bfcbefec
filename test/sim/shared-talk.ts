import { silentLogger } from '../../src/base/logger.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import { loadZstd } from '../../src/format/zstd.ts';
import { assembleStore } from '../../src/store/assemble-store.ts';
import { blockObjectKey } from '../../src/format/object-keys.ts';
import { Dice } from './dice.ts';
import { FaultCounts } from './fault-counts.ts';
import { calmNetwork } from './network-faults.ts';
import { Oracle } from './oracle.ts';
import { Scheduler } from './scheduler.ts';
import { SimBucket } from './sim-bucket.ts';
import { SimMachine } from './sim-machine.ts';
import type { SimWorldParts } from './sim-machine.ts';
import { SimNetwork } from './sim-network.ts';
import { SimPayloads } from './sim-payloads.ts';
import { SimProcess } from './sim-process.ts';
import { simTranscoder } from './sim-transcoder.ts';
import { Trace } from './trace.ts';

const mib = 1024 * 1024;
const keyPrefix = 'kv/sim';
const namespace = parseNamespace('default');
const settings = {
  ...{ namespace, keyPrefix, cacheDirectory: '/sim/cache', putDurable: false },
  ...{ memoryBytes: 4 * mib, diskBytes: 24 * mib, objectStoreBytesMax: false as const },
  ...{ compression: 'off' as const, compressionLevel: 1 },
  ...{ lookupDeadlineMs: 250, loadDeadlineMs: 10_000, callDeadlineMsMax: 30_000 },
};
/** Half of the 30 ms that the bucket is away. */
const wayMs = 15;
/** Whatever a killed process had sent has arrived after so long. */
const settleMs = 5000;

/** How a talk comes into the bucket: in turns of two blocks, all at once, or in pieces of any length. */
export const talkForms = ['turns', 'one go', 'pieces'] as const;
export type TalkForm = (typeof talkForms)[number];

/** What a host that knows nothing found of a talk. */
export interface TalkOutcome {
  readonly form: TalkForm;
  /** Leading blocks that the bucket has, and whether it has others behind the first that is missing. */
  readonly durable: number;
  readonly hasHole: boolean;
  /** Blocks of the whole talk, which may have more than any host came to save. */
  readonly length: number;
  /** Of the first lookup: what it found, what it asked the bucket beside one list, and how long it took. */
  readonly matched: number;
  readonly requests: number;
  readonly ms: number;
  /** What a load gave, and the lookup after it. */
  readonly loaded: number;
  readonly matchedAgain: number;
  /** True when the bucket has the last block that the first lookup counted. */
  readonly isEndThere: boolean;
  readonly kills: number;
  readonly failures: readonly string[];
}

/** One of the hosts that save the talk. */
interface Host {
  readonly machine: SimMachine;
  process: SimProcess | undefined;
  store: KvStore | undefined;
  /** Nobody starts a process there any more. */
  isGone: boolean;
}

/**
 * Two hosts with real stores save overlapping parts of one talk, each with payloads of its own, and are killed at
 * random; some come back and finish, some never do. Then a third host, which is fresh, looks the talk up.
 */
export async function runTalk(seed: number): Promise<TalkOutcome> {
  const talk = new Talk(seed);
  return talk.scheduler.run(talk.run());
}

class Talk {
  readonly scheduler = new Scheduler();
  readonly #dice: Dice;
  readonly #form: TalkForm;
  readonly #parts: SimWorldParts;
  readonly #bucket: SimBucket;
  readonly #oracle: Oracle;
  readonly #payloads: SimPayloads;
  readonly #hosts: readonly Host[];
  readonly #keys: readonly BlockKey[];
  readonly #failures: string[] = [];
  #kills = 0;

  constructor(seed: number) {
    const { scheduler } = this;
    this.#dice = new Dice(`talk/${seed}`);
    this.#form = talkForms[seed % talkForms.length];
    const trace = new Trace(scheduler, false);
    const counts = new FaultCounts();
    this.#parts = { scheduler, trace, counts, dice: new Dice(`talk-world/${seed}`) };
    this.#bucket = new SimBucket(this.#parts);
    this.#oracle = new Oracle({
      ...{ keyPrefix, bucket: this.#bucket, nowMs: () => scheduler.nowMs, staleMs: 2000 },
      ...{ disksFail: false, logsAreAltered: false, isCollected: false },
      fail: (message) => this.#failures.push(message),
    });
    this.#bucket.onStored = (...stored) => this.#oracle.checkStored(...stored);
    this.#payloads = new SimPayloads(`talk/${seed}`, false);
    const length = this.#form === 'turns' ? 80 : this.#dice.between(2, 300);
    this.#keys = this.#payloads.chain('talk', length + 100);
    this.#hosts = ['a', 'b'].map((name) => this.#hostOf(name));
    this.#length = length;
  }

  readonly #length: number;

  async run(): Promise<TalkOutcome> {
    const hosts = this.#hosts.map((host) => this.#open(host));
    await Promise.all(hosts);
    const killing = this.#dice.chance(0.85) ? this.#killNowAndAgain() : undefined;
    for (const part of this.#partsOfTalk()) await this.#saveBySome(part);
    if (this.#dice.chance(0.3)) await this.#flushAll();
    await this.scheduler.wait(this.#dice.fraction() * 200);
    for (const host of this.#hosts) {
      host.isGone = true;
      this.#kill(host);
    }
    await killing;
    await this.scheduler.wait(settleMs);
    return this.#lookFresh();
  }

  /** Parts as they come to be said: from one block to before another. */
  #partsOfTalk(): readonly (readonly [start: number, end: number])[] {
    if (this.#form === 'one go') return [[0, this.#length]];
    const parts: [number, number][] = [];
    for (let start = 0; start < this.#length;) {
      const count = this.#form === 'turns' ? 2 : this.#dice.pick([1, 2, 10, 90]);
      const end = Math.min(this.#length, start + count);
      parts.push([start, end]);
      start = end;
    }
    return parts;
  }

  /** One host or both go on with the talk. */
  async #saveBySome([start, end]: readonly [number, number]): Promise<void> {
    const living = this.#hosts.filter(({ isGone }) => !isGone);
    if (living.length === 0) return;
    const one = this.#dice.pick(living);
    const some = this.#dice.chance(0.4) ? living : [one];
    await Promise.all(some.map((host) => this.#save(host, start, end)));
    await this.scheduler.wait(this.#dice.fraction() * this.#dice.pick([1, 30, 120]));
  }

  /** As an engine does: what it does not find it computes, and saves; or it saves all that it has. */
  async #save(host: Host, start: number, end: number): Promise<void> {
    const { store, process } = host;
    if (store === undefined || process === undefined) return;
    const keys = this.#keys.slice(0, end);
    const first = this.#dice.pick(['all', 'new', 'new', 'unknown']);
    let from = first === 'all' ? 0 : start;
    if (first === 'unknown') {
      const found = await orDeath(process, store.lookup(keys));
      if (found === undefined) return;
      from = Math.min(from, found.matched);
    }
    const blocks = keys.slice(from).map((key) => {
      const payload = this.#payloads.bytes(`${key}/${host.machine.name}`, 300);
      this.#oracle.offer(namespace, key, payload);
      return { key, payload, tokens: 128 };
    });
    const parent = from === 0 ? undefined : keys[from - 1];
    await orDeath(process, store.save(blocks, { parent }));
  }

  async #flushAll(): Promise<void> {
    await Promise.all(
      this.#hosts.map(async ({ process, store }) => {
        if (process !== undefined && store !== undefined) await orDeath(process, store.flush());
      }),
    );
  }

  /** Ends processes at random instants until both hosts are gone for good, or the talk is over. */
  async #killNowAndAgain(): Promise<void> {
    while (this.#hosts.some(({ isGone }) => !isGone)) {
      await this.scheduler.wait(this.#dice.fraction() * this.#dice.pick([30, 300, 1500]));
      const host = this.#dice.pick(this.#hosts);
      if (host.isGone) continue;
      this.#kill(host);
      if (this.#dice.chance(0.25)) host.isGone = true;
      else {
        await this.scheduler.wait(this.#dice.fraction() * 50);
        await this.#open(host);
      }
    }
  }

  #hostOf(name: string): Host {
    const machine = new SimMachine(this.#parts, name, 0);
    return { machine, process: undefined, store: undefined, isGone: false };
  }

  async #open(host: Host): Promise<void> {
    if (host.isGone || host.process !== undefined) return;
    const process = new SimProcess(host.machine, this.#parts);
    host.process = process;
    const objects = new SimNetwork({
      ...{ world: this.#parts, bucket: this.#bucket, process, wayMs },
      ...{ shares: () => calmNetwork, onAltered: () => undefined, onLatePut: () => undefined },
    });
    const transcoder = simTranscoder(process, loadZstd);
    const { platform } = process;
    const opening = assembleStore({
      ...{ platform, objects, transcoder, settings, logger: silentLogger },
    });
    host.store = await orDeath(process, opening);
  }

  #kill(host: Host): void {
    if (host.process === undefined) return;
    this.#kills += 1;
    host.process.kill();
    host.process = undefined;
    host.store = undefined;
  }

  /** Whether the bucket has the block. */
  #has(index: number): boolean {
    const key = blockObjectKey(keyPrefix, namespace, this.#keys[index]);
    return this.#bucket.find(key) !== undefined;
  }

  async #lookFresh(): Promise<TalkOutcome> {
    const fresh = this.#hostOf('fresh');
    await this.#open(fresh);
    const { store } = fresh;
    if (store === undefined) throw new Error('a fresh host opens its store');
    const asked = this.#keys.slice(0, this.#length + this.#dice.pick([0, 1, 20, 100]));
    const there = asked.map((_, index) => this.#has(index));
    const durable = there.includes(false) ? there.indexOf(false) : there.length;
    const startMs = this.scheduler.nowMs;
    const { matched } = await store.lookup(asked);
    const ms = this.scheduler.nowMs - startMs;
    const { get, head } = (await store.stats()).object.requests;
    const borrow = await store.load(asked);
    for (const { key, payload } of borrow.blocks) this.#oracle.checkBlock(namespace, key, payload);
    const loaded = borrow.blocks.length;
    borrow.release();
    const { matched: matchedAgain } = await store.lookup(asked);
    await store.close();
    return {
      ...{ form: this.#form, durable, hasHole: there.includes(true, durable) },
      ...{ length: this.#length, matched, requests: get + head, ms, loaded, matchedAgain },
      isEndThere: matched === 0 || there[matched - 1],
      ...{ kills: this.#kills, failures: this.#failures },
    };
  }
}

/** What the promise gives; undefined when the process is killed before, or the call failed with its store. */
function orDeath<Value>(process: SimProcess, promise: Promise<Value>): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    const forget = process.whenKilled(() => resolve(undefined));
    promise.finally(forget).then(resolve, reject);
  });
}
