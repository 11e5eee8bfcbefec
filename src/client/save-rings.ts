import { isStoreError, systemErrorCode } from '../base/errors.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { checkOptions } from '../blocks/call-arguments.ts';
import type { BlockToSave, SaveOptions, SaveResult } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import { isNamespace } from '../blocks/namespace.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { RingWriter } from '../cache/ring-writer.ts';
import type { FilledPayloads, RingLeaving, SaveToLeave } from '../cache/ring-writer.ts';
import type { SharedReader } from '../cache/shared-reader.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';
import { pinKeysMax } from '../platform/shared-memory.ts';
import type { SharedMemory } from '../platform/shared-memory.ts';
import type { RingOffer } from '../protocol/session-messages.ts';

/** Between two times that the daemon is asked for a ring. */
const askAgainMs = 1000;

/** The daemon, over its socket. */
export interface RingDoor {
  /** Whether it has rings for its clients, as far as is known. */
  readonly mayRing: boolean;
  /** Asks for a ring in place of the one that there was. */
  openRing(): Promise<RingOffer>;
  /** Tells of news in the ring. False when nobody is there to be told. */
  tellRing(): boolean;
}

export interface SaveRingsParts {
  readonly door: RingDoor;
  readonly clock: Clock;
  readonly memory: SharedMemory;
  /** Of most saves. */
  readonly usual: Namespace;
  /** Reads the daemon's memory, as long as that is the daemon's behind the door. */
  readonly current: () => SharedReader | undefined;
}

/** A save that is not to be durable. Its blocks are checked but for the digits of keys that were not found. */
export interface SaveHere {
  readonly reader: SharedReader;
  readonly namespace: Namespace;
  readonly blocks: readonly BlockToSave[];
  /** Theirs. */
  readonly keys: readonly BlockKey[];
  /** So many leading ones lie in the daemon's memory, not all. */
  readonly found: number;
  readonly options: SaveOptions | undefined;
}

/** A save that was accepted without a call. */
export interface LeftSave {
  readonly result: SaveResult;
  /** Leading blocks that were known, of which the daemon is not told. */
  readonly skipped: number;
}

/** What of a save is to be left: the blocks from `first` on, of which so many are new. */
interface News {
  readonly first: number;
  readonly saved: number;
  readonly savedBytes: number;
}

/** So many payloads of one length. */
interface WantedLoans {
  readonly count: number;
  readonly length: number;
}

/**
 * Leaves saves in a ring of the daemon's memory, where they are accepted: small ones with their payloads, longer ones as
 * references to memory that the daemon lends ahead of need, and the client fills (docs/decisions/0111). There is one ring
 * at a time, of the connection that stands, asked for beside the first save that it could have had; while there is none, or no
 * room in it, saves are calls.
 */
export class SaveRings {
  readonly #parts: SaveRingsParts;
  #ring: RingWriter | undefined;
  /** Of the memory that the ring is in. */
  #reader: SharedReader | undefined;
  #askedMs = -Infinity;
  #isAsking = false;
  /** A save fills memory that was lent: the next loans are its. */
  #isFilling = false;
  readonly #marks = new Uint8Array(pinKeysMax);
  /** What was left lately and is to be looked at, the oldest first. */
  readonly #unmet: Pick<SaveHere, 'reader' | 'namespace' | 'keys'>[] = [];
  #timer: ScheduledCall | undefined;
  #isClosed = false;

  constructor(parts: SaveRingsParts) {
    this.#parts = parts;
  }

  /** Before the daemon's memory is looked at for a save: what is taken from the ring behind this is found there. */
  settle(reader: SharedReader): void {
    const ring = this.#ring;
    if (ring !== undefined && this.#reader === reader && !ring.settle()) this.#drop(ring);
  }

  /** Accepts the save where that is possible; undefined: it is to be sent. */
  leave(save: SaveHere): LeftSave | Promise<LeftSave | undefined> | undefined {
    const ring = this.#ringOf(save);
    const news = ring === undefined ? undefined : this.#newsOf(ring, save);
    if (ring === undefined || news === undefined) return undefined;
    checkOptions(save.options);
    if (news.saved === 0) return leftSave(save, news);
    // What nobody checked on the way would spoil the ring.
    if (save.namespace !== this.#parts.usual && !isNamespace(save.namespace)) return undefined;
    const { payload } = save.blocks[news.first];
    if (payload.length > limits.ringPayloadBytesMax) return this.#leaveLent(ring, save, news);
    const leaving = ring.leave(toLeave(save, news));
    if (leaving === 'too long') return this.#leaveLent(ring, save, news);
    return this.#leftAs(leaving, ring, save, news);
  }

  close(): void {
    this.#isClosed = true;
    this.#ring = undefined;
    this.#reader = undefined;
    this.#timer?.cancel();
    this.#unmet.length = 0;
  }

  /** The ring in that memory. Asks for one when there is none, beside the caller. */
  #ringOf({ reader, blocks, found }: SaveHere): RingWriter | undefined {
    if (this.#reader === reader) return this.#ring;
    this.#ring = undefined;
    this.#reader = undefined;
    const { clock, door } = this.#parts;
    if (this.#isAsking || !door.mayRing || clock.nowMs() - this.#askedMs < askAgainMs) {
      return undefined;
    }
    this.#isAsking = true;
    void this.#ask(reader, loansFor(blocks.slice(found).map(({ payload }) => payload)));
    return undefined;
  }

  /** The next save is likely to be as the one beside which the ring is asked for. */
  async #ask(reader: SharedReader, wanted: WantedLoans | undefined): Promise<void> {
    const { clock, door, memory, current } = this.#parts;
    try {
      const offer = await door.openRing();
      if (offer.number === 0 || this.#isClosed || current() !== reader) return;
      const ring = RingWriter.open(memory, reader.directory, offer);
      if (ring === undefined) return;
      this.#ring = ring;
      this.#reader = reader;
      if (wanted === undefined || wanted.length <= limits.ringPayloadBytesMax) return;
      if (ring.want(wanted.count, wanted.length)) this.#tell(ring);
    } catch (error) {
      // Away, busy, or without a descriptor for it: saves are sent, and say what is wrong.
      if (!isStoreError(error) && systemErrorCode(error) === undefined) throw error;
    } finally {
      this.#isAsking = false;
      this.#askedMs = clock.nowMs();
    }
  }

  /** Undefined for keys that are none, and for more than a ring is for. */
  #newsOf(
    ring: RingWriter,
    { reader, namespace, blocks, keys, found }: SaveHere,
  ): News | undefined {
    let first = found;
    while (first < keys.length && ring.has(namespace, keys[first])) first += 1;
    const rest = first === 0 ? keys : keys.slice(first);
    if (rest.length > pinKeysMax) return undefined;
    const marks = this.#marks;
    if (rest.length > 0 && reader.present(namespace, rest, marks) === undefined) return undefined;
    const seen = new Set<BlockKey>();
    let saved = 0;
    let savedBytes = 0;
    for (let i = 0; i < rest.length; i += 1) {
      const isKnown = marks[i] === 1 || seen.has(rest[i]) || ring.has(namespace, rest[i]);
      if (isKnown) continue;
      seen.add(rest[i]);
      saved += 1;
      savedBytes += blocks[first + i].payload.length;
    }
    return { first, saved, savedBytes };
  }

  #leftAs(
    leaving: RingLeaving,
    ring: RingWriter,
    save: SaveHere,
    news: News,
  ): LeftSave | undefined {
    if (leaving === 'closed') this.#drop(ring);
    if (leaving !== 'left' && leaving !== 'left with news') return undefined;
    if (leaving === 'left with news') this.#tell(ring);
    this.#meetLater(save);
    return leftSave(save, news);
  }

  #leaveLent(
    ring: RingWriter,
    save: SaveHere,
    news: News,
  ): LeftSave | Promise<LeftSave | undefined> | undefined {
    const payloads = save.blocks.slice(news.first).map(({ payload }) => payload);
    const wanted = loansFor(payloads);
    if (wanted === undefined || this.#isFilling) return undefined;
    const { count, length } = wanted;
    const places = ring.loans(count, length);
    if (places !== undefined) return this.#fillAndLeave(ring, save, news, { places, payloads });
    if (ring.want(count, length)) this.#tell(ring);
    return undefined;
  }

  async #fillAndLeave(
    ring: RingWriter,
    save: SaveHere,
    news: News,
    { places, payloads }: { places: FilledPayloads['places']; payloads: readonly Uint8Array[] },
  ): Promise<LeftSave | undefined> {
    const filler = save.reader.filler();
    if (filler === undefined) return undefined;
    this.#isFilling = true;
    const crcs: number[] = [];
    let turnBytes = 0;
    try {
      for (const [index, payload] of payloads.entries()) {
        turnBytes += payload.length;
        if (turnBytes > limits.turnBytesMax) {
          await this.#parts.clock.yield();
          turnBytes = payload.length;
        }
        if (save.options?.signal?.aborted === true) return undefined;
        const crc = filler.fill(places[index], payload);
        if (crc === undefined) return undefined;
        crcs.push(crc);
      }
    } catch (error) {
      // The memory cannot be mapped: the reader has closed itself, and the save is sent.
      if (systemErrorCode(error) === undefined) throw error;
      return undefined;
    } finally {
      this.#isFilling = false;
      filler.end();
    }
    // Loans of another ring are not these.
    if (this.#ring !== ring) return undefined;
    return this.#leftAs(ring.leave(toLeave(save, news), { places, crcs }), ring, save, news);
  }

  #drop(ring: RingWriter): void {
    if (this.#ring !== ring) return;
    this.#ring = undefined;
    this.#reader = undefined;
  }

  #tell(ring: RingWriter): void {
    if (!this.#parts.door.tellRing()) ring.untold();
  }

  /** The entries are shown when the daemon has taken them: this process has no pages yet of where they lie. */
  #meetLater({ reader, namespace, keys }: SaveHere): void {
    this.#unmet.push({ reader, namespace, keys });
    if (this.#unmet.length > limits.metSavesMax) this.#unmet.shift();
    this.#timer ??= this.#parts.clock.schedule(limits.metMs, () => {
      this.#timer = undefined;
      for (const one of this.#unmet.splice(0)) one.reader.find(one.namespace, one.keys);
    });
  }
}

/** What is to be lent for payloads that no entry holds; undefined when they are not of a kind, or too many. */
function loansFor(payloads: readonly Uint8Array[]): WantedLoans | undefined {
  const count = payloads.length;
  if (count === 0 || count > limits.ringLoansMax) return undefined;
  const [{ length }] = payloads;
  return payloads.every((one) => one.length === length) ? { count, length } : undefined;
}

function toLeave({ namespace, blocks, keys, options }: SaveHere, { first }: News): SaveToLeave {
  const { parent, fingerprint } = options ?? {};
  if (first === 0) return { namespace, parent, fingerprint, blocks, keys };
  return {
    ...{ namespace, parent: keys[first - 1], fingerprint },
    ...{ blocks: blocks.slice(first), keys: keys.slice(first) },
  };
}

function leftSave({ keys }: SaveHere, { first, saved, savedBytes }: News): LeftSave {
  const skipped = saved === 0 ? keys.length : first;
  return { result: { saved, known: keys.length - saved, savedBytes }, skipped };
}
