import type { Clock } from '../../src/platform/clock.ts';
import type { KvStore } from '../../src/blocks/kv-store.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import type { ObjectStore } from '../../src/objectstore/object-store.ts';

/**
 * What an implementation of `KvStore` gives to be held to the contract: worlds. A store in process
 * and a client of a daemon in another process can both give them.
 */
export interface KvStoreHarness {
  /** A fresh world: an empty bucket and no local tiers yet. Worlds do not see each other. */
  createWorld(): Promise<World>;
  /** Cases that may run at the same time, each in its own world; 1 when absent. */
  readonly concurrency?: number | undefined;
  /** Random sequences of operations that are tried; 20 when absent. */
  readonly sequences?: number | undefined;
}

/** One bucket and the hosts around it. */
export interface World {
  /**
   * Opens a store on this world's bucket with the local tiers of `host`. The same name is the same
   * cache directory: opening it again after close or crash is a restart on that host. A host has
   * one open store at a time. For a daemon: starts it and connects.
   */
  open(host: string, options?: WorldStoreOptions): Promise<KvStore>;
  /**
   * Ends the store's process as by SIGKILL, as far as the implementation can. What it had handed to
   * the system may still happen, but all of it before this resolves; nothing later. Calls that were
   * under way may stay unsettled for ever. The store is not used afterwards; its borrows are.
   */
  crash(store: KvStore): Promise<void>;
  /** Empties the local tiers of a host that has no open store. */
  wipe(host: string): Promise<void>;
  /**
   * The bucket behind, untouched by faults: for looking at objects and damaging them. Lists this
   * world's objects and no others.
   */
  readonly bucket: ObjectStore;
  /** Faults of the bucket as every store of this world sees it, from the next request on. */
  readonly faults: BucketFaults;
  /** Ends what is still open, without waiting for uploads, and removes every trace. */
  dispose(): Promise<void>;
}

/** Settings of one store. The suite gives all that matter to a case. */
export interface WorldStoreOptions {
  /** The store's own namespace; `default` when absent. */
  readonly namespace?: Namespace | undefined;
  /** Budget of the memory tier. */
  readonly memoryBytes?: number | undefined;
  /** Budget of the disk tier; 0: none. */
  readonly diskBytes?: number | undefined;
  /** Bytes accepted and not yet durable, beyond which a save gets `BUSY`. */
  readonly backlogBytes?: number | undefined;
  readonly lookupDeadlineMs?: number | undefined;
  readonly loadDeadlineMs?: number | undefined;
  /** Where its memory lies for other processes; for worlds that wrap those of real stores. */
  readonly sharedDirectory?: string | undefined;
  /** The time that it has, in worlds of this process. */
  readonly clock?: Clock | undefined;
}

/**
 * How the bucket behaves.
 *
 * - `none`: as it should. - `unavailable`: every request fails at once with `UNAVAILABLE`.
 * - `slow`: every request hangs until its signal fires, or fails when the mode changes.
 * - `refuse-puts`: puts fail at once with `UNAVAILABLE`, as by 403; all else works.
 */
export type BucketMode = 'none' | 'unavailable' | 'slow' | 'refuse-puts';

export interface BucketFaults {
  /** Resolves when every store of the world sees the mode. */
  setMode(mode: BucketMode): Promise<void>;
}

/** One sentence of the contract, as a program. */
export interface KvStoreCase {
  /** What holds, as a sentence. */
  readonly name: string;
  /** Gets a world of its own. The harness is for cases that need more than one. */
  readonly run: (world: World, harness: KvStoreHarness) => Promise<void>;
  /** Milliseconds after which the case has failed, when the usual bound is too short. */
  readonly timeoutMs?: number | undefined;
}
