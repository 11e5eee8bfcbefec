import { StoreError, storeErrorCodes } from '../../../src/base/errors.ts';
import type { BlockKey } from '../../../src/blocks/block-key.ts';
import type {
  BlockToSave,
  Borrow,
  CallOptions,
  DeleteResult,
  KvStore,
  LoadOptions,
  LoadedBlock,
  Lookup,
  MissReason,
  PayloadBorrow,
  SaveOptions,
  SaveResult,
  Selection,
  StoreStats,
  TailBorrow,
  TailQuery,
  TailToSave,
  Tier,
} from '../../../src/blocks/kv-store.ts';
import { missReasons } from '../../../src/protocol/miss-reasons.ts';
import { decodeStatistics } from '../../../src/protocol/statistics.ts';
import type { CArgument, CLibrary, CallName } from './c-library.ts';
import {
  acceptedFlag,
  addressOf,
  bytesAt,
  cCall,
  cHashes,
  cOpen,
  cText,
  decodedFlag,
  durableFlag,
  exactFlag,
  nowhere,
  Outcome,
  payloadsAt,
  Structure,
} from './c-structures.ts';
import type { Address, CPayload, OpenTerms } from './c-structures.ts';

const tiers: readonly Tier[] = ['memory', 'disk', 'object'];
const selections = ['blocks', 'subtree', 'namespace'] as const;
const unknownPosition = 0xffffffff;

/** How a call ended that did not fail. */
interface Ended {
  readonly result: number;
  readonly reason: MissReason | undefined;
}

/**
 * The contract over the functions of ABI 1.1, one of them for each method. Arguments have been checked, as
 * for every client. It adds no behaviour: what the suite asks for is the library's.
 */
export class CStore implements KvStore {
  readonly #library: CLibrary;
  readonly #handle: Address;
  /** Cancels of calls under way, and the calls: the handle is not freed beside one. */
  readonly #running = new Map<Address, Promise<unknown>>();
  #closing: Promise<void> | undefined;

  private constructor(library: CLibrary, handle: Address) {
    this.#library = library;
    this.#handle = handle;
  }

  static async open(library: CLibrary, terms: Omit<OpenTerms, 'outcome'>): Promise<CStore> {
    const outcome = new Outcome();
    const handle = await library.open(cOpen({ ...terms, outcome }));
    if (handle === undefined) throw failureOf(outcome);
    return new CStore(library, handle);
  }

  async lookup(keys: readonly BlockKey[], options?: CallOptions): Promise<Lookup> {
    const matched = new Structure(8);
    const { reason } = await this.#call('lookup', options, (call) => [
      ...keysOf(keys),
      ...[call, matched],
    ]);
    return { matched: Number(matched.readU64(0)), reason };
  }

  async contains(keys: readonly BlockKey[], options?: CallOptions): Promise<readonly boolean[]> {
    const present = new Uint8Array(keys.length + 1);
    await this.#call('contains', options, (call) => [...keysOf(keys), call, present]);
    return keys.map((_, index) => present[index] === 1);
  }

  async load(keys: readonly BlockKey[], options?: LoadOptions): Promise<Borrow> {
    const out = new Structure(24);
    const { reason } = await this.#call('load', options, (call) => [
      ...keysOf(keys),
      ...[call, out.address, out.address + 8n, out.address + 16n],
    ]);
    const found = payloadsAt(out.readU64(0), Number(out.readU64(8)));
    const blocks = found.map((one, index) => blockOf(keys[index], one));
    return { blocks, reason, release: this.#releaseOf(out.readU64(16)) };
  }

  async save(blocks: readonly BlockToSave[], options?: SaveOptions): Promise<SaveResult> {
    const list = new Structure(Math.max(8, blocks.length * 40));
    const hashes = cHashes(blocks.map(({ key }) => key));
    blocks.forEach(({ payload, tokens, position, hasDecodedTokens }, index) => {
      const at = index * 40;
      list.u64(at, hashes.readU64(index * 8)).pointer(at + 8, payload);
      list.u64(at + 16, payload.length).u32(at + 24, tokens ?? 0);
      list.u32(at + 28, position ?? unknownPosition).u32(at + 32, decoded(hasDecodedTokens));
    });
    list.keep(hashes);
    return this.#save('save', options, [list, blocks.length], list);
  }

  async loadTail(query: TailQuery, options?: LoadOptions): Promise<TailBorrow | undefined> {
    const tokens = Int32Array.from(Array.from(query.tokens));
    const values = [cText(query.tip), bytesOf(tokens), tokens.length];
    const found = await this.#loadOne('load_tail', options, values);
    if (found === undefined) return undefined;
    const { tokens: covered, flags } = found.facts;
    return { ...found.borrow, tokens: covered, hasDecodedTokens: (flags & decodedFlag) !== 0 };
  }

  async saveTail(tail: TailToSave, options?: SaveOptions): Promise<SaveResult> {
    const tokens = Int32Array.from(Array.from(tail.tokens));
    const structure = new Structure(48)
      .text(0, tail.tip)
      .pointer(8, bytesOf(tokens))
      .u64(16, tokens.length)
      .pointer(24, tail.payload)
      .u64(32, tail.payload.length)
      .u32(40, tail.position ?? unknownPosition)
      .u32(44, decoded(tail.hasDecodedTokens));
    return this.#save('save_tail', options, [structure], structure);
  }

  async loadRawTail(tip: BlockKey, options?: CallOptions): Promise<PayloadBorrow | undefined> {
    return (await this.#loadOne('load_raw_tail', options, [cText(tip)]))?.borrow;
  }

  async saveRawTail(
    tip: BlockKey,
    payload: Uint8Array,
    options?: SaveOptions,
  ): Promise<SaveResult> {
    const values = [cText(tip), addressOf(payload), payload.length];
    return this.#save('save_raw_tail', options, values, payload);
  }

  async prefetch(keys: readonly BlockKey[], options?: CallOptions): Promise<number> {
    const count = new Structure(8);
    await this.#call('prefetch', options, (call) => [...keysOf(keys), call, count]);
    return Number(count.readU64(0));
  }

  async flush(options?: CallOptions): Promise<void> {
    await this.#call('flush', options, (call) => [call]);
  }

  async delete(selection: Selection, options?: CallOptions): Promise<DeleteResult> {
    const objects = new Structure(8);
    await this.#call('delete', options, (call) => [
      selections.indexOf(selection.kind),
      ...keysOf(selectedKeys(selection)),
      ...[call, objects],
    ]);
    return { objects: Number(objects.readU64(0)) };
  }

  async stats(options?: CallOptions): Promise<StoreStats> {
    const stats = new Structure(48).u64(0, 48);
    const out = new Structure(8);
    await this.#call('stats', options, (call) => [call, stats, out]);
    try {
      const json = bytesAt(stats.readU64(8), Number(stats.readU64(16)));
      const ofStore = decodeStatistics(Uint8Array.from(json));
      const hits = ofStore.memory.hits + Number(stats.readU64(24));
      const hitBytes = ofStore.memory.hitBytes + Number(stats.readU64(32));
      const known = ofStore.known + Number(stats.readU64(40));
      return { ...ofStore, known, memory: { ...ofStore.memory, hits, hitBytes } };
    } finally {
      this.#library.release(out.readU64(0));
    }
  }

  /** Ends the calls under way; the handle is freed when none is left. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const cancel of this.#running.keys()) this.#library.cancel(cancel);
    await Promise.allSettled(this.#running.values());
    await this.#library.free(this.#handle);
  }

  async #save(
    name: CallName,
    options: SaveOptions | undefined,
    values: readonly CArgument[],
    kept: unknown,
  ): Promise<SaveResult> {
    const saved = new Structure(24).keep(kept);
    await this.#call(name, options, (call) => [...values, call, saved]);
    const [count, known, savedBytes] = [0, 8, 16].map((at) => Number(saved.readU64(at)));
    return { saved: count, known, savedBytes };
  }

  async #loadOne(
    name: CallName,
    options: LoadOptions | undefined,
    values: readonly CArgument[],
  ): Promise<{ readonly facts: CPayload; readonly borrow: PayloadBorrow } | undefined> {
    const out = new Structure(16);
    const { result } = await this.#call(name, options, (call) => [
      ...values,
      ...[call, out.address, out.address + 8n],
    ]);
    if (result === 0) return undefined;
    const [facts] = payloadsAt(out.readU64(0), 1);
    const { payload, crc } = facts;
    const release = this.#releaseOf(out.readU64(8));
    return { facts, borrow: { payload, crc, tier: tiers[facts.tier], release } };
  }

  /** Makes a call; `argumentsOf` gives what stands between the namespace and the end. */
  async #call(
    name: CallName,
    options: (LoadOptions & SaveOptions) | undefined,
    argumentsOf: (call: Structure) => readonly CArgument[],
  ): Promise<Ended> {
    if (this.#closing !== undefined) throw new StoreError('CLOSED', 'the store was closed');
    const outcome = new Outcome();
    const cancel = this.#library.newCancel();
    const { signal, deadlineMs, fingerprint, parent } = options ?? {};
    const terms = { deadlineMs, cancel, flags: flagsOf(options), fingerprint, parent, outcome };
    const call = cCall(terms);
    const onAbort = (): void => this.#library.cancel(cancel);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    const values = [this.#handle, cText(options?.namespace ?? ''), ...argumentsOf(call)];
    const running = this.#library.call(name, ...values);
    this.#running.set(cancel, running);
    try {
      const result = await running;
      if (result < 0) throw failureOf(outcome);
      return { result, reason: missReasons[outcome.miss - 1] };
    } finally {
      this.#running.delete(cancel);
      signal?.removeEventListener('abort', onAbort);
      // Whatever C read is still there: it is referred to here.
      void values;
      this.#library.freeCancel(cancel);
    }
  }

  #releaseOf(borrow: Address): () => void {
    let held = borrow;
    return () => {
      this.#library.release(held);
      held = nowhere;
    };
  }
}

function failureOf(outcome: Outcome): StoreError {
  const code = storeErrorCodes.at(outcome.code - 1);
  if (outcome.code === 0 || code === undefined) throw new TypeError(`code ${outcome.code}`);
  return new StoreError(code, outcome.text);
}

/** Hashes and their number. */
function keysOf(keys: readonly BlockKey[]): readonly CArgument[] {
  return [cHashes(keys), keys.length];
}

function selectedKeys(selection: Selection): readonly BlockKey[] {
  switch (selection.kind) {
    case 'blocks':
      return selection.keys;
    case 'subtree':
      return [selection.root];
    case 'namespace':
      return [];
    default:
      return selection satisfies never;
  }
}

function flagsOf(options: (LoadOptions & SaveOptions) | undefined): number {
  const { durable, exact } = options ?? {};
  const ofSave = durable === undefined ? 0 : durable ? durableFlag : acceptedFlag;
  return ofSave | (exact === true ? exactFlag : 0);
}

function decoded(hasDecodedTokens: boolean | undefined): number {
  return hasDecodedTokens === true ? decodedFlag : 0;
}

function bytesOf(tokens: Int32Array): Uint8Array {
  return new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
}

function blockOf(key: BlockKey, { payload, tokens, flags, tier, crc }: CPayload): LoadedBlock {
  const hasDecodedTokens = (flags & decodedFlag) !== 0;
  return { key, payload, tokens, hasDecodedTokens, tier: tiers[tier], crc };
}
