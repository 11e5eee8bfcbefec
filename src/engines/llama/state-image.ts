import { assert } from '../../base/assert.ts';
import {
  cellBytes,
  regionHeadBytes,
  stateHeadBytes,
  stateMagic,
  stateVersion,
  streamsMax,
  tokenByteLength,
} from './state-layout.ts';
import type { CellRegion, RowGeometry, StateGeometry, StateLayout } from './state-layout.ts';

/** Where in the context the state will be loaded. */
export interface ImageTarget {
  /** Streams of the context, which is its number of sequences. */
  readonly streams: number;
  /** The stream that holds the cells. llama.cpp loads any into any sequence. */
  readonly stream: number;
  /** Written into the cells; llama.cpp ignores it when it loads. */
  readonly sequenceId: number;
}

/** A state file to be: all its headers, and where the payloads go. */
export interface ImagePlan extends StateLayout {
  readonly byteLength: number;
  /**
   * All bytes that belong to no region: `heads[i]` stands right before region i, and the last one
   * (which may be empty) ends the file.
   */
  readonly heads: readonly Uint8Array[];
  /** Bytes of scratch that {@link imageBuffers} needs; 0 unless values are transposed. */
  readonly scratchByteLength: number;
}

/**
 * The plan of a state file for these tokens, at positions 0 to n-1. Its bytes are those that
 * llama.cpp would write for the same content.
 */
export function planImage(
  geometry: StateGeometry,
  tokens: Int32Array,
  target: ImageTarget = { streams: 1, stream: 0, sequenceId: 0 },
): ImagePlan {
  checkTarget(target);
  assert(tokens.length > 0, 'a state has at least one token');
  assert(geometry.keys.length === geometry.values.length, 'each layer has keys and values');
  const cells = tokens.length;
  const rows = [...geometry.keys, ...geometry.values];
  const firstHead = encodeHead(geometry, tokens, target);
  const heads = [firstHead];
  const regions: CellRegion[] = [];
  let at = firstHead.length;
  let scratchByteLength = 0;
  for (const [i, row] of rows.entries()) {
    const { rowBytes, elementBytes } = row;
    regions.push({ fileOffset: at, rowBytes, elementBytes });
    if (elementBytes !== 0) scratchByteLength += cells * rowBytes;
    // What comes after this region: the head of the next, or the empty streams that follow ours.
    const isLast = i === rows.length - 1;
    const emptyStreams = target.streams - 1 - target.stream;
    const head = isLast ? new Uint8Array(4 * emptyStreams) : encodeRegionHead(rows[i + 1]);
    heads.push(head);
    at += cells * rowBytes + head.length;
  }
  return { byteLength: at, cells, regions, heads, scratchByteLength };
}

/**
 * The whole state file as buffers in file order, for one vectored write. Payloads are those of
 * consecutive runs of tokens from the first token on (blocks, then a tail); how many tokens each
 * has is seen from its length. Rows are parts of the payloads themselves: nothing is copied, so
 * payloads must not change until the file is written. Transposed values are put together in
 * `scratch`, by the same rule.
 */
export function imageBuffers(
  plan: ImagePlan,
  payloads: readonly Uint8Array[],
  scratch: Uint8Array = new Uint8Array(plan.scratchByteLength),
): Uint8Array[] {
  const counts = tokenCounts(plan, payloads);
  assert(scratch.length >= plan.scratchByteLength, `scratch has only ${scratch.length} bytes`);
  const buffers: Uint8Array[] = [];
  let rowBytesBefore = 0;
  let scratchAt = 0;
  for (const [i, region] of plan.regions.entries()) {
    const { rowBytes, elementBytes } = region;
    const parts = payloads.map((payload, j) =>
      payload.subarray(counts[j] * rowBytesBefore, counts[j] * (rowBytesBefore + rowBytes)),
    );
    buffers.push(plan.heads[i]);
    if (elementBytes === 0) buffers.push(...parts);
    else {
      const strip = scratch.subarray(scratchAt, scratchAt + plan.cells * rowBytes);
      scatterTokens(parts, region, strip);
      buffers.push(strip);
      scratchAt += strip.length;
    }
    rowBytesBefore += rowBytes;
  }
  const lastHead = plan.heads[plan.regions.length];
  if (lastHead.length > 0) buffers.push(lastHead);
  return buffers;
}

function checkTarget({ streams, stream, sequenceId }: ImageTarget): void {
  const isCountable = Number.isInteger(streams) && streams >= 1 && streams <= streamsMax;
  if (!isCountable) throw new RangeError(`streams must be 1 to ${streamsMax}; got ${streams}`);
  if (!Number.isInteger(stream) || stream < 0 || stream >= streams) {
    throw new RangeError(`stream must be 0 to ${streams - 1}; got ${stream}`);
  }
  assert(sequenceId === (sequenceId | 0), `sequence id ${sequenceId}`);
}

/** Everything before the first region, its own head included. */
function encodeHead(
  geometry: StateGeometry,
  tokens: Int32Array,
  { streams, stream, sequenceId }: ImageTarget,
): Uint8Array {
  const cells = tokens.length;
  const streamsAt = stateHeadBytes + 4 * cells;
  const cellsAt = streamsAt + 4 + 4 * stream + 4;
  const layersAt = cellsAt + cells * cellBytes;
  const head = new Uint8Array(layersAt + 8 + regionHeadBytes);
  const view = new DataView(head.buffer);
  view.setUint32(0, stateMagic, true);
  view.setUint32(4, stateVersion, true);
  view.setUint32(8, cells, true);
  for (let i = 0; i < cells; i += 1) view.setInt32(stateHeadBytes + 4 * i, tokens[i], true);
  view.setUint32(streamsAt, streams, true);
  view.setUint32(cellsAt - 4, cells, true);
  for (let i = 0; i < cells; i += 1) {
    view.setInt32(cellsAt + i * cellBytes, i, true);
    view.setUint32(cellsAt + i * cellBytes + 4, 1, true);
    view.setInt32(cellsAt + i * cellBytes + 8, sequenceId, true);
  }
  view.setUint32(layersAt, geometry.isTransposed ? 1 : 0, true);
  view.setUint32(layersAt + 4, geometry.keys.length, true);
  head.set(encodeRegionHead(geometry.keys[0]), layersAt + 8);
  return head;
}

/** The three words before a region: type, and the size of a row in the way of its layout. */
function encodeRegionHead({ type, rowBytes, elementBytes }: RowGeometry): Uint8Array {
  const head = new Uint8Array(regionHeadBytes);
  const view = new DataView(head.buffer);
  view.setInt32(0, type, true);
  view.setUint32(4, elementBytes === 0 ? rowBytes : elementBytes, true);
  view.setUint32(8, elementBytes === 0 ? 0 : rowBytes / elementBytes, true);
  return head;
}

/** Tokens of each payload, which together are all of the plan's. */
function tokenCounts(plan: ImagePlan, payloads: readonly Uint8Array[]): number[] {
  const tokenBytes = tokenByteLength(plan);
  const counts = payloads.map((payload) => payload.length / tokenBytes);
  let sum = 0;
  for (const count of counts) sum += count;
  const isWhole = counts.every((count) => Number.isInteger(count));
  assert(isWhole && sum === plan.cells, `payloads of ${sum} tokens for ${plan.cells} cells`);
  return counts;
}

/** Joins transposed parts, each `rows` runs of its own tokens, to `rows` runs of all tokens. */
function scatterTokens(
  parts: readonly Uint8Array[],
  { rowBytes, elementBytes }: CellRegion,
  strip: Uint8Array,
): void {
  const rows = rowBytes / elementBytes;
  const stripRun = strip.length / rows;
  let start = 0;
  for (const part of parts) {
    const partRun = part.length / rows;
    for (let row = 0; row < rows; row += 1) {
      strip.set(part.subarray(row * partRun, (row + 1) * partRun), start + row * stripRun);
    }
    start += partRun;
  }
}
