import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { CallOptions } from '../blocks/kv-store.ts';
import type { FrameType } from '../protocol/frame-types.ts';
import {
  decodeDeleteCall,
  decodeHead,
  decodeKeysCall,
  encodeLookedUp,
  encodeNumber,
  encodePresent,
  encodeStatistics,
} from '../protocol/read-messages.ts';
import type { CallHead } from '../protocol/read-messages.ts';
import { serveLoad, serveLoadRawTail, serveLoadTail } from './serve-reads.ts';
import { serveSave, serveSaveRawTail, serveSaveTail } from './serve-saves.ts';
import type { SaveRun } from './serve-saves.ts';
import { encodeRing } from '../protocol/session-messages.ts';
import type { ClientRing } from './client-ring.ts';

/** A call as the daemon runs it. */
export interface ServedRun extends SaveRun {
  /** Undefined for a client that may have none. */
  readonly ring: ClientRing | undefined;
}

/** Runs one call and sends its answer. What it rejects with is the answer otherwise. */
export async function serve(type: FrameType, body: Uint8Array, run: ServedRun): Promise<void> {
  const { call, sink, service, account } = run;
  const { store, clock } = service;
  const turn = { clock, signal: call.signal };
  const optionsOf = ({ namespace, deadlineMs }: CallHead): CallOptions => ({
    namespace,
    deadlineMs: Math.min(deadlineMs, limits.servedDeadlineMsMax),
    signal: call.signal,
  });
  switch (type) {
    case 'lookup': {
      const { keys, ...head } = decodeKeysCall(body);
      sink.send('looked-up', call.id, encodeLookedUp(await store.lookup(keys, optionsOf(head))));
      return;
    }
    case 'contains': {
      const { keys, ...head } = decodeKeysCall(body);
      sink.send('present', call.id, encodePresent(await store.contains(keys, optionsOf(head))));
      return;
    }
    case 'prefetch': {
      const { keys, ...head } = decodeKeysCall(body);
      sink.send('prefetched', call.id, encodeNumber(await store.prefetch(keys, optionsOf(head))));
      return;
    }
    case 'load':
      return account.runLoad(turn, () => serveLoad(run, body));
    case 'load-tail':
      return account.runLoad(turn, () => serveLoadTail(run, body));
    case 'load-raw-tail':
    case 'borrow-raw-tail':
      return account.runLoad(turn, () => serveLoadRawTail(run, body, type === 'borrow-raw-tail'));
    case 'save':
      return serveSave(run, body);
    case 'save-tail':
      return serveSaveTail(run, body);
    case 'save-raw-tail':
      return serveSaveRawTail(run, body);
    case 'open-ring':
      return openRing(run);
    case 'flush':
      await store.flush(optionsOf(decodeHead(body)));
      sink.send('flushed', call.id);
      return;
    case 'delete': {
      const { selection, ...head } = decodeDeleteCall(body);
      const { objects } = await store.delete(selection, optionsOf(head));
      sink.send('deleted', call.id, encodeNumber(objects));
      return;
    }
    case 'stats': {
      const stats = await store.stats(optionsOf(decodeHead(body)));
      sink.send('statistics', call.id, encodeStatistics(stats));
      return;
    }
    default:
      throw new StoreError('INVALID', `a client does not send ${type}`);
  }
}

async function openRing({ ring, sink, call }: ServedRun): Promise<void> {
  if (ring === undefined) throw new StoreError('INVALID', 'this client may have no ring');
  sink.send('ring', call.id, encodeRing(await ring.open()));
}
