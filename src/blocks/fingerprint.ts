import { blake3Hex } from '../base/blake3.ts';

declare const fingerprintBrand: unique symbol;

/** Identity of everything that changes KV values: 64 lower-case hex characters of BLAKE3. */
export type Fingerprint = string & { readonly [fingerprintBrand]: true };

/**
 * Everything that enters the fingerprint of llama.cpp. Every field is required: what is not known
 * must stop the caller, not be left out. Never a path, a thread count or a hash of a binary, so that
 * every program that drives the same engine computes the same.
 */
export interface FingerprintIngredients {
  /** BLAKE3 of the model: of its file, or of the hex digests of its shards in order. 64 hex. */
  readonly modelBlake3: string;
  /** Name of the engine: `llama.cpp`. */
  readonly engine: string;
  /** The engine's release, as it names itself: `v0.5.0`. */
  readonly release: string;
  /** Version of the engine's sequence state format. */
  readonly stateVersion: number;
  /** Per layer: ggml type and bytes of one token's row of K; of V likewise. */
  readonly keyRows: readonly CacheRow[];
  readonly valueRows: readonly CacheRow[];
  /** Whether V is stored element-major over tokens (no flash attention). */
  readonly isValueTransposed: boolean;
  /** Whether quantised KV is stored Hadamard-rotated; `not-applicable` for types that never are. */
  readonly attentionRotation: 'on' | 'off' | 'not-applicable';
  /** RoPE values that the context overrides, by name; empty when the model's own hold. */
  readonly ropeOverrides: Readonly<Record<string, number | string>>;
  /** LoRA adapters by BLAKE3 of their file with their scale, in the order of application. */
  readonly loraAdapters: readonly { readonly blake3: string; readonly scale: number }[];
  /** Sliding-window settings by name; empty for a model without. */
  readonly slidingWindow: Readonly<Record<string, number | string>>;
}

export interface CacheRow {
  readonly type: number;
  readonly byteLength: number;
}

const heading = 'wombatkv-fingerprint-1\n';
const rotations: readonly FingerprintIngredients['attentionRotation'][] = [
  'on',
  'off',
  'not-applicable',
];
const digestPattern = /^[0-9a-f]{64}$/;
const wordPattern = /^[\x21-\x7e]+$/;

/**
 * The fingerprint of the ingredients: BLAKE3 of a heading and `name=value` lines sorted by name.
 *
 * @throws RangeError naming an ingredient that is missing or malformed.
 */
export function fingerprintOf(ingredients: FingerprintIngredients): Fingerprint {
  const text = fingerprintText(ingredients);
  return asFingerprint(blake3Hex(new TextEncoder().encode(text)));
}

/** The text that {@link fingerprintOf} hashes, for people who compare two of them. */
export function fingerprintText(ingredients: FingerprintIngredients): string {
  const lines = new Map<string, string>();
  lines.set('model.blake3', digest('modelBlake3', ingredients.modelBlake3));
  lines.set('engine', word('engine', ingredients.engine));
  lines.set('release', word('release', ingredients.release));
  lines.set('state.version', count('stateVersion', ingredients.stateVersion));
  lines.set('k.rows', rows('keyRows', ingredients.keyRows));
  lines.set('v.rows', rows('valueRows', ingredients.valueRows));
  lines.set('v.transposed', flag('isValueTransposed', ingredients.isValueTransposed));
  lines.set('attention.rotation', rotation(ingredients.attentionRotation));
  setNamed(lines, 'rope', ingredients.ropeOverrides);
  setNamed(lines, 'swa', ingredients.slidingWindow);
  ingredients.loraAdapters.forEach(({ blake3, scale }, index) => {
    if (!Number.isFinite(scale)) throw new RangeError(`loraAdapters[${index}].scale is ${scale}`);
    lines.set(`lora.${index}`, `${digest(`loraAdapters[${index}].blake3`, blake3)}*${scale}`);
  });
  const sorted = [...lines].sort(([a], [b]) => (a < b ? -1 : 1));
  return heading + sorted.map(([name, value]) => `${name}=${value}\n`).join('');
}

/** What the seed of a chain is computed from, for llama.cpp and a block size. */
export function llamaSeedInput(fingerprint: Fingerprint, blockTokens: number): string {
  return `WMBTBLK1|${fingerprint}|llama-v1|b${blockTokens}`;
}

function digest(name: string, value: string): string {
  if (digestPattern.test(value)) return value;
  throw new RangeError(`${name} must be 64 lower-case hex chars; got ${JSON.stringify(value)}`);
}

function word(name: string, value: string): string {
  if (typeof value === 'string' && wordPattern.test(value)) return value;
  throw new RangeError(
    `${name} must be printable ASCII without spaces; got ${JSON.stringify(value)}`,
  );
}

function flag(name: string, value: boolean): string {
  if (typeof value === 'boolean') return value ? '1' : '0';
  throw new RangeError(`${name} must be true or false; got ${String(value)}`);
}

function rotation(value: FingerprintIngredients['attentionRotation']): string {
  if (rotations.includes(value)) return value;
  throw new RangeError(`attentionRotation must be one of ${rotations.join(', ')}; got ${value}`);
}

function count(name: string, value: number): string {
  if (Number.isInteger(value) && value >= 0) return String(value);
  throw new RangeError(`${name} must be a non-negative integer; got ${value}`);
}

/** `type:bytes` of each layer; equal neighbours are written once with their number. */
function rows(name: string, layers: readonly CacheRow[]): string {
  if (layers.length === 0) throw new RangeError(`${name} has no layer`);
  const runs: { text: string; length: number }[] = [];
  layers.forEach(({ type, byteLength }, layer) => {
    const text = `${count(`${name}[${layer}].type`, type)}:${count(`${name}[${layer}].byteLength`, byteLength)}`;
    const last = runs.at(-1);
    if (last?.text === text) last.length += 1;
    else runs.push({ text, length: 1 });
  });
  return runs.map(({ text, length }) => `${text}x${length}`).join(',');
}

function setNamed(
  lines: Map<string, string>,
  group: string,
  values: Readonly<Record<string, number | string>>,
): void {
  for (const [name, value] of Object.entries(values)) {
    const text = typeof value === 'number' && Number.isFinite(value) ? String(value) : value;
    lines.set(word(group, `${group}.${name}`), word(`${group}.${name}`, text as string));
  }
}

function asFingerprint(hex: string): Fingerprint {
  if (!isFingerprint(hex)) throw new RangeError(`not a fingerprint: ${hex}`);
  return hex;
}

function isFingerprint(text: string): text is Fingerprint {
  return digestPattern.test(text);
}
