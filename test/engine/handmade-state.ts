/**
 * State files written by hand, word by word, with no help from the codec that they test. Contents
 * of cells are a function of where they belong, so that a test can tell every byte.
 */
export interface HandmadeState {
  readonly magic: number;
  readonly version: number;
  readonly tokens: readonly number[];
  /** What the file says about its number of streams. */
  readonly streams: number;
  /** The streams themselves: cells, or undefined for one without. */
  readonly content: readonly (readonly HandmadeCell[] | undefined)[];
  readonly transposed: number;
  readonly layers: readonly HandmadeLayer[];
}

export interface HandmadeCell {
  readonly position: number;
  /** Ids of the sequences that the cell belongs to. */
  readonly sequences: readonly number[];
  /** Words of a multimodal model, between the number of sequences and their ids. */
  readonly extension?: readonly number[];
}

export interface HandmadeLayer {
  readonly type: number;
  readonly keyRowBytes: number;
  readonly valueRowBytes: number;
  /** Bytes of one number; matters when values are transposed. */
  readonly elementBytes: number;
}

/** A sound state of so many tokens, with the differences given. */
export function handmadeState(
  tokenCount: number,
  differences: Partial<HandmadeState> = {},
): HandmadeState {
  return {
    magic: 0x67677371,
    version: 3,
    tokens: Array.from({ length: tokenCount }, (_, i) => (i * 37) % 501),
    streams: differences.content?.length ?? 1,
    content: [cellsInOrder(tokenCount)],
    transposed: 0,
    layers: Array.from({ length: 2 }, () => ({
      type: 1,
      keyRowBytes: 6,
      valueRowBytes: 4,
      elementBytes: 2,
    })),
    ...differences,
  };
}

/** Cells of one sequence at positions 0, 1, 2, … */
export function cellsInOrder(count: number, sequence = 0): HandmadeCell[] {
  return Array.from({ length: count }, (_, position) => ({ position, sequences: [sequence] }));
}

export function handmadeBytes(state: HandmadeState): Uint8Array {
  const words = new Words();
  words.u32(state.magic, state.version, state.tokens.length, ...state.tokens, state.streams);
  for (const cells of state.content) {
    words.u32(cells?.length ?? 0);
    if (cells === undefined) continue;
    for (const { position, sequences, extension = [] } of cells) {
      words.u32(position, sequences.length, ...extension, ...sequences);
    }
    words.u32(state.transposed, state.layers.length);
    for (const [layer, { type, keyRowBytes }] of state.layers.entries()) {
      words.u32(type, keyRowBytes, 0);
      words.bytes(regionBytes({ state, kind: 'key', layer }, 0, cells.length));
    }
    for (const [layer, { type, valueRowBytes, elementBytes }] of state.layers.entries()) {
      if (state.transposed === 1) words.u32(type, elementBytes, valueRowBytes / elementBytes);
      else words.u32(type, valueRowBytes, 0);
      words.bytes(regionBytes({ state, kind: 'value', layer }, 0, cells.length));
    }
  }
  return words.all();
}

/** What WombatKV should store of the tokens from `start` up to `end`. */
export function handmadePayload(state: HandmadeState, start: number, end: number): Uint8Array {
  const words = new Words();
  for (const kind of ['key', 'value'] as const) {
    for (const layer of state.layers.keys()) {
      words.bytes(regionBytes({ state, kind, layer }, start, end));
    }
  }
  return words.all();
}

interface Region {
  readonly state: HandmadeState;
  readonly kind: 'key' | 'value';
  readonly layer: number;
}

function regionBytes({ state, kind, layer }: Region, start: number, end: number): number[] {
  const { keyRowBytes, valueRowBytes, elementBytes } = state.layers[layer];
  const rowBytes = kind === 'key' ? keyRowBytes : valueRowBytes;
  const salt = layer * 2 + (kind === 'key' ? 0 : 1);
  const byteOf = (token: number, byte: number): number =>
    Math.imul(salt * 7919 + token * 263 + byte, 0x9e3779b1) >>> 24;
  const bytes: number[] = [];
  if (kind === 'key' || state.transposed === 0) {
    for (let token = start; token < end; token += 1) {
      for (let byte = 0; byte < rowBytes; byte += 1) bytes.push(byteOf(token, byte));
    }
    return bytes;
  }
  for (let first = 0; first < rowBytes; first += elementBytes) {
    for (let token = start; token < end; token += 1) {
      for (let i = 0; i < elementBytes; i += 1) bytes.push(byteOf(token, first + i));
    }
  }
  return bytes;
}

class Words {
  readonly #bytes: number[] = [];

  /** Appends 32-bit words, little end first. Negative numbers are two's complement. */
  u32(...values: readonly number[]): void {
    for (const value of values) {
      for (const shift of [0, 8, 16, 24]) this.#bytes.push((value >>> shift) & 255);
    }
  }

  bytes(bytes: readonly number[]): void {
    for (const byte of bytes) this.#bytes.push(byte);
  }

  all(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }
}
