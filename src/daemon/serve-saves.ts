import { StoreError } from '../base/errors.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { WantedBlock } from '../blocks/served-store.ts';
import { encodeNumber } from '../protocol/read-messages.ts';
import {
  decodeSaveCall,
  decodeSaveRawTailCall,
  decodeSaveTailCall,
  encodeSaved,
  encodeWanted,
} from '../protocol/write-messages.ts';
import type { SaveCall, SaveHead } from '../protocol/write-messages.ts';
import { Call } from '../store/call.ts';
import type { ClientAccount } from './client-accounts.ts';
import type { DaemonService } from './daemon-service.ts';
import { SaveIntake } from './save-intake.ts';
import type { ExpectedPayload, ReceivedPayload } from './save-intake.ts';
import type { FrameSink, ServedCall } from './served-call.ts';

/** A save as the daemon runs it. */
export interface SaveRun {
  readonly call: ServedCall;
  readonly sink: FrameSink;
  readonly service: DaemonService;
  readonly account: ClientAccount;
}

/** Answers `save`. */
export function serveSave(run: SaveRun, body: Uint8Array): Promise<void> {
  const save = decodeSaveCall(body);
  return withDeadline(run, save, async (call) => {
    const result = await saveBlocks(run, save, call);
    if (result === 'payload-needed') run.sink.send('resend', run.call.id);
    else run.sink.send('saved', run.call.id, encodeSaved(result));
  });
}

/** Answers `save-tail`. Its payload always comes: whether a tail is stored is not asked. */
export function serveSaveTail(run: SaveRun, body: Uint8Array): Promise<void> {
  const save = decodeSaveTailCall(body);
  return withDeadline(run, save, async (call) => {
    const { tip, tokens, position, hasDecodedTokens } = save;
    await saveOne(run, save, call, (payload) =>
      run.service.store.saveTail(
        { tip, tokens, payload, position, hasDecodedTokens },
        saveOptions(save, call),
      ),
    );
  });
}

/** Answers `save-raw-tail`. */
export function serveSaveRawTail(run: SaveRun, body: Uint8Array): Promise<void> {
  const save = decodeSaveRawTailCall(body);
  return withDeadline(run, save, (call) =>
    saveOne(run, save, call, (payload) =>
      run.service.store.saveRawTail(save.tip, payload, saveOptions(save, call)),
    ),
  );
}

/** The whole of a save, waiting for payloads included, ends by its deadline. */
function withDeadline(
  { call: { signal }, service }: SaveRun,
  { deadlineMs }: SaveHead,
  task: (call: Call) => Promise<void>,
): Promise<void> {
  return Call.run(service.clock, { signal }, deadlineMs, task);
}

/** The store's own deadline is never the first to come: the call's is, and says the same. */
function saveOptions(
  { namespace, durable, fingerprint }: SaveHead,
  { signal }: Call,
): { [Name in 'namespace' | 'durable' | 'fingerprint']: SaveHead[Name] } & {
  readonly signal: AbortSignal;
  readonly deadlineMs: number;
} {
  return { namespace, durable, fingerprint, signal, deadlineMs: limits.servedDeadlineMsMax };
}

async function saveBlocks(
  run: SaveRun,
  save: SaveCall,
  call: Call,
): Promise<SaveResult | 'payload-needed'> {
  const { store } = run.service;
  const keys = save.blocks.map(({ key }) => key);
  const isWanted =
    save.isUnasked || save.isWhole
      ? keys.map(() => true)
      : await store.wants(keys, { namespace: save.namespace, signal: call.signal });
  const expected = save.blocks
    .map(({ length }, index) => ({ index, length }))
    .filter(({ index }) => isWanted[index])
    .reverse();
  const payloads = new PayloadStream(run, { save, expected, isWanted, call });
  try {
    return await saveGroups(run, save, payloads, call);
  } finally {
    payloads.close();
  }
}

/** Stores the batch in groups from its last block to its first; most batches are one group. */
async function saveGroups(
  { service }: SaveRun,
  save: SaveCall,
  payloads: PayloadStream,
  call: Call,
): Promise<SaveResult | 'payload-needed'> {
  const { blocks } = save;
  let end = blocks.length;
  let saved = 0;
  let savedBytes = 0;
  do {
    const { received, isLast } = await payloads.nextGroup();
    const start = isLast ? 0 : received[received.length - 1].index;
    const byIndex = new Map(received.map((one) => [one.index, one]));
    const group = blocks.slice(start, end).map((block, at): WantedBlock => {
      const one = byIndex.get(start + at);
      return { ...block, payload: one?.payload, crc: one?.crc };
    });
    const result = await service.store.saveWanted(group, {
      ...saveOptions(save, call),
      parent: start === 0 ? save.parent : blocks[start - 1].key,
      following: blocks.slice(end).map(({ key }) => key),
    });
    if (result === 'payload-needed') return result;
    payloads.stored(received);
    saved += result.saved;
    savedBytes += result.savedBytes;
    end = start;
    if (isLast) break;
  } while (end > 0);
  return { saved, known: blocks.length - saved, savedBytes };
}

async function saveOne(
  run: SaveRun,
  save: SaveHead & { readonly length: number },
  call: Call,
  store: (payload: Uint8Array) => Promise<SaveResult>,
): Promise<void> {
  const expected = [{ index: 0, length: save.length }];
  const payloads = new PayloadStream(run, { save, expected, isWanted: [true], call });
  try {
    const { received } = await payloads.nextGroup();
    const result = await store(received[0].payload);
    payloads.stored(received);
    run.sink.send('saved', run.call.id, encodeSaved(result));
  } finally {
    payloads.close();
  }
}

interface StreamOptions {
  readonly save: SaveHead;
  /** What is to come, in that order. */
  readonly expected: readonly ExpectedPayload[];
  readonly isWanted: readonly boolean[];
  readonly call: Call;
}

/** The payloads of a save in groups that fit the daemon's memory, each granted before it comes. */
class PayloadStream {
  readonly #run: SaveRun;
  readonly #options: StreamOptions;
  readonly #intake: SaveIntake;
  #count = 0;
  /** Bytes taken from the budgets for the group under way. */
  #taken = 0;

  constructor(run: SaveRun, options: StreamOptions) {
    this.#run = run;
    this.#options = options;
    this.#intake = new SaveIntake(options.expected, run.service.accounts.pool);
    const { save, expected } = options;
    if (save.isUnasked) this.#intake.grant(checkEager(expected));
    run.call.intake = this.#intake;
  }

  /** The next payloads, as many as a group holds. */
  async nextGroup(): Promise<{
    readonly received: readonly ReceivedPayload[];
    readonly isLast: boolean;
  }> {
    const { save, expected, isWanted, call } = this.#options;
    let bytes = 0;
    const before = this.#count;
    for (const { length } of expected.slice(before)) {
      if (this.#count > before && bytes + length > limits.saveGroupBytes) break;
      bytes += length;
      this.#count += 1;
    }
    if (!save.isUnasked) {
      const { account, service, sink, call: served } = this.#run;
      await account.takeIntake(bytes, { clock: service.clock, signal: call.signal });
      this.#taken = bytes;
      this.#intake.grant(bytes);
      if (before > 0) sink.send('grant', served.id, encodeNumber(bytes));
      else sink.send('wanted', served.id, encodeWanted({ isWanted, grantBytes: bytes }));
    }
    const received = await this.#intake.receive(this.#count, call.signal);
    return { received, isLast: this.#count === expected.length };
  }

  /** The store has the payloads, or will never want them: their memory is free. */
  stored(received: readonly ReceivedPayload[]): void {
    for (const { payload } of received) this.#run.service.accounts.pool.give(payload);
    this.#giveBack();
  }

  close(): void {
    this.#run.call.intake = undefined;
    this.#intake.discard();
    this.#giveBack();
  }

  #giveBack(): void {
    const bytes = this.#taken;
    this.#taken = 0;
    if (bytes === 0) return;
    this.#run.account.giveIntake(bytes);
  }
}

function checkEager(expected: readonly ExpectedPayload[]): number {
  const bytes = expected.reduce((sum, { length }) => sum + length, 0);
  if (bytes <= limits.eagerBytesMax) return bytes;
  const most = limits.eagerBytesMax;
  throw new StoreError('INVALID', `${bytes} bytes of payloads come unasked; at most ${most} may`);
}
