import { join } from 'node:path';
import { crc32cAppend } from '../base/crc32c.ts';
import { isStoreError, messageOf, systemErrorCode } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import type { Logger } from '../base/logger.ts';
import { parseBlockKey } from '../blocks/block-key.ts';
import type { BlockKey } from '../blocks/block-key.ts';
import { needMemory } from '../platform/payload-memory.ts';
import type { Platform } from '../platform/platform.ts';
import type { DiskTier, TakenIn } from './disk-tier.ts';
import { factsOf } from './entry-records.ts';
import { extentHeaderBytes } from './extent-header.ts';
import type { ExtentHeader } from './extent-header.ts';
import { removeSharedDirectory } from './shared-directories.ts';
import { isLinkTemporary, memoryNameOf, seedOf } from './memory-link.ts';
import type { MemoryLink } from './memory-link.ts';
import { lookAtLink } from './memory-link-look.ts';
import { scanIndex, UnreadableIndex } from './memory-scan.ts';
import type { HeldPlace } from './memory-scan.ts';
import type { RecoveredSave } from './recovered-entries.ts';
import { readLeftRings } from './ring-takeover.ts';
import { SegmentFiles } from './segment-files.ts';

export interface TakeoverParts {
  readonly platform: Platform;
  readonly logger: Logger;
  /** The place in the cache directory, which this process owns: whoever had it before is dead. */
  readonly place: string;
  readonly storeDigest: Uint8Array;
  /** The log of the place. */
  readonly tier: DiskTier;
}

/** A payload that lies in the memory of a dead store, and what its header says. */
interface LeftPayload extends ExtentHeader {
  readonly place: HeldPlace;
}

/** Bytes that are copied at a time. */
const copiedBytesMax = 32 * 1024 * 1024;

/** Stands for a key that is not known: nothing is stored under it, so a list of following keys ends before it. */
const noKey = parseBlockKey('0'.repeat(64));
/** More than any save has: a list of 32 MiB. */
const chainKeysMax = 1 << 20;

const lost = 'memory takeover: a payload that was accepted in memory is damaged and lost';
const dropped = 'memory takeover: a payload that the object store has is damaged here';

/**
 * Takes over what dead stores of the place had accepted in memory and not written to the log yet: copies
 * it there, from where it is served and uploaded like anything that was found in the log, and removes
 * their files. It only reads from these, by plain reads, and works without native code.
 */
export class MemoryTakeover {
  readonly #parts: TakeoverParts;
  /** Payloads and files that were not as they were written. */
  #damaged = 0;
  #taken = 0;
  #takenBytes = 0;

  private constructor(parts: TakeoverParts) {
    this.#parts = parts;
  }

  /** Resolves to how many damaged things there were. What the log does not take waits for the next process. */
  static async run(parts: TakeoverParts): Promise<number> {
    const takeover = new MemoryTakeover(parts);
    const { files } = parts.platform;
    for (const { name } of await files.list(parts.place)) {
      if (isLinkTemporary(name)) await files.remove(join(parts.place, name));
      else if (memoryNameOf(name) !== undefined) await takeover.#takeOrLeave(name);
    }
    return takeover.#damaged;
  }

  async #takeOrLeave(linkName: string): Promise<void> {
    const { logger, place, tier } = this.#parts;
    try {
      await this.#take(linkName);
    } catch (error) {
      if (!isStoreError(error) && systemErrorCode(error) === undefined) throw error;
      tier.recovered.leave();
      logger.error(
        'memory takeover: payloads of a dead store stay in memory for the next process',
        {
          place,
          link: linkName,
          reason: messageOf(error),
        },
      );
    }
  }

  async #take(linkName: string): Promise<void> {
    const { platform, logger, storeDigest } = this.#parts;
    const { files } = platform;
    const link = await this.#linkOf(linkName);
    if (link === undefined) {
      this.#noteDamage('memory takeover: both ends of a link are damaged or gone', { linkName });
      return this.#unlink(linkName);
    }
    const { directory } = link;
    // A place has one object store; a link that says otherwise was put there by somebody.
    if (link.storeDigest !== hexFromBytes(storeDigest)) {
      logger.error('memory takeover: the memory is of another object store; it is left alone', {
        directory,
      });
      return;
    }
    if ((await files.status(directory))?.kind !== 'directory') {
      this.#noteGone(link);
      return this.#unlink(linkName);
    }
    this.#taken = 0;
    this.#takenBytes = 0;
    const segments = new SegmentFiles(platform, directory);
    try {
      await this.#copyAll(link, segments);
      await this.#takeRings(link, segments);
    } finally {
      await segments.close();
    }
    logger.info('memory takeover: took over the memory of a dead store', {
      directory,
      payloads: this.#taken,
      bytes: this.#takenBytes,
    });
    // First the link: a directory that is half removed must not look like one that was damaged.
    await this.#unlink(linkName);
    await removeSharedDirectory(platform, directory);
  }

  async #unlink(linkName: string): Promise<void> {
    const { platform, place } = this.#parts;
    await platform.files.remove(join(place, linkName));
  }

  async #linkOf(linkName: string): Promise<MemoryLink | undefined> {
    const { platform, place } = this.#parts;
    const { link, isDamaged } = await lookAtLink(platform, place, linkName);
    if (isDamaged)
      this.#noteDamage('memory takeover: a link is damaged; its other end served', { linkName });
    return link;
  }

  #noteGone({ directory, bootId }: MemoryLink): void {
    const { logger, platform } = this.#parts;
    const isSameBoot = bootId === platform.host.bootId;
    const event = 'memory takeover: the memory of a dead store is gone with what it alone held';
    if (isSameBoot) logger.error(event, { directory });
    else logger.info(event, { directory, why: 'the machine was started anew' });
  }

  async #copyAll(link: MemoryLink, segments: SegmentFiles): Promise<void> {
    for (const save of savesOf(await this.#leftIn(link, segments)))
      await this.#copySave(save, segments);
  }

  /** What clients had left for the dead store and it had not taken. */
  async #takeRings({ directory, salt }: MemoryLink, segments: SegmentFiles): Promise<void> {
    const { platform, tier } = this.#parts;
    const seed = seedOf({ salt });
    const onDamage = (where: Readonly<Record<string, string>>): void =>
      this.#noteDamage('memory takeover: a ring is damaged; what it alone told of is lost', where);
    for await (const { payloads, chain } of readLeftRings(
      platform.files,
      { directory, seed, segments, memory: platform.memory },
      onDamage,
    )) {
      const fresh = payloads.filter(({ facts }) => tier.find(facts) === undefined);
      if (fresh.length > 0) await tier.takeIn(fresh, tier.recovered.newSave(chain));
      this.#taken += fresh.length;
      for (const { facts } of fresh) this.#takenBytes += facts.length;
    }
  }

  /** What the index says is held and the log has not, the newest of each. */
  async #leftIn(link: MemoryLink, segments: SegmentFiles): Promise<readonly LeftPayload[]> {
    const { files } = this.#parts.platform;
    const seed = seedOf(link);
    const newest = new Map<string, LeftPayload>();
    try {
      for await (const place of scanIndex(files, link.directory)) {
        const left = await this.#headerAt(place, segments, seed);
        if (left === undefined || this.#isInLog(left)) continue;
        const { kind, key, namespace, sequence } = left.record;
        const id = `${kind} ${key} ${namespace}`;
        if ((newest.get(id)?.record.sequence ?? -1) < sequence) newest.set(id, left);
      }
    } catch (error) {
      if (!(error instanceof UnreadableIndex)) throw error;
      const { directory } = link;
      this.#noteDamage('memory takeover: an index is damaged; what it alone told of is lost', {
        directory,
        why: error.message,
      });
    }
    return [...newest.values()];
  }

  async #headerAt(
    place: HeldPlace,
    segments: SegmentFiles,
    seed: number,
  ): Promise<LeftPayload | undefined> {
    const { segment, offset } = place;
    const header = await segments.headerAt(place, seed);
    if (header === undefined) {
      // One that was being written had perhaps not come so far, or was just given up.
      if (place.isCertain)
        this.#noteDamage(place.isConfirmed ? dropped : lost, { segment, offset });
      return undefined;
    }
    if (header.following === undefined) {
      const { key } = header.record;
      this.#noteDamage('memory takeover: the keys that follow a payload are damaged', { key });
    }
    return { ...header, place };
  }

  /** Any bytes saved under a block's key are valid; of a raw tail the last ones are. */
  #isInLog({ record }: LeftPayload): boolean {
    const known = this.#parts.tier.find(record);
    if (known === undefined) return false;
    return record.kind !== 'raw-tail' || known.sequence >= record.sequence;
  }

  /** From the last block to the first, so that a save shows from its head only when it is whole. */
  async #copySave(payloads: readonly LeftPayload[], segments: SegmentFiles): Promise<void> {
    const { tier } = this.#parts;
    const { save, start } = this.#saveOf(payloads);
    let chunk: TakenIn[] = [];
    let bytes = 0;
    for (const left of [...payloads].reverse()) {
      const payload = await this.#payloadOf(left, segments);
      if (payload === undefined) continue;
      const isPending = !left.place.isConfirmed;
      const saveIndex = left.record.saveIndex - start;
      const { sequence } = left.record;
      chunk.unshift({ facts: factsOf(left.record), payload, saveIndex, isPending, sequence });
      bytes += payload.length;
      if (bytes < copiedBytesMax) continue;
      await tier.takeIn(chunk, save);
      chunk = [];
      bytes = 0;
    }
    if (chunk.length > 0) await tier.takeIn(chunk, save);
  }

  /**
   * The save that they are of, and the index in it at which its list of keys starts. What the log has in part
   * goes on being that save: its uploads must not end with one part before the other has begun.
   */
  #saveOf(left: readonly LeftPayload[]): { save: RecoveredSave; start: number } {
    const { recovered } = this.#parts.tier;
    const { saveId } = left[0].record;
    const chain = recovered.chainOf(saveId);
    // Numbers of a store that found its log damaged may be those of others.
    if (chain !== undefined && left.every(({ record }) => chain[record.saveIndex] === record.key)) {
      return { save: { saveId, chain }, start: 0 };
    }
    return { save: recovered.newSave(chainOf(left)), start: left[0].record.saveIndex };
  }

  async #payloadOf(
    { record, place }: LeftPayload,
    segments: SegmentFiles,
  ): Promise<Uint8Array | undefined> {
    const { segment, offset } = place;
    const { payloadLength, payloadCrc, key } = record;
    const start = offset + extentHeaderBytes;
    // The length is looked at before memory is taken for it.
    if (start + payloadLength <= (await segments.byteLength(segment))) {
      const payload = needMemory(this.#parts.platform.memory, payloadLength);
      const isWhole = await segments.read(segment, start, payload);
      if (isWhole && crc32cAppend(0, payload) === payloadCrc) {
        this.#taken += 1;
        this.#takenBytes += payloadLength;
        return payload;
      }
    }
    if (place.isCertain) this.#noteDamage(place.isConfirmed ? dropped : lost, { key });
    return undefined;
  }

  #noteDamage(event: string, where: Readonly<Record<string, string | number>>): void {
    this.#damaged += 1;
    this.#parts.logger.error(event, { place: this.#parts.place, ...where });
  }
}

/** Payloads by their save, each in the order of its keys. */
function savesOf(payloads: readonly LeftPayload[]): readonly (readonly LeftPayload[])[] {
  const saves = new Map<number, LeftPayload[]>();
  for (const left of payloads) {
    const save = saves.get(left.record.saveId);
    if (save === undefined) saves.set(left.record.saveId, [left]);
    else save.push(left);
  }
  return [...saves.values()].map((save) =>
    save.sort((a, b) => a.record.saveIndex - b.record.saveIndex),
  );
}

/**
 * The keys of a save from its first payload on, as far as the headers tell them: each has its own and those
 * behind it. Keys between two that do not reach each other are {@link noKey}.
 */
function chainOf(save: readonly LeftPayload[]): readonly BlockKey[] {
  const chain: BlockKey[] = [];
  const start = save[0].record.saveIndex;
  for (const { record, following } of save) {
    // Only blocks have a chain.
    if (record.kind !== 'block') return [];
    const at = record.saveIndex - start;
    // The length is looked at before memory is taken for it.
    if (at > chainKeysMax) return [];
    while (chain.length < at) chain.push(noKey);
    const known = [record.key, ...(following ?? [])];
    chain.splice(at, known.length, ...known);
  }
  return chain;
}
