import { crc32c } from '../base/crc32c.ts';
import { systemErrorCode } from '../base/errors.ts';
import { bytesFromHex } from '../base/hex.ts';
import { assert } from '../base/assert.ts';
import type { Files, OpenFile } from '../platform/files.ts';
import type { Random } from '../platform/random.ts';
import {
  encodeSegmentHeader,
  judgeHeader,
  saltBytes,
  saltIn,
  segmentHeaderBytes,
} from './segment-header.ts';
import type { SegmentLook } from './segment-header.ts';
import { findSalt } from './segment-rescue.ts';

const namePattern = /^segment-(\d{10})\.log$/;

/** The file name of a segment. */
export function segmentName(number: number): string {
  return `segment-${String(number).padStart(10, '0')}.log`;
}

/** The number of the segment with that file name, or undefined for another file. */
export function segmentNumber(name: string): number | undefined {
  const digits = namePattern.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/**
 * One file of the disk tier's log. Appended to by the one log that made it, read by many. The file
 * stays open until the last reader is done, also when its name is gone.
 */
export class LogSegment {
  readonly number: number;
  readonly path: string;
  readonly salt: Uint8Array;
  /** CRC32C of the salt, which binds records to the segment. */
  readonly seed: number;
  /** End of what is written, in bytes. Only the log changes it. */
  byteLength: number;
  readonly #file: OpenFile;
  #users = 1;

  private constructor(fields: SegmentFields, file: OpenFile) {
    this.number = fields.number;
    this.path = fields.path;
    this.salt = fields.salt;
    this.seed = crc32c(fields.salt);
    this.byteLength = fields.byteLength;
    this.#file = file;
  }

  /** Makes a new, empty segment. `storeDigest` (32 bytes) names the object store it belongs to. */
  static async create(options: SegmentOptions & { readonly random: Random }): Promise<LogSegment> {
    const { files, path, number, storeDigest, random } = options;
    const salt = bytesFromHex(random.hex(saltBytes));
    assert(salt?.length === saltBytes, 'random hex');
    const header = encodeSegmentHeader({ number, salt, storeDigest });
    const file = await files.open(path, 'create-new');
    try {
      await file.write([header], 0);
    } catch (error) {
      await file.close();
      await files.remove(path);
      throw error;
    }
    return new LogSegment({ number, path, salt, byteLength: segmentHeaderBytes }, file);
  }

  /** Opens a segment of an earlier process for reading; undefined when it is not an intact one. */
  static open(options: SegmentOptions): Promise<LogSegment | undefined> {
    return LogSegment.#openWith(options, async (header) =>
      judgeHeader(header, options) === 'own' ? saltIn(header) : undefined,
    );
  }

  /**
   * Opens a segment whose header is damaged, so that its records can be read all the same; undefined
   * when that is not so, or when nothing of it can be told. The directory must be this store's.
   */
  static openDamaged(
    options: SegmentOptions & { readonly indexSalt: Uint8Array | undefined },
  ): Promise<LogSegment | undefined> {
    return LogSegment.#openWith(options, async (header, file) =>
      judgeHeader(header, options) === 'damaged'
        ? findSalt({ ...options, header, file })
        : undefined,
    );
  }

  /** Opens the file when its header, or what stands behind it, tells its salt. */
  static async #openWith(
    { files, path, number }: SegmentOptions,
    saltOf: (header: Uint8Array, file: OpenFile) => Promise<Uint8Array | undefined>,
  ): Promise<LogSegment | undefined> {
    const file = await files.open(path, 'read');
    try {
      const salt = await saltOf(await readHeader(file), file);
      if (salt !== undefined) {
        const byteLength = await file.byteLength();
        return new LogSegment({ number, path, salt, byteLength }, file);
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return undefined;
  }

  /** Reads into all of `into`; resolves to false when the segment ends before. */
  async read(into: Uint8Array, offset: number): Promise<boolean> {
    this.#users += 1;
    try {
      return (await this.#file.read(into, offset)) === into.length;
    } finally {
      await this.close();
    }
  }

  /** Writes at the end of what is written. The log calls it one at a time. */
  async append(buffers: readonly Uint8Array[], byteLength: number): Promise<void> {
    await this.#file.write(buffers, this.byteLength);
    this.byteLength += byteLength;
  }

  /** Makes what was written durable. Whoever calls it need not keep the segment open meanwhile. */
  async sync(): Promise<void> {
    this.#users += 1;
    try {
      await this.#file.sync();
    } finally {
      await this.close();
    }
  }

  /** Cuts off what a failed write left behind the end. */
  cutToEnd(): Promise<void> {
    return this.#file.truncate(this.byteLength);
  }

  /** The log's own use ends; the file is closed after the last reader. */
  async close(): Promise<void> {
    this.#users -= 1;
    assert(this.#users >= 0, `segment ${this.number} closed twice`);
    if (this.#users === 0) await this.#file.close();
  }
}

/** Looks at the header of a segment file. One that was dropped meanwhile is `short`. */
export async function lookAtSegment(options: SegmentOptions): Promise<SegmentLook> {
  try {
    const file = await options.files.open(options.path, 'read');
    try {
      return judgeHeader(await readHeader(file), options);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return 'short';
    throw error;
  }
}

/** The header's bytes, fewer when the file ends before. */
async function readHeader(file: OpenFile): Promise<Uint8Array> {
  const header = new Uint8Array(segmentHeaderBytes);
  return header.subarray(0, await file.read(header, 0));
}

interface SegmentFields {
  readonly number: number;
  readonly path: string;
  readonly salt: Uint8Array;
  readonly byteLength: number;
}

export interface SegmentOptions {
  readonly files: Files;
  readonly path: string;
  readonly number: number;
  readonly storeDigest: Uint8Array;
}
