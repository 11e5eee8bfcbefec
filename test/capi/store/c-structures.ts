import koffi from 'koffi';
import type { BlockKey } from '../../../src/blocks/block-key.ts';

/**
 * The structures of `wombatkv.h` as bytes, by their layout where pointers and sizes have 64 bits. Written
 * from the header alone, so that a field that moves is seen. Little-endian, as all such machines here.
 */

/** Where memory lies. It must be referred to for as long as C reads there. */
export type Address = bigint;

export const nowhere: Address = 0n;

export function addressOf(memory: Uint8Array): Address {
  return memory.byteLength === 0 ? nowhere : (koffi.address(memory) as Address);
}

/** Bytes in somebody else's memory, seen where they lie. */
export function bytesAt(address: Address, length: number): Uint8Array {
  return length === 0 ? new Uint8Array(0) : new Uint8Array(koffi.view(address, length));
}

/** Text with the NUL that ends it. */
export function cText(text: string): Uint8Array {
  return Buffer.from(`${text}\0`, 'utf8');
}

/** Memory of one structure, and what it points to, which is kept as long as the structure is. */
export class Structure {
  readonly memory: Uint8Array;
  readonly #view: DataView;
  readonly #kept: unknown[] = [];

  constructor(byteLength: number) {
    this.memory = new Uint8Array(byteLength);
    this.#view = new DataView(this.memory.buffer);
  }

  get address(): Address {
    return addressOf(this.memory);
  }

  u32(at: number, value: number): this {
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(at: number, value: bigint | number): this {
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  /** Points to memory; nothing when there is none. */
  pointer(at: number, memory: Uint8Array | undefined): this {
    if (memory === undefined) return this;
    this.#kept.push(memory);
    return this.u64(at, addressOf(memory));
  }

  text(at: number, text: string | undefined): this {
    return this.pointer(at, text === undefined ? undefined : cText(text));
  }

  readU32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  readU64(at: number): bigint {
    return this.#view.getBigUint64(at, true);
  }

  keep(what: unknown): this {
    this.#kept.push(what);
    return this;
  }
}

/** `const char *const *`. */
export function cHashes(keys: readonly BlockKey[]): Structure {
  const digits = Buffer.from(keys.map((key) => `${key}\0`).join(''), 'latin1');
  const list = new Structure(Math.max(8, keys.length * 8)).keep(digits);
  const first = addressOf(digits);
  keys.forEach((_, index) => list.u64(index * 8, first + BigInt(index * 65)));
  return list;
}

/** `const char *const *` with NULL at its end. */
export function cTexts(texts: readonly string[]): Structure {
  const list = new Structure((texts.length + 1) * 8);
  texts.forEach((text, index) => list.text(index * 8, text));
  return list;
}

export const durableFlag = 1;
export const acceptedFlag = 2;
export const exactFlag = 4;
export const decodedFlag = 1;

const outcomeBytes = 8 + 4 + 4 + 512;

/** `wmbt_kv_outcome_t`. */
export class Outcome {
  readonly structure = new Structure(outcomeBytes).u64(0, outcomeBytes);

  /** The place of the code among those of errors, from 1; 0: none. */
  get code(): number {
    return this.structure.readU32(8);
  }

  /** The number of the reason on the wire; 0: none. */
  get miss(): number {
    return this.structure.readU32(12);
  }

  get text(): string {
    const bytes = this.structure.memory.subarray(16);
    return Buffer.from(bytes.subarray(0, bytes.indexOf(0))).toString('utf8');
  }
}

export interface CallTerms {
  readonly deadlineMs?: number | undefined;
  readonly cancel: Address;
  readonly flags: number;
  readonly fingerprint?: string | undefined;
  readonly parent?: string | undefined;
  readonly outcome: Outcome;
}

/** `wmbt_kv_call_t`. */
export function cCall(terms: CallTerms): Structure {
  const { deadlineMs, cancel, flags, fingerprint, parent, outcome } = terms;
  const byteLength = 56;
  const timeMs = deadlineMs === undefined ? 0 : Math.max(1, Math.ceil(deadlineMs));
  return new Structure(byteLength)
    .u64(0, byteLength)
    .u64(8, timeMs)
    .u64(16, cancel)
    .u32(24, flags)
    .text(32, fingerprint)
    .text(40, parent)
    .pointer(48, outcome.structure.memory);
}

export interface OpenTerms {
  readonly remotePrefix?: string | undefined;
  readonly tcpAddress?: string | undefined;
  readonly namespace?: string | undefined;
  /** `WMBT_KV_NAME=value`. */
  readonly settings: readonly string[];
  readonly outcome: Outcome;
}

/** `wmbt_kv_open_t`, without the environment of this process. */
export function cOpen(terms: OpenTerms): Structure {
  const byteLength = 72;
  const settings = cTexts(terms.settings);
  return new Structure(byteLength)
    .keep(settings)
    .u64(0, byteLength)
    .u32(8, 1)
    .text(16, terms.remotePrefix)
    .text(24, terms.tcpAddress)
    .text(40, terms.namespace)
    .pointer(56, settings.memory)
    .pointer(64, terms.outcome.structure.memory);
}

const payloadBytes = 32;

/** `wmbt_kv_payload_t`. */
export interface CPayload {
  readonly payload: Uint8Array;
  readonly tokens: number;
  readonly flags: number;
  readonly tier: number;
  readonly crc: number;
}

/** An array of payloads in memory of the library. */
export function payloadsAt(address: Address, count: number): readonly CPayload[] {
  const bytes = bytesAt(address, count * payloadBytes);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, index) => {
    const at = index * payloadBytes;
    const length = Number(view.getBigUint64(at + 8, true));
    const [tokens, flags, tier, crc] = [16, 20, 24, 28].map((to) => view.getUint32(at + to, true));
    return { payload: bytesAt(view.getBigUint64(at, true), length), tokens, flags, tier, crc };
  });
}
