import { isStoreError } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import type { Borrow, LoadOptions, MissReason, PayloadBorrow } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import { tailDigest } from '../blocks/prefix.ts';
import {
  decodeLoadCall,
  decodeLoadRawTailCall,
  decodeLoadTailCall,
  encodeLoaded,
  encodeResident,
  encodeResidentTail,
} from '../protocol/read-messages.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { ClientAccount } from './client-accounts.ts';
import { PayloadSender } from './compressed-sending.ts';
import type { DaemonService } from './daemon-service.ts';
import type { FrameSink, ServedCall } from './served-call.ts';

/** A load as the daemon runs it: parts whose payloads stay pinned while they are sent. */
interface LoadRun {
  readonly call: ServedCall;
  readonly sink: FrameSink;
  readonly service: DaemonService;
  readonly account: ClientAccount;
  /** Compression of payloads, where the client knows it. */
  readonly wire: WireDoor | undefined;
}

/**
 * Answers `load`. The chain is loaded and sent in parts, the next one loading while the last is sent,
 * so that what is pinned for a client has a bound however many blocks it asks for.
 */
export async function serveLoad(run: LoadRun, body: Uint8Array): Promise<void> {
  const { keys, namespace, exact, fingerprint, deadlineMs, ...may } = decodeLoadCall(body);
  const { call, sink, service } = run;
  const { clock } = service;
  const endMs = clock.nowMs() + Math.min(deadlineMs, limits.servedDeadlineMsMax);
  let sending: Promise<void> = Promise.resolve();
  let size: number = limits.loadPartBlocksMin;
  let sent = 0;
  let reason: MissReason | undefined;
  // The client puts what comes behind what it borrows, and never the other way round.
  let mayBorrow = may.mayBorrow === true;
  do {
    const part = keys.slice(sent, sent + size);
    const left = Math.max(0, endMs - clock.nowMs());
    const options: LoadOptions = { namespace, exact, fingerprint, deadlineMs: left };
    const borrow = await loadPart(run, part, options, sent);
    try {
      await sending;
    } catch (error) {
      borrow.release();
      throw error;
    }
    const loaded = borrow.blocks.map(({ key }) => key);
    mayBorrow = mayBorrow && service.store.shows(loaded, namespace);
    sending = mayBorrow
      ? tellBlocks(run, borrow)
      : sendBlocks(run, borrow, sent, may.mayCompress ? run.wire : undefined);
    // Observed at once: it may fail while the next part is being loaded.
    sending.catch(() => undefined);
    sent += borrow.blocks.length;
    reason = borrow.reason;
    size = partSize(borrow);
  } while (reason === undefined && sent < keys.length && !call.signal.aborted);
  await sending;
  call.signal.throwIfAborted();
  sink.send('loaded', call.id, encodeLoaded({ count: sent, reason }));
}

async function loadPart(
  { call, service, account }: LoadRun,
  keys: readonly BlockKey[],
  options: LoadOptions,
  sent: number,
): Promise<Borrow> {
  try {
    await account.roomForPins({ clock: service.clock, signal: call.signal });
  } catch (error) {
    if (sent === 0 || !isStoreError(error, 'BUSY')) throw error;
    // What was sent is a prefix all the same.
    return { blocks: [], reason: 'deadline', release: () => undefined };
  }
  return service.store.load(keys, { ...options, signal: call.signal });
}

/** So many blocks as the last part was, if they are as long, fill a part. */
function partSize({ blocks }: Borrow): number {
  const longest = blocks.reduce((most, { payload }) => Math.max(most, payload.length), 1);
  return Math.max(1, Math.min(limits.keysPerCallMax, Math.floor(limits.loadPartBytes / longest)));
}

/** The client borrows the blocks where they lie. That they are not pinned any more by then costs a call at most. */
async function tellBlocks({ call, sink, account }: LoadRun, borrow: Borrow): Promise<void> {
  const bytes = borrow.blocks.reduce((sum, { payload }) => sum + payload.length, 0);
  const unpin = account.pins.add(bytes);
  try {
    call.signal.throwIfAborted();
    const tiers = borrow.blocks.map(({ tier }) => tier);
    if (tiers.length > 0) sink.send('resident', call.id, encodeResident(tiers));
    await sink.flushed();
  } finally {
    unpin();
    borrow.release();
  }
}

/** Sends the blocks and gives them back when the system has their bytes. */
async function sendBlocks(
  run: LoadRun,
  borrow: Borrow,
  first: number,
  wire: WireDoor | undefined,
): Promise<void> {
  const { call, sink, account, service } = run;
  const bytes = borrow.blocks.reduce((sum, { payload }) => sum + payload.length, 0);
  const unpin = account.pins.add(bytes);
  const payloads = borrow.blocks.map(({ payload }) => payload);
  const sender = new PayloadSender({ sink, id: call.id }, payloads, wire, service.counters);
  try {
    for (const [at, block] of borrow.blocks.entries()) {
      if (sink.queuedBytes > limits.queuedBytesMax) await sink.flushed();
      call.signal.throwIfAborted();
      const { tokens, hasDecodedTokens, tier } = block;
      const sent = sender.send({ index: first + at, tokens, hasDecodedTokens, tier }, block);
      if (sent !== undefined) await sent;
    }
    await sink.flushed();
  } finally {
    unpin();
    borrow.release();
  }
}

/** Answers `load-tail`. */
export async function serveLoadTail(run: LoadRun, body: Uint8Array): Promise<void> {
  const { tip, tokens, mayCompress, mayBorrow, ...options } = decodeLoadTailCall(body);
  const { signal } = run.call;
  await run.account.roomForPins({ clock: run.service.clock, signal });
  const { store } = run.service;
  const found = await store.loadTail({ tip, tokens }, { ...capped(options), signal });
  const isShown = ({ tokens: count }: TailFacts): boolean =>
    store.shows([tailDigest(tip, tokens.slice(0, count))], options.namespace, 'tail');
  await answerTail(run, found, found ?? noTokens, {
    wire: mayCompress ? run.wire : undefined,
    isShown: mayBorrow === true ? isShown : isSent,
  });
}

/** Answers `load-raw-tail`, and `borrow-raw-tail`. */
export async function serveLoadRawTail(
  run: LoadRun,
  body: Uint8Array,
  mayBorrow: boolean,
): Promise<void> {
  const { tip, ...options } = decodeLoadRawTailCall(body);
  const { signal } = run.call;
  await run.account.roomForPins({ clock: run.service.clock, signal });
  const { store } = run.service;
  const found = await store.loadRawTail(tip, { ...capped(options), signal });
  const isShown = (): boolean => store.shows([tip], options.namespace, 'raw-tail');
  const ways = { wire: undefined, isShown: mayBorrow ? isShown : isSent };
  await answerTail(run, found, noTokens, ways);
}

/** What a client asks for, but no longer than a call may last here. */
function capped<Options extends { readonly deadlineMs: number }>(options: Options): Options {
  return { ...options, deadlineMs: Math.min(options.deadlineMs, limits.servedDeadlineMsMax) };
}

type TailFacts = Pick<PayloadNotice, 'tokens' | 'hasDecodedTokens'>;

const noTokens: TailFacts = { tokens: 0, hasDecodedTokens: false };

/** Of a client that does not read shared memory. */
const isSent = (): boolean => false;

/** How a tail may come to its client. */
interface TailWays {
  readonly wire: WireDoor | undefined;
  /** The client need only be told of it: it lies where that finds it. */
  isShown(facts: TailFacts): boolean;
}

/** Ends a load of a tail. Of one that is shown the client finds what is under its key then: of a raw tail the last one. */
async function answerTail(
  run: LoadRun,
  found: PayloadBorrow | undefined,
  { tokens, hasDecodedTokens }: TailFacts,
  ways: TailWays,
): Promise<void> {
  const { call, sink, account, service } = run;
  if (found !== undefined) {
    const unpin = account.pins.add(found.payload.length);
    try {
      call.signal.throwIfAborted();
      const { payload, tier } = found;
      if (ways.isShown({ tokens, hasDecodedTokens })) {
        sink.send('resident-tail', call.id, encodeResidentTail({ tokens, tier }));
      } else {
        const to = { sink, id: call.id };
        const sender = new PayloadSender(to, [payload], ways.wire, service.counters);
        await sender.send({ index: 0, tokens, hasDecodedTokens, tier }, found);
      }
      await sink.flushed();
    } finally {
      unpin();
      found.release();
    }
  }
  const count = found === undefined ? 0 : 1;
  sink.send('loaded', call.id, encodeLoaded({ count, reason: undefined }));
}
