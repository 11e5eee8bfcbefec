import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { ObjectKey } from '../../src/objectstore/object-store.ts';
import { Dice } from './dice.ts';
import type { Profile } from './profile.ts';
import type { DiskChange } from './sim-disk.ts';
import { SimWorld } from './sim-world.ts';
import type { Slot } from './slot.ts';

/** Something that happened in a history, in the order in which it happened. */
export type HistoryEvent =
  | { readonly kind: 'disk'; readonly change: DiskChange }
  | { readonly kind: 'put'; readonly key: ObjectKey; readonly bytes: Uint8Array }
  | { readonly kind: 'offer' | 'raw-begin'; readonly key: BlockKey; readonly payload: Uint8Array }
  | { readonly kind: 'accept'; readonly keys: readonly BlockKey[] }
  | { readonly kind: 'raw-accept'; readonly key: BlockKey; readonly payload: Uint8Array }
  | {
      readonly kind: 'tail-offer' | 'tail-accept';
      readonly key: BlockKey;
      readonly tokens: readonly number[];
      readonly payload: Uint8Array;
    };

/** What a store did to its disk and its bucket from the beginning on. */
export interface History {
  readonly events: readonly HistoryEvent[];
  /** How often local copies were evicted, and raw tails overwritten. */
  readonly evictions: number;
  readonly overwrites: number;
  /** How many bound tails were accepted. */
  readonly tails: number;
}

const kib = 1024;

/** One host with small tiers, so that eviction is never far. */
export const historyProfile: Profile = {
  theme: 'crash states',
  machines: 1,
  processesPerMachine: 1,
  bucket: 'cloud',
  network: { trouble: 0, altered: 0, damaged: 0, staleLists: 0 },
  disk: { read: 0, write: 0, sync: 0, open: 0, slow: 0 },
  memoryRefusals: { process: 0, shared: 0 },
  skewMsMax: 0,
  memoryBytes: 16 * kib,
  diskBytes: 24 * kib,
  capacityBytes: Number.POSITIVE_INFINITY,
  objectStoreBytesMax: false,
  compression: 'off',
  payloadBytesMax: 2500,
  readV1: 'off',
  sharesMemory: false,
  extra: {},
};

/** Where its bucket is: elsewhere, or a directory on the disk whose changes are recorded. */
export type HistoryBucket = Profile['bucket'];

export function historyWorld(seed: number, bucket: HistoryBucket = 'cloud'): SimWorld {
  return new SimWorld({ seed, profile: { ...historyProfile, bucket }, operations: [] }, false);
}

/** Tips under which a history keeps tails, by their number; raw ones have others. */
export const historyTips = [0, 1] as const;
/** Tokens of its longest bound tail. Each shorter one is its beginning. */
export const historyTailTokens = 4;

/** The first tokens of every bound tail. */
export function tailTokens(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** Lets a store save, overwrite, upload, evict and close, and writes down all that it does. */
export async function recordHistory(seed: number, bucket: HistoryBucket): Promise<History> {
  const world = historyWorld(seed, bucket);
  const recorder = new Recorder(world, new Dice(`history/${seed}`));
  await world.scheduler.run(recorder.run());
  world.throwIfFailed();
  return recorder.history;
}

class Recorder {
  readonly #world: SimWorld;
  readonly #dice: Dice;
  readonly #slot: Slot;
  readonly #events: HistoryEvent[] = [];
  #evictions = 0;
  #overwrites = 0;
  #tails = 0;
  #saves = 0;

  constructor(world: SimWorld, dice: Dice) {
    this.#world = world;
    this.#dice = dice;
    [this.#slot] = world.slots;
    const [{ disk }] = world.machines;
    disk.onChange = (change) => this.#events.push({ kind: 'disk', change });
    const { bucket } = world;
    // A directory is on the disk.
    if (bucket === undefined) return;
    bucket.onStored = (key, bytes) => this.#events.push({ kind: 'put', key, bytes });
  }

  get history(): History {
    const sums = { evictions: this.#evictions, overwrites: this.#overwrites, tails: this.#tails };
    return { events: this.#events, ...sums };
  }

  async run(): Promise<void> {
    const { scheduler } = this.#world;
    await this.#world.open(this.#slot);
    for (let step = 0; step < 14; step += 1) {
      const task = this.#step(this.#dice.below(12));
      if (this.#dice.chance(0.5)) await task;
      else await Promise.race([task, scheduler.wait(this.#dice.fraction() * 2)]);
    }
    await this.#flush();
    const stats = await this.#slot.store?.stats();
    this.#evictions = stats?.disk.evictions ?? 0;
    await this.#world.close(this.#slot);
  }

  #step(kind: number): Promise<void> {
    if (kind < 6) return this.#save();
    if (kind < 9) return this.#saveRawTail();
    return kind < 11 ? this.#saveTail() : this.#flush();
  }

  async #save(): Promise<void> {
    this.#saves += 1;
    const count = this.#dice.between(1, 4);
    const keys = this.#world.payloads.chain(`history-${this.#saves}`, count);
    const blocks = keys.map((key) => {
      const length = this.#dice.below(historyProfile.payloadBytesMax);
      return { key, payload: this.#world.payloads.bytes(key, length) };
    });
    for (const block of blocks) this.#events.push({ kind: 'offer', ...block });
    const outcome = await this.#world.call(this.#slot, 'save', 20_000, (store) =>
      store.save(blocks),
    );
    if (outcome.kind === 'answer') this.#events.push({ kind: 'accept', keys });
  }

  async #saveRawTail(): Promise<void> {
    const key = this.#world.payloads.key(`raw/${this.#dice.below(2)}`);
    const payload = this.#world.payloads.bytes(this.#dice.hex(4), 4 + this.#dice.below(1500));
    this.#overwrites += 1;
    this.#events.push({ kind: 'raw-begin', key, payload });
    const outcome = await this.#world.call(this.#slot, 'save raw tail', 20_000, (store) =>
      store.saveRawTail(key, payload),
    );
    if (outcome.kind === 'answer') this.#events.push({ kind: 'raw-accept', key, payload });
  }

  async #saveTail(): Promise<void> {
    const key = this.#world.payloads.key(`tail/${this.#dice.pick(historyTips)}`);
    const tokens = tailTokens(this.#dice.between(1, historyTailTokens));
    const payload = this.#world.payloads.bytes(`${key}/${tokens.length}`, this.#dice.below(1500));
    const tail = { key, tokens, payload };
    this.#events.push({ kind: 'tail-offer', ...tail });
    const outcome = await this.#world.call(this.#slot, 'save tail', 20_000, (store) =>
      store.saveTail({ tip: key, tokens, payload }),
    );
    if (outcome.kind !== 'answer') return;
    this.#tails += 1;
    this.#events.push({ kind: 'tail-accept', ...tail });
  }

  async #flush(): Promise<void> {
    await this.#world.call(this.#slot, 'flush', 66_000, (store) => store.flush());
  }
}
