import { assert } from '../base/assert.ts';
import { deferred } from '../base/deferred.ts';
import { StoreError } from '../base/errors.ts';
import type { SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { LentPlace, UploadOrder } from '../blocks/served-store.ts';
import { directChecksums } from '../platform/checksums.ts';
import { encodeNumber } from '../protocol/read-messages.ts';
import {
  decodeSaveCall,
  decodeSaveRawTailCall,
  decodeSaveTailCall,
  encodeLent,
  encodeSaved,
  encodeWanted,
} from '../protocol/write-messages.ts';
import type { SaveCall, SaveHead } from '../protocol/write-messages.ts';
import { Call } from '../store/call.ts';
import { InflatedPayloads } from '../wire/inflated-payloads.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { ClientAccount } from './client-accounts.ts';
import type { DaemonService } from './daemon-service.ts';
import { IntakeMemory } from './intake-memory.ts';
import { groupsOf, saveGroups } from './save-groups.ts';
import type { GroupedPayloads, SaveGroup } from './save-groups.ts';
import { SaveIntake } from './save-intake.ts';
import type { ExpectedPayload, ReceivedPayload } from './save-intake.ts';
import type { FrameSink, ServedCall } from './served-call.ts';

/** A save as the daemon runs it. */
export interface SaveRun {
  readonly call: ServedCall;
  readonly sink: FrameSink;
  readonly service: DaemonService;
  readonly account: ClientAccount;
  /** Compression of payloads, where the client knows it. */
  readonly wire: WireDoor | undefined;
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
    await saveOne(run, save, call, ({ payload, crc }) =>
      run.service.store.saveTail(
        { tip, tokens, payload, position, hasDecodedTokens },
        { ...saveOptions(save, call), crc },
      ),
    );
  });
}

/** Answers `save-raw-tail`. */
export function serveSaveRawTail(run: SaveRun, body: Uint8Array): Promise<void> {
  const save = decodeSaveRawTailCall(body);
  return withDeadline(run, save, (call) =>
    saveOne(run, save, call, ({ payload, crc }) =>
      run.service.store.saveRawTail(save.tip, payload, { ...saveOptions(save, call), crc }),
    ),
  );
}

/** The whole of a save, waiting for payloads included, ends by its deadline. */
function withDeadline(
  { call: { signal }, service }: SaveRun,
  { deadlineMs }: SaveHead,
  task: (call: Call) => Promise<void>,
): Promise<void> {
  const most = Math.min(deadlineMs, limits.servedDeadlineMsMax);
  return Call.run(service.clock, { signal }, most, task);
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
  const lengths = save.blocks.map(({ length }) => length);
  const wants = (): Promise<readonly boolean[]> =>
    store.wants(keys, { namespace: save.namespace, signal: call.signal, lengths });
  const isWanted = save.isUnasked || save.isWhole ? keys.map(() => true) : await wants();
  const expected = save.blocks
    .map(({ length }, index) => ({ index, length }))
    .filter(({ index }) => isWanted[index])
    .reverse();
  const payloads = new PayloadStream(run, { save, expected, isWanted, call });
  // Uploads of the first groups would take the time of those that are still to come.
  const ended = deferred<void>();
  try {
    // In several parts: there is room for all of them, or nothing is stored.
    const hasParts = save.isWhole || (save.isUnasked && keys.length > limits.turnKeysMax);
    const isNew = hasParts ? await wants() : isWanted;
    const order: UploadOrder = { after: ended.promise };
    const grouped = { ...save, options: saveOptions(save, call), order, isNew };
    const result = await saveGroups(run.service, grouped, payloads);
    await call.race(Promise.resolve(order.durable));
    return result;
  } finally {
    ended.resolve();
    payloads.close();
  }
}

async function saveOne(
  run: SaveRun,
  save: SaveHead & { readonly length: number },
  call: Call,
  store: (received: ReceivedPayload) => Promise<SaveResult>,
): Promise<void> {
  const expected = [{ index: 0, length: save.length }];
  const payloads = new PayloadStream(run, { save, expected, isWanted: [true], call });
  try {
    const { received } = await payloads.nextGroup();
    const result = await store(received[0]);
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

/**
 * The payloads of a save in groups that fit the daemon's memory, each granted before it comes. While
 * one group is stored the next one comes, so that neither the socket nor the disk waits for the other.
 */
class PayloadStream implements GroupedPayloads {
  readonly #run: SaveRun;
  readonly #options: StreamOptions;
  readonly #memory: IntakeMemory;
  readonly #intake: SaveIntake;
  readonly #groups: readonly SaveGroup[];
  /** One for each group that was asked to be granted, in order. */
  readonly #grants: Promise<void>[] = [];
  /** Groups that were given. */
  #given = 0;
  /** Of the group given last, until the store has them. */
  #unstored: readonly ReceivedPayload[] = [];
  /** Bytes taken from the budgets and not given back. */
  #taken = 0;
  /** What comes compressed is in memory twice for a while. */
  readonly #mayBeCompressed: boolean;
  readonly #ending = new AbortController();

  constructor(run: SaveRun, options: StreamOptions) {
    this.#run = run;
    this.#options = options;
    const { save, expected } = options;
    this.#groups = groupsOf(expected);
    const { checksums = directChecksums, store, accounts, counters } = run.service;
    this.#memory = new IntakeMemory(store, accounts.pool);
    const wire = save.mayCompress ? run.wire : undefined;
    const inflating =
      wire && new InflatedPayloads(wire.codec, accounts.pool, counters.compressed.received);
    this.#mayBeCompressed = inflating !== undefined;
    this.#intake = new SaveIntake(expected, { memory: this.#memory, checksums, inflating });
    // What comes unasked is on its way: there is room for it now, or none.
    if (save.isUnasked) this.#grantNow(checkEager(expected));
    run.call.intake = this.#intake;
  }

  /** The next payloads, as many as a group holds. */
  async nextGroup(): Promise<{
    readonly received: readonly ReceivedPayload[];
    readonly isLast: boolean;
  }> {
    const { call } = this.#options;
    const index = this.#given;
    // A group that is granted comes whatever becomes of the next one, so no save waits for another.
    const granted = this.#grantUpTo(index);
    // Filled by the client while the daemon accepts one; what comes over a socket takes its time here, too.
    const ahead = this.#options.save.mayFill ? 2 : 1;
    void this.#grantUpTo(Math.min(index + ahead, this.#groups.length - 1));
    await call.race(granted);
    const received = await this.#intake.receive(this.#groups[index].end, call.signal);
    this.#given += 1;
    this.#unstored = received;
    return { received, isLast: this.#given === this.#groups.length };
  }

  /** The store has the payloads, or will never want them: their memory is free. */
  stored(received: readonly ReceivedPayload[]): void {
    let bytes = 0;
    for (const { payload, length } of received) {
      this.#memory.give(payload);
      bytes += length;
    }
    this.#unstored = [];
    this.#giveBack(this.#roomFor(bytes));
  }

  /** Once nothing of the save is under way: the store has answered what it was asked to store. */
  close(): void {
    this.#run.call.intake = undefined;
    this.#ending.abort(new StoreError('ABORTED', 'the save has ended'));
    this.#intake.discard();
    // The store refused them. An upload that nobody waits for may still read what came into other memory.
    for (const { payload } of this.#unstored) this.#memory.giveLent(payload);
    this.#giveBack(this.#taken);
  }

  /** Grants the groups up to that one, each behind the one before. */
  #grantUpTo(index: number): Promise<void> {
    while (this.#grants.length <= index) {
      const next = this.#grants.length;
      const before = this.#grants.at(-1) ?? Promise.resolve();
      const granting = before.then(() => this.#grant(next));
      // Whoever waits for the group hears of a failure; nobody may be waiting yet.
      granting.catch(() => undefined);
      this.#grants.push(granting);
    }
    return this.#grants[index];
  }

  async #grant(index: number): Promise<void> {
    const { save, isWanted } = this.#options;
    if (save.isUnasked) return;
    const { bytes } = this.#groups[index];
    await this.#take(this.#roomFor(bytes));
    const lent = save.mayFill ? this.#lend(index) : undefined;
    const grantBytes = lent === undefined ? bytes : 0;
    this.#intake.grant(grantBytes);
    const { sink, call } = this.#run;
    if (index === 0) sink.send('wanted', call.id, encodeWanted({ isWanted, grantBytes }));
    else if (lent === undefined) sink.send('grant', call.id, encodeNumber(bytes));
    if (lent !== undefined) sink.send('lent', call.id, encodeLent(lent));
  }

  /** Memory of the store for all payloads of a group; undefined when it does not lend that much. */
  #lend(index: number): readonly LentPlace[] | undefined {
    const start = index === 0 ? 0 : this.#groups[index - 1].end;
    const due = this.#options.expected.slice(start, this.#groups[index].end);
    const lent = due.length === 0 ? undefined : this.#memory.lend(due.map(({ length }) => length));
    if (lent === undefined) return undefined;
    this.#intake.lend(
      start,
      lent.map(({ payload }) => payload),
    );
    return lent.map(({ place }) => place);
  }

  /** Bytes of memory for a group of payloads. A longer one is a single payload, which is never compressed. */
  #roomFor(bytes: number): number {
    return this.#mayBeCompressed && bytes <= limits.wireCompressBytesMax ? 2 * bytes : bytes;
  }

  #grantNow(bytes: number): void {
    const room = this.#roomFor(bytes);
    this.#run.account.takeIntakeNow(room);
    this.#taken += room;
    this.#intake.grant(bytes);
  }

  async #take(bytes: number): Promise<void> {
    const { account, service } = this.#run;
    const { signal } = this.#ending;
    await account.takeIntake(bytes, { clock: service.clock, signal });
    this.#taken += bytes;
    // It ended while this was on its way here.
    if (signal.aborted) this.#giveBack(bytes);
    signal.throwIfAborted();
  }

  #giveBack(bytes: number): void {
    this.#taken -= bytes;
    assert(this.#taken >= 0, 'what is given back was taken');
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
