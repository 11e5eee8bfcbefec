import { assert } from '../../base/assert.ts';

/**
 * The KV cache of one sequence as llama.cpp writes it to a file. This is version 3 as node-llama-cpp
 * writes it; all numbers are little-endian, nothing is padded, and there is no checksum.
 *
 * ```text
 * u32 magic "qsgg" │ u32 version 3 │ u32 n │ i32 tokens[n]
 * u32 streams
 * per stream   u32 cells                                   0: nothing more of this stream
 *              per cell    i32 position │ u32 1 │ i32 sequence
 *              u32 isTransposed │ u32 layers
 *              per layer   i32 type │ u64 rowBytes         │ keys   [cells][rowBytes]
 *   rows:      per layer   i32 type │ u64 rowBytes         │ values [cells][rowBytes]
 *   transposed:per layer   i32 type │ u32 bytes │ u32 rows │ values [rows][cells][bytes]
 * ```
 *
 * One stream holds cells, one for each token, at positions 0 to n-1 in order. Everything else that
 * llama.cpp can write is refused; see `state-parse.ts`.
 *
 * A *region* is the keys or the values of one layer. A *payload* is what WombatKV stores of a run of
 * c tokens: the same regions in the same order, cut to those tokens, without any header:
 *
 * ```text
 * keys of layer 0 [c][rowBytes] │ … │ keys of layer L-1 │ values of layer 0 │ … │ values of layer L-1
 *                                      rows: [c][rowBytes]      transposed: [rows][c][bytes]
 * ```
 */
export interface StateLayout {
  /** Number of tokens, which is the number of cells. */
  readonly cells: number;
  /** Keys of each layer, then values of each layer, in file order. */
  readonly regions: readonly CellRegion[];
}

/** Where the keys or the values of one layer lie in a state file: `cells * rowBytes` bytes. */
export interface CellRegion {
  readonly fileOffset: number;
  /** Bytes of one token. */
  readonly rowBytes: number;
  /** Bytes of one number when the region is transposed; 0 when each token is one row. */
  readonly elementBytes: number;
}

/**
 * What must be equal for a payload to fit a context: types and sizes of all regions. Plain data:
 * survives JSON. Types are ggml's numbers (0 is F32, 1 F16, 8 Q8_0, 30 BF16).
 */
export interface StateGeometry {
  /** True when the values of a layer lie number by number (no flash attention), not row by row. */
  readonly isTransposed: boolean;
  readonly keys: readonly RowGeometry[];
  readonly values: readonly RowGeometry[];
}

export interface RowGeometry {
  readonly type: number;
  readonly rowBytes: number;
  /** Bytes of one number of a transposed region; 0 otherwise. */
  readonly elementBytes: number;
}

/** Tokens from `start` up to `end`, counted from the beginning of the sequence. */
export interface TokenRange {
  readonly start: number;
  readonly end: number;
}

/** Magic and version of the files that are understood. */
export const stateMagic = 0x67677371;
export const stateVersion = 3;

/** Bytes of magic, version and number of tokens; of a cell; of the words before a region. */
export const stateHeadBytes = 12;
export const cellBytes = 12;
export const regionHeadBytes = 12;

/** Bounds on what a file may claim, from llama.cpp (LLAMA_MAX_SEQ) and well above any model. */
export const streamsMax = 256;
export const layersMax = 1024;
export const rowBytesMax = 1 << 24;
export const elementBytesMax = 8;

/** Bytes of a payload for so many tokens. */
export function payloadByteLength(geometry: StateGeometry, tokens: number): number {
  return tokens * (rowBytesOf(geometry.keys) + rowBytesOf(geometry.values));
}

/** The geometry in one line: equal texts mean equal geometries. */
export function geometryText({ isTransposed, keys, values }: StateGeometry): string {
  return `${isTransposed ? 'transposed' : 'rows'} k ${rowsText(keys)} v ${rowsText(values)}`;
}

/** True when payloads of the one fit the other. */
export function equalGeometry(a: StateGeometry, b: StateGeometry): boolean {
  return geometryText(a) === geometryText(b);
}

/** Bytes of one token in all regions of the layout. */
export function tokenByteLength({ regions }: StateLayout): number {
  return rowBytesOf(regions);
}

/** Stops the operation when the range is not within the cells. */
export function assertRange({ cells }: StateLayout, { start, end }: TokenRange): void {
  const isInside = Number.isInteger(start) && Number.isInteger(end) && start >= 0 && end <= cells;
  assert(isInside && start < end, `tokens ${start} to ${end} of ${cells}`);
}

function rowBytesOf(rows: readonly { readonly rowBytes: number }[]): number {
  let sum = 0;
  for (const { rowBytes } of rows) sum += rowBytes;
  return sum;
}

/** Layers as `type:rowBytes:elementBytes`, runs of equal ones as `…*count`. */
function rowsText(rows: readonly RowGeometry[]): string {
  const runs: { text: string; count: number }[] = [];
  for (const { type, rowBytes, elementBytes } of rows) {
    const text = `${type}:${rowBytes}:${elementBytes}`;
    const last = runs.at(-1);
    if (last?.text === text) last.count += 1;
    else runs.push({ text, count: 1 });
  }
  return runs.map(({ text, count }) => `${text}*${count}`).join(',');
}
