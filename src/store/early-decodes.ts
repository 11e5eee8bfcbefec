import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { Semaphore } from '../base/semaphore.ts';
import { limits } from '../blocks/limits.ts';
import { boundCrc } from '../format/frame.ts';
import type { FrameHeader } from '../format/frame.ts';
import { decodePayloadInto, decodePayloadLater } from '../format/payload-codec.ts';
import type { StoredPayload } from '../format/payload-codec.ts';
import { decodeBySystem, decodeBySystemLater } from '../format/system-decode.ts';
import type { Zstd } from '../format/zstd.ts';

/** Stored bytes of a frame to check, and to decode into `target` unless they are raw. */
export interface DecodeTask {
  readonly header: FrameHeader;
  readonly stored: Uint8Array;
  /** `rawLength` bytes of shared memory. Absent for the raw codec, which is only checked. */
  readonly target: Uint8Array | undefined;
}

/** A task that has something to decode. */
export type EarlyDecode = DecodeTask & { readonly target: Uint8Array };

/** To wake a thread of the system's takes longer than to decompress so little. */
const laterBytesMin = 64 * 1024;

/** Threads of the system's that decompress at a time: of its four one is left for files. */
const threadsMax = 3;

/**
 * Decodes before a worker has started, which takes longer than all that the first prompt needs takes to decode
 * (docs/decisions/0121): threads of the system's decompress, which start at once, and this one does the rest. The zstd of the
 * system needs no start either, and leaves less of a rest (docs/decisions/0124); another one does it where that is missing.
 */
export class EarlyDecodes {
  readonly #threads = new Semaphore(threadsMax);
  /** False when it has turned out that there is none that can be used. */
  #mayHaveSystemZstd = true;

  /** False when there is no zstd at all, and nothing was done. Rejects as `Transcoder.decode`. */
  async decode(task: EarlyDecode, zstd: () => Zstd | undefined): Promise<boolean> {
    const { header, stored, target } = task;
    const isShort = stored.length < laterBytesMin;
    if (!isShort && this.#threads.waiting >= limits.workerTasksMax) {
      const message = `${limits.workerTasksMax} payloads wait to be decoded already`;
      throw new StoreError('BUSY', message);
    }
    checkStored(task);
    const { codec, filter, rawLength } = header;
    const payload = { codec, filter, stored, rawLength };
    const crc = isShort
      ? this.#decodeHere(payload, target, zstd)
      : await this.#threads.run(() => this.#decodeLater(payload, target, zstd));
    if (crc === undefined) return false;
    checkRaw(header, crc);
    return true;
  }

  /** The CRC32C of the payload; undefined when there is no zstd. */
  #decodeHere(
    payload: StoredPayload,
    target: Uint8Array,
    zstd: () => Zstd | undefined,
  ): number | undefined {
    const crc = this.#mayHaveSystemZstd ? decodeBySystem(payload, target) : undefined;
    if (crc !== undefined) return crc;
    const other = this.#other(zstd);
    if (other === undefined) return undefined;
    decodePayloadInto(payload, target, other);
    return crc32c(target);
  }

  /** The same, by a thread of the system's. */
  async #decodeLater(
    payload: StoredPayload,
    target: Uint8Array,
    zstd: () => Zstd | undefined,
  ): Promise<number | undefined> {
    const crc = this.#mayHaveSystemZstd ? await decodeBySystemLater(payload, target) : undefined;
    if (crc !== undefined) return crc;
    const other = this.#other(zstd);
    if (other === undefined) return undefined;
    await decodePayloadLater(payload, target, other);
    return crc32c(target);
  }

  #other(zstd: () => Zstd | undefined): Zstd | undefined {
    this.#mayHaveSystemZstd = false;
    return zstd();
  }
}

/** Decodes here and now; a worker does nothing else. */
export function decodeNow(task: DecodeTask, zstd: () => Zstd): void {
  const { header, stored, target } = task;
  const crcOfStored = checkStored(task);
  if (target === undefined) {
    checkRaw(header, crcOfStored);
    return;
  }
  const { codec, filter, rawLength } = header;
  decodePayloadInto({ codec, filter, stored, rawLength }, target, zstd());
  checkRaw(header, crc32c(target));
}

/** The checksum of what is stored, which is the one that its header binds to its key. */
function checkStored({ header, stored }: DecodeTask): number {
  const crcOfStored = crc32c(stored);
  const { namespaceDigest, key } = header;
  if (boundCrc(namespaceDigest, key, stored.length, crcOfStored) !== header.storedCrc) {
    throw new StoreError('CORRUPT', `frame of ${key}: stored bytes fail their checksum`);
  }
  return crcOfStored;
}

function checkRaw({ key, rawCrc }: FrameHeader, actual: number): void {
  if (actual !== rawCrc) {
    throw new StoreError('CORRUPT', `frame of ${key}: payload fails its checksum`);
  }
}
