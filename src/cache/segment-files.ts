import { systemErrorCode } from '../base/errors.ts';
import type { OpenFile } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';
import { extentHeaderBytes, readExtentHeader } from './extent-header.ts';
import type { ExtentHeader } from './extent-header.ts';
import type { HeldPlace } from './memory-scan.ts';
import type { SegmentReader } from './ring-takeover.ts';
import { sharedPaths } from './shared-layout.ts';

/**
 * The segments of a store's shared memory, read as files: nothing is mapped, so whatever becomes of them meanwhile a read
 * is short or an error, and reading takes no memory of theirs.
 */
export class SegmentFiles implements SegmentReader {
  readonly #platform: Platform;
  readonly #directory: string;
  readonly #open = new Map<number, { readonly file: OpenFile; readonly byteLength: number }>();

  constructor(platform: Platform, directory: string) {
    this.#platform = platform;
    this.#directory = directory;
  }

  /** False when the segment ends before, or is not there. */
  async read(number: number, position: number, into: Uint8Array): Promise<boolean> {
    const segment = await this.#segment(number);
    if (segment === undefined || position + into.length > segment.byteLength) return false;
    return (await segment.file.read(into, position)) === into.length;
  }

  path(number: number): string {
    return sharedPaths.segment(this.#directory, number);
  }

  async byteLength(number: number): Promise<number> {
    return (await this.#segment(number))?.byteLength ?? 0;
  }

  /** What stands before a payload that was accepted in memory; undefined when it is not as it was written. */
  async headerAt(
    { segment, offset, hasHeader }: HeldPlace,
    seed: number,
  ): Promise<ExtentHeader | undefined> {
    const bytes = new Uint8Array(extentHeaderBytes);
    const isWhole = hasHeader && (await this.read(segment, offset, bytes));
    return isWhole ? readExtentHeader(bytes, { segment, offset, seed }) : undefined;
  }

  async close(): Promise<void> {
    for (const { file } of this.#open.values()) await file.close();
    this.#open.clear();
  }

  async #segment(
    number: number,
  ): Promise<{ readonly file: OpenFile; readonly byteLength: number } | undefined> {
    const known = this.#open.get(number);
    if (known !== undefined) return known;
    try {
      const file = await this.#platform.files.open(this.path(number), 'read');
      const segment = { file, byteLength: await file.byteLength() };
      this.#open.set(number, segment);
      return segment;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}
