import { join } from 'node:path';
import { hexFromBytes } from '../base/hex.ts';
import type { Platform } from '../platform/platform.ts';
import { offsetUnitBytes } from '../platform/shared-memory.ts';
import type { PayloadId } from './cache-entry.ts';
import type { StoreIdentity } from './cache-directory.ts';
import { storeDigestOf } from './cache-owner.ts';
import { extentHeaderBytes } from './extent-header.ts';
import type { ExtentHeader } from './extent-header.ts';
import { checksumOf } from './log-audit.ts';
import { memoryNameOf, seedOf } from './memory-link.ts';
import type { MemoryLink } from './memory-link.ts';
import { lookAtLink } from './memory-link-look.ts';
import { scanIndex, UnreadableIndex } from './memory-scan.ts';
import type { HeldPlace } from './memory-scan.ts';
import type { RingBlock, RingSave } from './ring-layout.ts';
import { lentPayload, lookIntoRings } from './ring-takeover.ts';
import { SegmentFiles } from './segment-files.ts';

/** A payload that a store accepted in its memory. Its log may have it as well by now. */
export interface HeldPayload extends PayloadId {
  readonly byteLength: number;
  readonly fingerprint: string | undefined;
  readonly hasDecodedTokens: boolean;
  /** Tells which of two raw tails under a key is the later one; 0 for what was left in a ring. */
  readonly sequence: number;
  /** The object store has not confirmed it. */
  readonly isPending: boolean;
  /** False when its bytes fail their checksum; not looked at unless the look is deep. */
  readonly isIntact: boolean;
}

/**
 * What is wrong with what a store left in memory.
 *
 * - `payload`: its bytes fail their checksum. - `header`: what stands before a payload does not hold.
 * - `keys`: the list of keys that follow a payload is damaged, which costs the payload nothing.
 * - `index`, `ring`: a file cannot be read; what it alone told of is lost.
 * - `link`: the file in the cache directory that leads to the memory is damaged; its other end may serve.
 * - `gone`: the memory was removed since its store died, while the machine ran on.
 */
export interface MemoryDamage {
  readonly kind: 'payload' | 'header' | 'keys' | 'index' | 'ring' | 'link' | 'gone';
  readonly path: string;
  /** First byte in that file; 0 when it is about all of it. */
  readonly offset: number;
  readonly why: string | undefined;
  readonly payload: HeldPayload | undefined;
  /** True when nothing else has what it is about, as far as the memory tells. */
  readonly isLost: boolean;
}

export interface MemoryAudit {
  readonly payloads: readonly HeldPayload[];
  readonly damages: readonly MemoryDamage[];
}

export interface MemoryAuditOptions {
  readonly platform: Platform;
  /** The place in the cache directory. */
  readonly directory: string;
  readonly identity: StoreIdentity;
  /** A process may be using it: what is found damaged only once was on its way. */
  readonly isInUse: boolean;
  /** False: payloads are not read, but those that lie in rings. */
  readonly isDeep: boolean;
  /** Of a deep look: which payloads to read; all when absent. */
  readonly isWanted?: (payload: PayloadId) => boolean;
  /** Told of bytes that were read. */
  readonly onRead?: (byteLength: number) => void;
}

/** Looks in a row in all of which something must be damaged in memory that is in use. */
const looksInUse = 3;

/**
 * Finds what the stores of a place accepted in shared memory and had not written to the log: in the memory of one that
 * died, with what clients had left in its rings, or in that of one that lives, whose rings it takes out within
 * milliseconds. By plain reads of files, which change nothing, pin nothing and take no memory.
 */
export async function auditMemory(options: MemoryAuditOptions): Promise<MemoryAudit> {
  const { platform, directory } = options;
  const audits: MemoryAudit[] = [];
  for (const { name } of await platform.files.list(directory)) {
    if (memoryNameOf(name) !== undefined) audits.push(await auditLinked(options, name));
  }
  return {
    payloads: audits.flatMap(({ payloads }) => payloads),
    damages: audits.flatMap(({ damages }) => damages),
  };
}

async function auditLinked(options: MemoryAuditOptions, linkName: string): Promise<MemoryAudit> {
  const { platform, directory, isInUse } = options;
  let confirmed: ReadonlySet<string> | undefined;
  for (let look = 1; ; look += 1) {
    const { payloads, damages } = await new MemoryLook(options).run(linkName);
    if (damages.length === 0) return { payloads, damages };
    // Whoever takes the memory over removes the link before the memory, and so does a store that closes.
    const isLinked = (await platform.files.status(join(directory, linkName))) !== undefined;
    if (!isLinked) return { payloads: [], damages: [] };
    if (!isInUse) return { payloads, damages };
    const again = damages.filter((damage) => confirmed?.has(nameOf(damage)) ?? true);
    if (again.length === 0) return { payloads: payloads.filter(isIntact), damages: [] };
    if (look === looksInUse) return { payloads: payloads.filter(isIntact), damages: again };
    confirmed = new Set(again.map(nameOf));
  }
}

function nameOf({ kind, path, offset }: MemoryDamage): string {
  return `${kind} ${path} ${offset}`;
}

function isIntact(payload: HeldPayload): boolean {
  return payload.isIntact;
}

/** One look at one memory. */
class MemoryLook {
  readonly #options: MemoryAuditOptions;
  readonly #payloads = new Map<string, HeldPayload>();
  readonly #damages: MemoryDamage[] = [];

  constructor(options: MemoryAuditOptions) {
    this.#options = options;
  }

  async run(linkName: string): Promise<MemoryAudit> {
    const { platform, directory, isInUse } = this.#options;
    const { link, isDamaged } = await lookAtLink(platform, directory, linkName);
    if (isDamaged || link === undefined) {
      const why = link === undefined ? 'where the memory lies is not known' : undefined;
      this.#note('link', join(directory, linkName), { why, isLost: link === undefined });
    }
    if (link !== undefined && this.#isOwn(link)) {
      if ((await platform.files.status(link.directory))?.kind === 'directory')
        await this.#lookInto(link);
      else if (!isInUse) this.#noteGone(link);
    }
    return { payloads: [...this.#payloads.values()], damages: this.#damages };
  }

  /** Memory of another object store is left alone, by who takes over too. */
  #isOwn({ storeDigest }: MemoryLink): boolean {
    return storeDigest === hexFromBytes(storeDigestOf(this.#options.identity));
  }

  /** With the machine goes all memory, and what was accepted there alone, by design. */
  #noteGone({ directory, bootId }: MemoryLink): void {
    if (bootId !== this.#options.platform.host.bootId) return;
    const why = 'it was removed since its store died';
    this.#note('gone', directory, { why, isLost: true });
  }

  async #lookInto(link: MemoryLink): Promise<void> {
    const segments = new SegmentFiles(this.#options.platform, link.directory);
    try {
      await this.#lookAtIndex(link, segments);
      if (!this.#options.isInUse) await this.#lookAtRings(link, segments);
    } finally {
      await segments.close();
    }
  }

  async #lookAtIndex(link: MemoryLink, segments: SegmentFiles): Promise<void> {
    const { directory } = link;
    const newest = new Map<string, LeftPlace>();
    try {
      for await (const place of scanIndex(this.#options.platform.files, directory)) {
        const header = await segments.headerAt(place, seedOf(link));
        if (header === undefined) this.#noteHeader(place, segments);
        else keepNewest(newest, { ...header, place });
      }
    } catch (error) {
      if (!(error instanceof UnreadableIndex)) throw error;
      this.#note('index', join(directory, 'index'), { why: error.message, isLost: true });
    }
    for (const left of newest.values()) await this.#addLeft(left, segments);
  }

  /** An entry that was being written had perhaps not come so far. */
  #noteHeader(
    { segment, offset, isCertain, isConfirmed }: HeldPlace,
    segments: SegmentFiles,
  ): void {
    if (!isCertain) return;
    this.#note('header', segments.path(segment), { offset, isLost: !isConfirmed });
  }

  async #addLeft(left: LeftPlace, segments: SegmentFiles): Promise<void> {
    const { record, following, place } = left;
    const { segment, offset, isCertain, isConfirmed } = place;
    const payload = {
      ...{ kind: record.kind, key: record.key, namespace: record.namespace },
      ...{ fingerprint: record.fingerprint, hasDecodedTokens: record.hasDecodedTokens },
      ...{ byteLength: record.payloadLength, sequence: record.sequence, isPending: !isConfirmed },
      isIntact: await this.#isWhole(record, () =>
        checksumOf(
          { read: (part, position) => segments.read(segment, position, part) },
          offset + extentHeaderBytes,
          record.payloadLength,
        ),
      ),
    };
    if (!payload.isIntact && !isCertain) return;
    this.#payloads.set(idOf(payload), payload);
    const path = segments.path(segment);
    if (following === undefined) this.#note('keys', path, { offset, payload });
    if (!payload.isIntact) this.#note('payload', path, { offset, payload, isLost: !isConfirmed });
  }

  async #lookAtRings(link: MemoryLink, segments: SegmentFiles): Promise<void> {
    const { directory } = link;
    const { files, memory } = this.#options.platform;
    const where = { directory, seed: seedOf(link), memory };
    const rings = lookIntoRings(files, where, ({ path, why }) =>
      this.#note('ring', path, { why, isLost: true }),
    );
    for await (const save of rings) {
      for (const block of save.blocks) await this.#addLeftInRing(save, block, segments);
    }
  }

  async #addLeftInRing(
    { namespace, fingerprint }: RingSave,
    block: RingBlock,
    segments: SegmentFiles,
  ): Promise<void> {
    const id = { kind: 'block', key: block.key, namespace } as const;
    // One that was taken out, and not counted as taken before the store died, is in both.
    if (this.#payloads.get(idOf(id))?.isIntact === true) return;
    const { payload: left, length, crc, hasDecodedTokens } = block;
    const { memory } = this.#options.platform;
    const isWhole =
      left instanceof Uint8Array ||
      (await this.#isWhole({ ...id, payloadLength: length, payloadCrc: crc }, async () =>
        (await lentPayload(left, block, { segments, memory })) === undefined ? undefined : crc,
      ));
    const facts = { ...id, byteLength: length, fingerprint, hasDecodedTokens, sequence: 0 };
    const payload = { ...facts, isPending: true, isIntact: isWhole };
    this.#payloads.set(idOf(id), payload);
    if (isWhole || left instanceof Uint8Array) return;
    const where = { offset: left.offset * offsetUnitBytes, payload, isLost: true };
    this.#note('payload', segments.path(left.segment), where);
  }

  /** True too for what is not to be read. */
  async #isWhole(
    facts: PayloadId & { readonly payloadLength: number; readonly payloadCrc: number },
    read: () => Promise<number | undefined>,
  ): Promise<boolean> {
    const { isDeep, isWanted, onRead } = this.#options;
    if (!isDeep || isWanted?.(facts) === false) return true;
    const isWhole = (await read()) === facts.payloadCrc;
    onRead?.(facts.payloadLength);
    return isWhole;
  }

  #note(
    kind: MemoryDamage['kind'],
    path: string,
    { offset = 0, why, payload, isLost = false }: Partial<MemoryDamage>,
  ): void {
    this.#damages.push({ kind, path, offset, why, payload, isLost });
  }
}

/** A payload that an index shows, and what its header says. */
interface LeftPlace extends ExtentHeader {
  readonly place: HeldPlace;
}

/** Of a raw tail the last one counts; any bytes saved under a block's key are valid. */
function keepNewest(newest: Map<string, LeftPlace>, left: LeftPlace): void {
  const id = idOf(left.record);
  if ((newest.get(id)?.record.sequence ?? -1) < left.record.sequence) newest.set(id, left);
}

/** What tells payloads of a place apart. */
export function idOf({ kind, key, namespace }: PayloadId): string {
  return `${kind} ${key} ${namespace}`;
}
