import type { BlockKey } from '../../src/blocks/block-key.ts';
import type { MissReason } from '../../src/blocks/kv-store.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import {
  blockObjectKey,
  legacyBlockObjectKey,
  parseLegacyKey,
  parseObjectKey,
} from '../../src/format/object-keys.ts';
import { decodeFrameHeader, frameHeaderLength } from '../../src/format/frame.ts';
import { isOf } from './names.ts';
import { RawTailOracle, TailOracle } from './tail-oracle.ts';
import { sameBytes } from './same-bytes.ts';
import type { BucketTruth } from './sim-bucket.ts';

/** What is known of one block. */
interface BlockKnowledge {
  readonly namespace: Namespace;
  readonly key: BlockKey;
  readonly objectKey: string;
  /** Every payload that somebody gave to a save. */
  readonly variants: Uint8Array[];
  /** The object of the v1 format that serves as well, where somebody put one. */
  readonly legacyKey: string;
  /** Since when each machine, and each process, has told that it is accepted. */
  readonly accepted: Map<string, number>;
  /** Its object was deleted or damaged, or bytes of it were lost on a disk: it may be missing. */
  isFragile: boolean;
  /** Bytes of it were altered on the way or in the bucket: it may be called corrupt. */
  isAltered: boolean;
  /** Machines that lost, and may hold in part, the only copy of it: they may call it corrupt. */
  readonly tornOn: Set<string>;
  /** When a save of it began last: it may be stored since, though nobody said so. */
  offeredMs: number;
}

/** What must be in the bucket before the first block of a save. */
interface FreshBatch {
  readonly machine: string;
  readonly rest: readonly string[];
}

/** Who asked, and when. */
export interface Asker {
  readonly process: string;
  /** The machine, when what it accepted must be found by the process that asks. */
  readonly machine: string | undefined;
  readonly startedMs: number;
}

export interface OracleOptions {
  readonly keyPrefix: string;
  readonly bucket: BucketTruth;
  readonly nowMs: () => number;
  /** An answer may be as old as this; beyond it an absence is no excuse. */
  readonly staleMs: number;
  /** True when disks fail: then what is stored may be out of reach for a while. */
  readonly disksFail: boolean;
  /** True when bytes on disks are changed: any block may have been on one. */
  readonly logsAreAltered: boolean;
  /** True when somebody removes objects: then nothing need be found. */
  readonly isCollected: boolean;
  readonly fail: (message: string) => void;
}

/** No save of the common chains is under way for so long. */
const saveMsMax = 2000;

/**
 * What must hold, whatever happened: knows every byte that was ever saved, what was accepted where,
 * and what lies in the bucket.
 */
export class Oracle {
  readonly tails: TailOracle;
  readonly rawTails: RawTailOracle;
  readonly #options: OracleOptions;
  readonly #blocks = new Map<string, BlockKnowledge>();
  readonly #byObject = new Map<string, BlockKnowledge>();
  /** Saves of blocks that were all new to the world, by the object key of their first block. */
  readonly #freshBatches = new Map<string, FreshBatch>();
  /** Everything compared so far. */
  comparisons = 0;

  constructor(options: OracleOptions) {
    this.#options = options;
    this.tails = new TailOracle(options.fail);
    this.rawTails = new RawTailOracle(options.fail);
  }

  /** A save begins: its bytes may show from now on. True when others were given for the key before. */
  offer(namespace: Namespace, key: BlockKey, payload: Uint8Array): boolean {
    const block = this.#of(namespace, key);
    const { variants } = block;
    block.offeredMs = this.#options.nowMs();
    if (variants.some((known) => sameBytes(known, payload))) return false;
    variants.push(payload);
    return variants.length > 1;
  }

  /** The batch is new to the world and saved by nobody else. */
  expectWhole(namespace: Namespace, keys: readonly BlockKey[], machine: string): void {
    const objectKeys = keys.map((key) => this.#of(namespace, key).objectKey);
    this.#freshBatches.set(objectKeys[0], { machine, rest: objectKeys.slice(1) });
  }

  /** Whether nothing has happened since that may cut the batch off. */
  isExpectedWhole(namespace: Namespace, keys: readonly BlockKey[]): boolean {
    return this.#freshBatches.has(this.#of(namespace, keys[0]).objectKey);
  }

  accept(namespace: Namespace, keys: readonly BlockKey[], by: readonly string[]): void {
    for (const key of keys) {
      const { accepted } = this.#of(namespace, key);
      for (const name of by) if (!accepted.has(name)) accepted.set(name, this.#options.nowMs());
    }
  }

  /** Bytes of it may be gone, by a delete or by damage. */
  weaken(namespace: Namespace, keys: readonly BlockKey[]): void {
    for (const key of keys) this.#of(namespace, key).isFragile = true;
  }

  /** Local tiers of the machine lost something: what is not in the bucket may be gone, or torn. */
  forgetMachine(machine: string): void {
    for (const { objectKey, accepted, tornOn } of this.#blocks.values()) {
      // An object of the v1 format is no proof: who looked for one before it came does not find it.
      if (this.#options.bucket.find(objectKey) !== undefined) continue;
      tornOn.add(machine);
      for (const name of accepted.keys()) if (isOf(machine, name)) accepted.delete(name);
    }
    for (const [head, batch] of this.#freshBatches) {
      if (batch.machine === machine) this.#freshBatches.delete(head);
    }
    this.tails.forgetMachine(machine);
    this.rawTails.forgetMachine(machine);
  }

  /** Something happened to the object's bytes, on the way or for good. */
  noteAltered(objectKey: string, isForGood: boolean): void {
    const { keyPrefix } = this.#options;
    const id = parseObjectKey(keyPrefix, objectKey) ?? parseLegacyKey(keyPrefix, objectKey);
    if (id?.kind === 'block') {
      const block = this.#of(id.namespace, id.key);
      block.isAltered = true;
      block.isFragile ||= isForGood;
    } else if (id !== undefined) {
      this.tails.weaken();
      this.rawTails.weaken();
    }
  }

  /** A payload that the store gave. */
  checkBlock(namespace: Namespace, key: BlockKey, payload: Uint8Array): void {
    this.comparisons += 1;
    const { variants } = this.#of(namespace, key);
    if (variants.some((known) => sameBytes(known, payload))) return;
    this.#options.fail(`wrong bytes of block ${key} in ${namespace} (${payload.length} bytes)`);
  }

  /** The store said that it cannot give the block, and why. */
  checkMiss(namespace: Namespace, key: BlockKey, reason: MissReason, asker: Asker): void {
    const block = this.#of(namespace, key);
    const what = `${reason} for block ${key} in ${namespace} by ${asker.process}`;
    if (reason === 'corrupt') {
      const isTorn = [...block.tornOn].some((machine) => isOf(machine, asker.process));
      const isExcused = block.isAltered || isTorn || this.#options.logsAreAltered;
      if (!isExcused) this.#options.fail(`${what}: nobody altered it`);
      return;
    }
    if (block.isFragile || this.#options.isCollected) return;
    if (reason === 'unknown' || reason === 'evicted') this.#checkUnknown(block, asker, what);
    else if (this.#acceptedMs(block, asker) < asker.startedMs && !this.#options.disksFail) {
      const isPending = !this.#isInBucket(block);
      if (isPending) this.#options.fail(`${what}: it is pending, so it is on this host`);
    }
  }

  /** Whether the bucket has the block, or somebody may have saved it since that moment. */
  mayBeStored(namespace: Namespace, key: BlockKey, sinceMs: number): boolean {
    const block = this.#of(namespace, key);
    return block.offeredMs > sinceMs - saveMsMax || this.#isInBucket(block);
  }

  /** After a durable save, or a flush: the objects are there. */
  checkDurable(namespace: Namespace, keys: readonly BlockKey[], after: string): void {
    if (this.#options.isCollected) return;
    for (const key of keys) {
      const block = this.#of(namespace, key);
      if (block.isFragile || this.#isInBucket(block)) continue;
      this.#options.fail(`after ${after} block ${key} of ${namespace} is not in the bucket`);
    }
  }

  /** Keys that the process has accepted, by namespace: what a flush of it must make durable. */
  acceptedBy(name: string): ReadonlyMap<Namespace, readonly BlockKey[]> {
    return this.#keysOf(({ accepted }) => accepted.has(name));
  }

  /** Every block that somebody ever gave to a save, by namespace. */
  offeredBlocks(): ReadonlyMap<Namespace, readonly BlockKey[]> {
    return this.#keysOf(({ variants }) => variants.length > 0);
  }

  /** Blocks that any host must be able to load at the end, by namespace. */
  certainBlocks(): ReadonlyMap<Namespace, readonly BlockKey[]> {
    if (this.#options.isCollected) return new Map();
    return this.#keysOf(({ accepted, isFragile }) => accepted.size > 0 && !isFragile);
  }

  /** An object came to lie in the bucket. */
  checkStored(objectKey: string, bytes: Uint8Array, before: Uint8Array | undefined): void {
    const id = parseObjectKey(this.#options.keyPrefix, objectKey);
    if (id === undefined) {
      const isStrange = objectKey.startsWith(`${this.#options.keyPrefix}-`);
      if (isStrange) this.#options.fail(`object ${objectKey} went to another key prefix`);
      return;
    }
    if (id.kind !== 'block') {
      this.#checkStoredTail(objectKey, id.kind, before);
      return;
    }
    if (this.#of(id.namespace, id.key).isAltered) return;
    if (before !== undefined) this.#options.fail(`object ${objectKey} was replaced`);
    const { following, codec, rawLength } = decodeFrameHeader(bytes);
    const payload = bytes.subarray(frameHeaderLength(following.length));
    if (codec === 'raw' && payload.length === rawLength) {
      this.checkBlock(id.namespace, id.key, payload);
    }
    for (const key of following) this.#checkListed(id.namespace, key, objectKey);
    this.#checkWhole(objectKey);
  }

  /** The head of a save comes last. */
  #checkWhole(head: string): void {
    for (const rest of this.#freshBatches.get(head)?.rest ?? []) {
      if (this.#options.isCollected || this.#options.bucket.find(rest) !== undefined) continue;
      if (this.#byObject.get(rest)?.isFragile === true) continue;
      this.#options.fail(`the head ${head} is in the bucket before ${rest}`);
    }
  }

  /** Nobody may say so of what this host accepted, or of what the bucket has for a while. */
  #checkUnknown(block: BlockKnowledge, asker: Asker, what: string): void {
    const acceptedMs = this.#acceptedMs(block, asker);
    if (acceptedMs < asker.startedMs) this.#options.fail(`${what}: accepted at ${acceptedMs}`);
    const object = this.#options.bucket.find(block.objectKey);
    if (object === undefined || object.sinceMs >= asker.startedMs - this.#options.staleMs) return;
    this.#options.fail(`${what}: in the bucket since ${object.sinceMs}`);
  }

  #keysOf(isMeant: (block: BlockKnowledge) => boolean): Map<Namespace, BlockKey[]> {
    const found = new Map<Namespace, BlockKey[]>();
    for (const block of this.#blocks.values()) {
      if (!isMeant(block)) continue;
      const keys = found.get(block.namespace) ?? [];
      keys.push(block.key);
      found.set(block.namespace, keys);
    }
    return found;
  }

  /** An object of either format serves. */
  #isInBucket({ objectKey, legacyKey }: BlockKnowledge): boolean {
    const { bucket } = this.#options;
    return bucket.find(objectKey) !== undefined || bucket.find(legacyKey) !== undefined;
  }

  #checkListed(namespace: Namespace, key: BlockKey, by: string): void {
    const block = this.#of(namespace, key);
    if (block.isFragile || this.#options.isCollected || this.#isInBucket(block)) return;
    this.#options.fail(`object ${by} lists ${key}, which is not in the bucket`);
  }

  #checkStoredTail(objectKey: string, kind: string, before: Uint8Array | undefined): void {
    if (kind === 'raw-tail' || before === undefined || this.tails.isWeak) return;
    this.#options.fail(`object ${objectKey} was replaced`);
  }

  /** Since when the process that asks, or its machine, has the block; never: infinity. */
  #acceptedMs({ accepted }: BlockKnowledge, { process, machine }: Asker): number {
    return accepted.get(process) ?? accepted.get(machine ?? '') ?? Infinity;
  }

  #of(namespace: Namespace, key: BlockKey): BlockKnowledge {
    const id = `${key}${namespace}`;
    let block = this.#blocks.get(id);
    if (block === undefined) {
      const { keyPrefix } = this.#options;
      const objectKey = blockObjectKey(keyPrefix, namespace, key);
      const legacyKey = legacyBlockObjectKey(keyPrefix, namespace, key);
      const flags = { isFragile: false, isAltered: false, offeredMs: -Infinity };
      const marks = { variants: [], accepted: new Map(), tornOn: new Set<string>() };
      block = { namespace, key, objectKey, legacyKey, ...marks, ...flags };
      this.#blocks.set(id, block);
      this.#byObject.set(objectKey, block);
    }
    return block;
  }
}
