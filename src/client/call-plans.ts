import { StoreError } from '../base/errors.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { SharedFiller } from '../cache/shared-reader.ts';
import type { Clock } from '../platform/clock.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import type { Loaded } from '../protocol/read-messages.ts';
import type { SaveHead } from '../protocol/write-messages.ts';
import type { WireLink } from '../wire/wire-link.ts';
import { LoadMeter } from './load-meter.ts';
import { LoadAttempt } from './load-attempt.ts';
import type { LoadCollection } from './load-attempt.ts';
import type { Attempt, CallPlan } from './remote-call.ts';
import { SaveAttempt } from './save-attempt.ts';

/** A call whose answer is one frame. */
export function smallPlan<Result>(
  type: FrameType,
  codec: {
    readonly encode: (deadlineMs: number) => Uint8Array;
    readonly decode: (body: Uint8Array) => Result;
  },
): CallPlan<Result> {
  return {
    use: 'small',
    attempt: (leftMs): Attempt<Result> => ({
      type,
      body: codec.encode(leftMs),
      started: () => undefined,
      ended: () => undefined,
      onFrame: (other) => {
        throw new StoreError('INVALID', `${type} is not answered by ${other}`);
      },
      answer: (_answer, body) => codec.decode(body),
      dataTarget: () => {
        throw new StoreError('INVALID', `${type} is not answered by data`);
      },
      onData: () => undefined,
    }),
  };
}

/** Compression of the payloads of a call over a network. */
export interface CallWire {
  readonly link: WireLink;
  readonly clock: Clock;
  /** They may travel compressed where the daemon knows that. */
  readonly isWanted: boolean;
}

/** A load. What has come when time runs out, or the daemon goes, is its result. */
export function loadPlan(
  call: {
    readonly type: FrameType;
    readonly countMax: number;
    readonly encode: (deadlineMs: number, mayCompress: boolean) => Uint8Array;
  },
  collection: LoadCollection,
  wire?: CallWire,
): CallPlan<Loaded> {
  const { type, countMax } = call;
  return {
    use: 'bulk',
    attempt: (leftMs, { mayCompress }) => {
      const most = countMax - collection.count;
      const isCompressed = mayCompress && wire?.isWanted === true;
      const meter = wire && new LoadMeter(wire.link, wire.clock);
      const codec = isCompressed ? wire.link.codec : undefined;
      const body = call.encode(leftMs, isCompressed);
      return new LoadAttempt({ type, body, codec, meter }, collection, most);
    },
    partial: (reason) => {
      const { count } = collection;
      if (count === 0) return undefined;
      return { count, reason: count === countMax ? undefined : reason };
    },
  };
}

/**
 * A save of payloads. `fillerOf` gives what fills the daemon's memory from here; undefined: they go over the
 * connection. `wire` is for one over a network.
 */
export function savePlan(
  call: {
    readonly type: FrameType;
    readonly encode: (head: Omit<SaveHead, 'namespace' | 'durable' | 'fingerprint'>) => Uint8Array;
  },
  payloads: readonly Uint8Array[],
  clock: Clock,
  ways: {
    readonly fillerOf?: (() => SharedFiller | undefined) | undefined;
    readonly wire?: CallWire | undefined;
  },
): CallPlan<SaveResult> {
  const { type, encode } = call;
  const { fillerOf, wire } = ways;
  const byteLength = payloads.reduce((sum, { length }) => sum + length, 0);
  let isWhole = false;
  const onResend = (): void => {
    isWhole = true;
  };
  return {
    use: byteLength <= limits.eagerBytesMax ? 'small' : 'bulk',
    attempt: (deadlineMs, permits) => {
      const isUnasked = byteLength <= permits.eagerBytesMax;
      const filler = permits.mayFill && !isUnasked ? fillerOf?.() : undefined;
      const isCompressed = permits.mayCompress && !isUnasked && wire?.isWanted === true;
      const flags = { isUnasked, isWhole, mayFill: filler !== undefined };
      const body = encode({ deadlineMs, ...flags, mayCompress: isCompressed });
      const codec = isCompressed ? wire.link.codec : undefined;
      const attempt = { type, body, isUnasked, onResend, filler, clock, codec };
      return new SaveAttempt({ ...attempt, link: wire?.link }, payloads);
    },
  };
}
