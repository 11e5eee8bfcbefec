import { StoreError } from '../../base/errors.ts';
import { viewOf } from '../../base/bytes.ts';
import type { OpenFile } from '../../platform/files.ts';
import {
  cellBytes,
  elementBytesMax,
  layersMax,
  regionHeadBytes,
  rowBytesMax,
  stateHeadBytes,
  stateMagic,
  stateVersion,
  streamsMax,
} from './state-layout.ts';
import type { CellRegion, RowGeometry, StateGeometry, StateLayout } from './state-layout.ts';

/** A state file that is understood in full: every byte of it is accounted for. */
export interface LlamaState extends StateLayout {
  /** The tokens of the sequence, one for each cell. */
  readonly tokens: Int32Array;
  readonly geometry: StateGeometry;
  /** Streams of the context that wrote it, the one that holds the cells, and the sequence's id. */
  readonly streams: number;
  readonly stream: number;
  readonly sequenceId: number;
  readonly byteLength: number;
}

/**
 * The state in the bytes of a file.
 *
 * @throws StoreError `INCOMPATIBLE` with the reason when it is anything that cannot be cut into
 * blocks and put together again: another version, a shifted context, a model with sliding windows,
 * recurrent layers or several modes, a file of llama-server, a damaged file.
 *
 * Two things do not show in a file and are the caller's to know. Right after tokens were erased
 * from the middle of a context the rest is in order again, but its keys and values still come from
 * the erased tokens. And a file carries no checksum: damaged keys and values look like any other.
 */
export function parseState(bytes: Uint8Array): LlamaState {
  const view = viewOf(bytes);
  const steps = parseSteps(bytes.length);
  let step = steps.next();
  while (step.done !== true) {
    const { offset, length } = step.value;
    step = steps.next(new DataView(view.buffer, view.byteOffset + offset, length));
  }
  return step.value;
}

/**
 * The state in an open file, which is read only where headers, tokens and cells lie.
 *
 * @throws StoreError as {@link parseState} does; errors of the file pass through.
 */
export async function readState(file: Pick<OpenFile, 'read' | 'byteLength'>): Promise<LlamaState> {
  const steps = parseSteps(await file.byteLength());
  let step = steps.next();
  while (step.done !== true) {
    const { offset, length } = step.value;
    const bytes = new Uint8Array(length);
    const read = await file.read(bytes, offset);
    if (read < length) refuse(`it ends at byte ${offset + read} while it is read`);
    step = steps.next(viewOf(bytes));
  }
  return step.value;
}

/** Bytes that the parser wants to see; always within the file. */
interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** A parser asks for bytes and is resumed with a view of exactly those. */
type Parser<T> = Generator<ByteRange, T, DataView>;

/** Where the next byte lies, and where the file ends. */
interface Cursor {
  at: number;
  readonly end: number;
}

function* parseSteps(byteLength: number): Parser<LlamaState> {
  const cursor: Cursor = { at: 0, end: byteLength };
  const tokens = yield* parseTokens(cursor);
  const streams = (yield* take(cursor, 4)).getUint32(0, true);
  if (streams < 1 || streams > streamsMax) refuse(`it has ${streams} streams`);
  let found: StreamContent | undefined;
  for (let stream = 0; stream < streams; stream += 1) {
    const cells = (yield* take(cursor, 4)).getUint32(0, true);
    if (cells === 0) continue;
    if (found !== undefined) refuse(`streams ${found.stream} and ${stream} both hold cells`);
    if (cells !== tokens.length) refuse(`it has ${cells} cells for ${tokens.length} tokens`);
    found = { stream, ...(yield* parseStream(cursor, cells)) };
  }
  if (found === undefined) refuse('no stream holds cells');
  if (cursor.at !== cursor.end) {
    refuse(
      `${cursor.end - cursor.at} bytes follow the keys and values: ` +
        'the model has sliding-window or recurrent layers, or the file is damaged',
    );
  }
  return { tokens, cells: tokens.length, streams, byteLength, ...found };
}

function* parseTokens(cursor: Cursor): Parser<Int32Array> {
  const head = yield* take(cursor, stateHeadBytes);
  const magic = head.getUint32(0, true);
  const version = head.getUint32(4, true);
  if (magic !== stateMagic) refuse(`it begins with 0x${magic.toString(16)}, not with the magic`);
  if (version !== stateVersion) refuse(`its version is ${version}, not ${stateVersion}`);
  const count = head.getUint32(8, true);
  const list = yield* take(cursor, 4 * count);
  const tokens = new Int32Array(count);
  for (let i = 0; i < count; i += 1) tokens[i] = list.getInt32(4 * i, true);
  if (tokens[0] === -1) refuse('its tokens are a record of llama-server');
  const negative = tokens.findIndex((token) => token < 0);
  if (negative >= 0) refuse(`token ${negative} is ${tokens[negative]}`);
  return tokens;
}

interface StreamContent {
  readonly stream: number;
  readonly sequenceId: number;
  readonly geometry: StateGeometry;
  readonly regions: readonly CellRegion[];
}

function* parseStream(cursor: Cursor, cells: number): Parser<Omit<StreamContent, 'stream'>> {
  const sequenceId = yield* parseCells(cursor, cells);
  const head = yield* take(cursor, 8);
  const transposed = head.getUint32(0, true);
  const layers = head.getUint32(4, true);
  if (transposed > 1) refuse(`its layout of values is ${transposed}`);
  if (layers < 1 || layers > layersMax) refuse(`it has ${layers} layers`);
  const isTransposed = transposed === 1;
  const regions: CellRegion[] = [];
  const keys: RowGeometry[] = [];
  const values: RowGeometry[] = [];
  for (let i = 0; i < 2 * layers; i += 1) {
    const isValue = i >= layers;
    if (i === layers && cursor.at === cursor.end)
      refuse('it ends after the keys: it has no values');
    const row = parseRow(yield* take(cursor, regionHeadBytes), isValue && isTransposed);
    (isValue ? values : keys).push(row);
    regions.push({
      fileOffset: cursor.at,
      rowBytes: row.rowBytes,
      elementBytes: row.elementBytes,
    });
    skip(cursor, cells * row.rowBytes);
  }
  return { sequenceId, geometry: { isTransposed, keys, values }, regions };
}

/** Checks that cell i is token i of one sequence; returns the id of that sequence. */
function* parseCells(cursor: Cursor, cells: number): Parser<number> {
  const list = yield* take(cursor, cells * cellBytes);
  const sequenceId = list.getInt32(8, true);
  for (let i = 0; i < cells; i += 1) {
    const position = list.getInt32(i * cellBytes, true);
    const sequences = list.getUint32(i * cellBytes + 4, true);
    if (sequences !== 1) refuse(`cell ${i} belongs to ${sequences} sequences`);
    if (position !== i) {
      refuse(`cell ${i} has position ${position}: the context was shifted or is multimodal`);
    }
    if (list.getInt32(i * cellBytes + 8, true) !== sequenceId) {
      refuse(`cell ${i} belongs to another sequence than cell 0`);
    }
  }
  return sequenceId;
}

function parseRow(head: DataView, isTransposed: boolean): RowGeometry {
  const type = head.getInt32(0, true);
  const low = head.getUint32(4, true);
  const high = head.getUint32(8, true);
  const elementBytes = isTransposed ? low : 0;
  const rowBytes = isTransposed ? low * high : high * 2 ** 32 + low;
  if (elementBytes > elementBytesMax) refuse(`a number of type ${type} has ${elementBytes} bytes`);
  if (rowBytes < 1 || rowBytes > rowBytesMax) refuse(`a row of type ${type} has ${rowBytes} bytes`);
  return { type, rowBytes, elementBytes };
}

/** The next bytes. */
function* take(cursor: Cursor, length: number): Parser<DataView> {
  const offset = cursor.at;
  skip(cursor, length);
  return yield { offset, length };
}

function skip(cursor: Cursor, length: number): void {
  if (length > cursor.end - cursor.at) {
    refuse(`it is cut off: ${length} bytes at ${cursor.at} go beyond its ${cursor.end}`);
  }
  cursor.at += length;
}

function refuse(reason: string): never {
  throw new StoreError('INCOMPATIBLE', `state file cannot be used: ${reason}`);
}
