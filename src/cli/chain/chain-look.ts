import { isStoreError, messageOf } from '../../base/errors.ts';
import type { BlockKey } from '../../blocks/block-key.ts';
import { limits } from '../../blocks/limits.ts';
import type { Namespace } from '../../blocks/namespace.ts';
import { inspectDirectories } from '../../cache/cache-directory.ts';
import type { DirectoryState, StoreIdentity } from '../../cache/cache-directory.ts';
import { findInPlace } from '../../cache/place-audit.ts';
import type { PlacedBlock } from '../../cache/place-audit.ts';
import { systemErrorCode } from '../../base/errors.ts';
import type { FrameHeader } from '../../format/frame.ts';
import { blockObjectKey } from '../../format/object-keys.ts';
import { parseObjectKey } from '../../objectstore/object-key.ts';
import type { Platform } from '../../platform/platform.ts';
import { describeObject } from '../bucket.ts';
import type { Bucket } from '../bucket.ts';
import { ByteGate } from '../byte-gate.ts';
import { lookAtHeader, verifyObject } from '../frame-look.ts';
import type { FrameLook } from '../frame-look.ts';
import type { Progress } from '../progress.ts';
import { formatCount } from '../quantity.ts';

/** A copy that a process of this host has on disk, or accepted in shared memory and not written there yet. */
export interface LocalCopy {
  readonly tier: 'disk' | 'memory';
  /** Number of the sub-directory of the cache, and whether a process uses it. */
  readonly part: number;
  readonly isInUse: boolean;
  readonly isPending: boolean;
  readonly isIntact: boolean;
  readonly fingerprint: string | undefined;
  readonly hasDecodedTokens: boolean;
}

/**
 * What the object store has of a block. `unasked`: it had stopped answering before. `deadline`: it
 * did not answer within the time that a load has.
 */
export interface ObjectCopy {
  readonly state: 'there' | 'absent' | 'damaged' | 'newer' | 'deadline' | 'unavailable' | 'unasked';
  readonly detail: string | undefined;
  readonly header: FrameHeader | undefined;
}

/** Where a block of a chain is. */
export interface BlockPlace {
  readonly key: BlockKey;
  readonly local: readonly LocalCopy[];
  readonly object: ObjectCopy;
}

/** What was looked at, and what it took. */
export interface ChainLook {
  readonly places: readonly BlockPlace[];
  /** Milliseconds until the object store gave its first answer; undefined when it gave none. */
  readonly firstAnswerMs: number | undefined;
  /** Sub-directories of the cache that could not be read, and why. */
  readonly unreadable: readonly string[];
}

export interface ChainLookOptions {
  readonly platform: Platform;
  readonly bucket: Bucket;
  readonly keys: readonly BlockKey[];
  readonly namespace: Namespace;
  readonly cacheDirectory: string | false;
  /** Milliseconds that the object store has for all of its answers. */
  readonly loadDeadlineMs: number;
  /** Payloads are read and checked; otherwise only headers are. */
  readonly isDeep: boolean;
  readonly progress: Progress;
}

/** Stored bytes in memory at once, besides one payload that is being decoded. */
const bytesInFlightMax = 256 * 1024 * 1024;
const unasked: ObjectCopy = { state: 'unasked', detail: undefined, header: undefined };

/** Finds every block of the chain, on this host and in the object store. Changes nothing. */
export async function lookAtChain(options: ChainLookOptions): Promise<ChainLook> {
  const { keys, progress } = options;
  const { copies, unreadable } = await lookAtHost(options);
  const objects = new ObjectLook(options, copies);
  progress.begin('asking the object store');
  const found = await objects.ask();
  const { firstAnswerMs } = objects;
  progress.end(`${formatCount(found.filter((one) => one?.state === 'there').length)} blocks there`);
  const places = keys.map((key, index) => ({
    key,
    local: copies.get(key) ?? [],
    object: found[index] ?? unasked,
  }));
  return { places, firstAnswerMs, unreadable };
}

async function lookAtHost(options: ChainLookOptions): Promise<{
  readonly copies: ReadonlyMap<BlockKey, LocalCopy[]>;
  readonly unreadable: readonly string[];
}> {
  const { platform, bucket, cacheDirectory, keys, namespace, isDeep, progress } = options;
  const copies = new Map<BlockKey, LocalCopy[]>();
  const unreadable: string[] = [];
  if (cacheDirectory === false) return { copies, unreadable };
  progress.begin('looking into the cache directory');
  const identity: StoreIdentity = { url: bucket.objects.url, keyPrefix: bucket.keyPrefix };
  const wanted = new Set(keys);
  for (const state of await inspectDirectories(platform, cacheDirectory, identity)) {
    if (state.state !== 'alive' && state.state !== 'dead') {
      if (state.state === 'unreadable') unreadable.push(state.path);
      continue;
    }
    try {
      const place = { platform, directory: state.path, identity, isDeep, namespace, keys: wanted };
      const isInUse = state.state === 'alive';
      const found = await findInPlace({ ...place, isInUse });
      for (const [key, block] of found) addCopy(copies, key, state, block);
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error;
      unreadable.push(`${state.path}: ${messageOf(error)}`);
    }
  }
  progress.end(`${formatCount(copies.size)} of ${formatCount(keys.length)} blocks there`);
  return { copies, unreadable };
}

function addCopy(
  copies: Map<BlockKey, LocalCopy[]>,
  key: BlockKey,
  { number: part, state }: DirectoryState,
  block: PlacedBlock,
): void {
  const copy = { ...block, part, isInUse: state === 'alive' };
  const known = copies.get(key);
  if (known === undefined) copies.set(key, [copy]);
  else known.push(copy);
}

/** Asks for the objects of a chain in order, some at a time, within the time of one load. */
class ObjectLook {
  firstAnswerMs: number | undefined;
  readonly #options: ChainLookOptions;
  readonly #copies: ReadonlyMap<BlockKey, readonly LocalCopy[]>;
  readonly #gate = new ByteGate(bytesInFlightMax);
  readonly #found: (ObjectCopy | undefined)[] = [];
  readonly #startMs: number;
  /** Bytes of the largest object so far: what the next one may take. */
  #largest = 0;
  #next = 0;
  #done = 0;
  /** Set once nothing more is asked. */
  #hasStopped = false;

  constructor(options: ChainLookOptions, copies: ReadonlyMap<BlockKey, readonly LocalCopy[]>) {
    this.#options = options;
    this.#copies = copies;
    this.#startMs = options.bucket.clock.nowMs();
  }

  /** The first is asked for by itself, for its size. */
  async ask(): Promise<readonly (ObjectCopy | undefined)[]> {
    await this.#askNext();
    await Promise.all(Array.from({ length: limits.fetchesInFlightMax }, () => this.#lane()));
    return this.#found;
  }

  async #lane(): Promise<void> {
    while (this.#next < this.#options.keys.length && !this.#hasStopped) await this.#askNext();
  }

  async #askNext(): Promise<void> {
    const { keys, bucket, progress, loadDeadlineMs } = this.#options;
    const index = this.#next;
    if (index >= keys.length) return;
    this.#next += 1;
    const requestMs = this.#startMs + loadDeadlineMs - bucket.clock.nowMs();
    if (requestMs <= 0) {
      this.#stop(index, { state: 'deadline', detail: undefined, header: undefined });
      return;
    }
    try {
      const look = await this.#gate.run(this.#largest, () =>
        this.#lookAt({ ...bucket, requestMs }, keys[index]),
      );
      this.firstAnswerMs ??= bucket.clock.nowMs() - this.#startMs;
      this.#largest = Math.max(this.#largest, look.header?.storedLength ?? 0);
      this.#found[index] = copyOf(look);
    } catch (error) {
      const isLate = isStoreError(error, 'ABORTED');
      if (!isLate && !isStoreError(error, 'UNAVAILABLE')) throw error;
      const state = isLate ? 'deadline' : 'unavailable';
      this.#stop(index, { state, detail: messageOf(error), header: undefined });
    }
    this.#done += 1;
    progress.update({ activity: '', done: this.#done, total: keys.length });
  }

  #stop(index: number, copy: ObjectCopy): void {
    this.#found[index] = copy;
    this.#hasStopped = true;
  }

  /** A block that is whole on this host would not be fetched: that its object is there is enough. */
  #lookAt(bucket: Bucket, key: BlockKey): Promise<FrameLook> {
    const { namespace, isDeep } = this.#options;
    const info = {
      key: parseObjectKey(blockObjectKey(bucket.keyPrefix, namespace, key)),
      ...{ byteLength: 0, etag: '', modifiedMs: 0 },
    };
    const object = describeObject(bucket, info);
    const isOnHost = (this.#copies.get(key) ?? []).some(({ isIntact }) => isIntact);
    return isDeep && !isOnHost ? verifyObject(bucket, object) : lookAtHeader(bucket, object);
  }
}

function copyOf({ verdict, reason, header }: FrameLook): ObjectCopy {
  switch (verdict) {
    case 'sound':
      return { state: 'there', detail: undefined, header };
    case 'gone':
      return { state: 'absent', detail: undefined, header: undefined };
    case 'newer':
      return { state: 'newer', detail: reason, header };
    case 'damaged':
    case 'foreign':
      return { state: 'damaged', detail: reason, header };
    default:
      return verdict satisfies never;
  }
}
