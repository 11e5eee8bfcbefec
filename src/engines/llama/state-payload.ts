import { assert } from '../../base/assert.ts';
import type { OpenFile } from '../../platform/files.ts';
import { parseState } from './state-parse.ts';
import type { LlamaState } from './state-parse.ts';
import { assertRange, payloadByteLength, tokenByteLength } from './state-layout.ts';
import type { CellRegion, StateLayout, TokenRange } from './state-layout.ts';

/** A run of tokens, and the array that receives their payload, of exactly its length. */
export interface Cut {
  readonly range: TokenRange;
  readonly target: Uint8Array;
}

/** Copies the payload of some tokens out of the bytes of a state file. */
export function extractCells(bytes: Uint8Array, state: StateLayout, { range, target }: Cut): void {
  assertCut(state, range, target);
  let at = 0;
  for (const region of state.regions) {
    const length = (range.end - range.start) * region.rowBytes;
    const part = target.subarray(at, at + length);
    if (region.elementBytes === 0) {
      const from = region.fileOffset + range.start * region.rowBytes;
      part.set(bytes.subarray(from, from + length));
    } else {
      const { fileOffset, rowBytes } = region;
      const strip = bytes.subarray(fileOffset, fileOffset + state.cells * rowBytes);
      gatherTokens(strip, region, { range, part, cells: state.cells });
    }
    at += length;
  }
}

/**
 * Reads payloads out of an open state file, straight into their arrays and no other part of it.
 * Transposed values go through one array of a layer's values, read once for all cuts.
 */
export async function readCells(
  file: Pick<OpenFile, 'read'>,
  state: StateLayout,
  cuts: readonly Cut[],
): Promise<void> {
  for (const { range, target } of cuts) assertCut(state, range, target);
  let rowBytesBefore = 0;
  let strip = new Uint8Array(0);
  for (const region of state.regions) {
    if (region.elementBytes !== 0) {
      const stripBytes = state.cells * region.rowBytes;
      if (strip.length !== stripBytes) strip = new Uint8Array(stripBytes);
      await readAll(file, strip, region.fileOffset);
    }
    for (const { range, target } of cuts) {
      const count = range.end - range.start;
      const at = count * rowBytesBefore;
      const part = target.subarray(at, at + count * region.rowBytes);
      if (region.elementBytes === 0) {
        await readAll(file, part, region.fileOffset + range.start * region.rowBytes);
      } else gatherTokens(strip, region, { range, part, cells: state.cells });
    }
    rowBytesBefore += region.rowBytes;
  }
}

/** A state file cut into full blocks and what is left. */
export interface SlicedState {
  readonly state: LlamaState;
  /** Payloads of the full blocks from the first wanted one on. */
  readonly blocks: readonly Uint8Array[];
  /** Payload of the tokens after the last full block; undefined when there are none. */
  readonly tail: Uint8Array | undefined;
}

/**
 * Cuts the bytes of a state file into payloads, leaving out the first blocks. Pure: it may run in a
 * worker thread. `allocate` gives the array for each payload.
 *
 * @throws StoreError `INCOMPATIBLE` when the file cannot be used.
 */
export function sliceState(
  bytes: Uint8Array,
  { blockTokens, firstBlock }: { readonly blockTokens: number; readonly firstBlock: number },
  allocate: (byteLength: number) => Uint8Array = (byteLength) => new Uint8Array(byteLength),
): SlicedState {
  const state = parseState(bytes);
  const cut = (start: number, end: number): Uint8Array => {
    const target = allocate(payloadByteLength(state.geometry, end - start));
    extractCells(bytes, state, { range: { start, end }, target });
    return target;
  };
  const fullBlocks = Math.floor(state.cells / blockTokens);
  const blocks: Uint8Array[] = [];
  for (let block = firstBlock; block < fullBlocks; block += 1) {
    blocks.push(cut(block * blockTokens, (block + 1) * blockTokens));
  }
  const tailStart = fullBlocks * blockTokens;
  return { state, blocks, tail: tailStart < state.cells ? cut(tailStart, state.cells) : undefined };
}

/**
 * Copies the numbers of some tokens out of a transposed region: `rows` runs of `cells` numbers
 * become `rows` runs of as many numbers as the range has tokens.
 */
function gatherTokens(
  strip: Uint8Array,
  { rowBytes, elementBytes }: CellRegion,
  { range, part, cells }: { range: TokenRange; part: Uint8Array; cells: number },
): void {
  const stripRun = cells * elementBytes;
  const partRun = (range.end - range.start) * elementBytes;
  const rows = rowBytes / elementBytes;
  let from = range.start * elementBytes;
  for (let row = 0; row < rows; row += 1) {
    part.set(strip.subarray(from, from + partRun), row * partRun);
    from += stripRun;
  }
}

async function readAll(
  file: Pick<OpenFile, 'read'>,
  into: Uint8Array,
  position: number,
): Promise<void> {
  const read = await file.read(into, position);
  assert(read === into.length, `state file ends at ${position + read}: it changed since parsing`);
}

function assertCut(state: StateLayout, range: TokenRange, target: Uint8Array): void {
  assertRange(state, range);
  const byteLength = (range.end - range.start) * tokenByteLength(state);
  assert(target.length === byteLength, `target has ${target.length} bytes, not ${byteLength}`);
}
