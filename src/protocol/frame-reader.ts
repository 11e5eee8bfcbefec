import { assert } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';
import { StoreError } from '../base/errors.ts';
import { decodeFrameHeader, frameHeaderBytes } from './frame.ts';
import type { FrameHeader } from './frame.ts';

/** Who takes the frames of a connection. What it throws ends the connection. */
export interface FrameHandler {
  /** Bytes that a body may have now; longer ones are refused before memory is taken. */
  bodyBytesMax(): number;
  /**
   * Memory for the body of a message that is too long for the reader's own, of exactly its length; undefined to drop the
   * message, of which nothing more is told.
   */
  bodyMemory(header: FrameHeader): Uint8Array | undefined;
  /**
   * A whole message. The body is the handler's for the time of the call only, unless it lies in memory of
   * {@link bodyMemory}.
   */
  onFrame(header: FrameHeader, body: Uint8Array): void;
  /**
   * Memory for the next piece of the payload of call `id`, of exactly `length` bytes; undefined to
   * drop them.
   */
  dataTarget(id: number, length: number): Uint8Array | undefined;
  /** The piece has arrived. `isKept` is false when it was dropped. */
  onData(id: number, length: number, isKept: boolean): void;
}

/** Small frames, and the beginning of large ones, are read into so much; what is dropped, too. */
export const frameScratchBytes = 64 * 1024;
/**
 * Behind a piece so long another one is likely. Its first bytes come with the frames before it and
 * have to be copied, so no more than this is read there: three frames without their payload's bytes.
 * Copies of the first 64 KiB of each piece were 8 to 11 % of what receiving cost (decisions/0057).
 */
const longPieceBytes = 512 * 1024;
const shortReadBytes = 512;

/**
 * Cuts a stream of bytes into frames. It gives the memory into which the stream is to be read, so
 * that payloads land where they belong: of a piece of 1 MiB at most the first 64 KiB are copied.
 */
export class FrameReader {
  readonly #handler: FrameHandler;
  readonly #scratch: Uint8Array;
  /** What is in the scratch and not yet used. */
  #start = 0;
  #end = 0;
  #header: FrameHeader | undefined;
  /** Where the body of `#header` goes when it does not fit or does not belong in the scratch. */
  #target: Uint8Array | undefined;
  #targetFilled = 0;
  /** Bytes of a piece, or of a message, that are still to be dropped. */
  #toDrop = 0;
  /** The last thing that came was a long piece, and nothing of what follows has come. */
  #isBehindLongPiece = false;

  /** `scratch` is memory of {@link frameScratchBytes} that is the reader's alone. */
  constructor(handler: FrameHandler, scratch: Uint8Array = new Uint8Array(frameScratchBytes)) {
    assert(scratch.length === frameScratchBytes, `scratch of ${scratch.length} bytes`);
    this.#handler = handler;
    this.#scratch = scratch;
  }

  /** True between two frames. */
  get isIdle(): boolean {
    return this.#header === undefined && this.#start === this.#end;
  }

  /** Memory for the next bytes of the stream. */
  nextBuffer(): Uint8Array {
    if (this.#target !== undefined) return this.#target.subarray(this.#targetFilled);
    if (this.#toDrop > 0) {
      // All that the scratch held was used or dropped.
      return this.#scratch.subarray(0, Math.min(this.#toDrop, frameScratchBytes));
    }
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    } else if (this.#end > frameScratchBytes / 2 && this.#start > 0) {
      this.#scratch.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    assert(this.#end < frameScratchBytes, 'a frame in the scratch fits it');
    if (this.#isBehindLongPiece)
      return this.#scratch.subarray(this.#end, this.#end + shortReadBytes);
    return this.#scratch.subarray(this.#end);
  }

  /** So many bytes are in the memory that {@link nextBuffer} gave. */
  received(count: number): void {
    if (this.#target !== undefined) {
      this.#targetFilled += count;
      if (this.#targetFilled < this.#target.length) return;
      this.#finishTarget();
    } else if (this.#toDrop > 0) {
      this.#toDrop -= count;
      if (this.#toDrop > 0) return;
      this.#finishDropped();
    } else {
      this.#end += count;
      this.#isBehindLongPiece = false;
    }
    while (this.#step()) continue;
  }

  /** Uses what the scratch holds for one frame or its header; false when that is too little. */
  #step(): boolean {
    if (this.#header === undefined) {
      if (this.#end - this.#start < frameHeaderBytes) return false;
      const bytes = this.#scratch.subarray(this.#start, this.#start + frameHeaderBytes);
      const header = decodeFrameHeader(bytes);
      this.#start += frameHeaderBytes;
      this.#header = header;
      this.#begin(header);
      return this.#target === undefined && this.#toDrop === 0;
    }
    // A message whose body fits the scratch.
    const { length } = this.#header;
    if (this.#end - this.#start < length) return false;
    const body = this.#scratch.subarray(this.#start, this.#start + length);
    this.#start += length;
    this.#finishFrame(body);
    return true;
  }

  #begin(header: FrameHeader): void {
    if (header.type === 'data') {
      this.#beginData(header);
      return;
    }
    const most = this.#handler.bodyBytesMax();
    if (header.length > most) {
      const size = `message ${header.type} has ${header.length} bytes`;
      throw new StoreError('TOO_LARGE', `${size}; at most ${most} are accepted`);
    }
    const fits =
      this.#start + header.length <= frameScratchBytes || header.length <= frameScratchBytes / 2;
    if (fits) this.#makeRoom(header.length);
    else this.#beginBody(header);
  }

  #beginBody(header: FrameHeader): void {
    const memory = this.#handler.bodyMemory(header);
    if (memory === undefined) {
      this.#drop(header.length);
      return;
    }
    assert(memory.length === header.length, 'memory for a message has its length');
    this.#fillTarget(memory);
  }

  /** Moves what is in the scratch so that so many bytes fit behind its start. */
  #makeRoom(length: number): void {
    if (this.#start + length <= frameScratchBytes) return;
    this.#scratch.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }

  #beginData({ id, length }: FrameHeader): void {
    const target = this.#handler.dataTarget(id, length);
    if (target !== undefined) {
      assert(target.length === length, 'memory for a piece has its length');
      this.#fillTarget(target);
      return;
    }
    this.#drop(length);
  }

  #drop(length: number): void {
    const here = Math.min(length, this.#end - this.#start);
    this.#start += here;
    this.#toDrop = length - here;
    if (this.#toDrop === 0) this.#finishDropped();
  }

  #finishDropped(): void {
    if (this.#header?.type === 'data') this.#finishData(false);
    else this.#header = undefined;
  }

  /** The body goes to `target`, beginning with what the scratch holds of it. */
  #fillTarget(target: Uint8Array): void {
    const here = Math.min(target.length, this.#end - this.#start);
    target.set(this.#scratch.subarray(this.#start, this.#start + here));
    this.#start += here;
    this.#target = target;
    this.#targetFilled = here;
    if (here === target.length) this.#finishTarget();
  }

  #finishTarget(): void {
    const target = this.#target;
    assert(target !== undefined, 'a target is full');
    this.#target = undefined;
    if (this.#header?.type === 'data') this.#finishData(true);
    else this.#finishFrame(target);
  }

  #finishData(isKept: boolean): void {
    const header = this.#header;
    assert(header !== undefined, 'data has a header');
    this.#header = undefined;
    this.#isBehindLongPiece = header.length >= longPieceBytes && this.#start === this.#end;
    this.#handler.onData(header.id, header.length, isKept);
  }

  #finishFrame(body: Uint8Array): void {
    const header = this.#header;
    assert(header !== undefined, 'a body has a header');
    this.#header = undefined;
    if (crc32c(body) !== header.crcOfBody) {
      throw new StoreError('CORRUPT', `the checksum of a message ${header.type} does not hold`);
    }
    this.#handler.onFrame(header, body);
  }
}
