import type { ObjectVerb } from '../../src/blocks/kv-store.ts';
import type { ChainShape } from '../chain.ts';

/** Where a bucket is, and what opens it. */
export interface BucketAccess {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** Restores a chain through a store that is opened on an empty cache. */
export interface RestoreJob {
  readonly kind: 'restore';
  readonly access: BucketAccess;
  readonly shape: ChainShape;
  /** A new directory for the cache. */
  readonly cacheDirectory: string;
  /** Milliseconds between opening and the lookup; or until the store has prepared all that it will. */
  readonly rest: number | 'until idle';
}

export interface RestoreResult {
  readonly openMs: number;
  /** CPU time of opening, and of what the store prepares in the rest after it. */
  readonly openCpuMs: number;
  readonly lookupMs: number;
  readonly matched: number;
  readonly lookupRequests: Readonly<Record<ObjectVerb, number>>;
  /** From the call until all payloads are there, verified. */
  readonly loadMs: number;
  readonly loadRequests: Readonly<Record<ObjectVerb, number>>;
  /** CPU time of the process during the load. */
  readonly cpuMs: number;
  /** The same until its copies in the local log are written, which goes on in the background. */
  readonly cpuWithLogMs: number;
}

/** Gets objects one by one, so many at once. */
export interface GetJob {
  readonly kind: 'sdk' | 'plain';
  readonly access: BucketAccess;
  readonly objectKeys: readonly string[];
  readonly lanes: number;
  /** Of a plain client: each body gets memory of its own, as whoever uses it needs. */
  readonly isKept?: boolean;
}

export interface GetResult {
  readonly ms: number;
  readonly cpuMs: number;
  readonly bytes: number;
}

/** Saves a chain through a store that is opened on an empty cache. */
export interface SaveJob extends Omit<RestoreJob, 'kind'> {
  readonly kind: 'save';
}

export interface SaveJobResult {
  /** Until the object store has confirmed everything. */
  readonly durableMs: number;
  readonly cpuMs: number;
}

export type ClientJob = RestoreJob | SaveJob | GetJob;

/** What each job results in. */
export interface ClientResults {
  readonly restore: RestoreResult;
  readonly save: SaveJobResult;
  readonly sdk: GetResult;
  readonly plain: GetResult;
}

/** What a process answers to a job. */
export type ClientAnswer =
  | { readonly isDone: true; readonly result: ClientResults[ClientJob['kind']] }
  | { readonly isDone: false; readonly message: string };
