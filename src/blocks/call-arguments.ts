import { blockKeyLength, isBlockKey } from './block-key.ts';
import type { BlockKey } from './block-key.ts';
import type { BlockToSave, CallOptions, SaveOptions, TailToSave } from './kv-store.ts';
import { limits } from './limits.ts';

/** The longest timer of the platform. */
const deadlineMsMax = 2 ** 31 - 1;

/** Checks at the edge of a store. Each throws TypeError or RangeError naming the argument. */
export function checkKeys(keys: readonly BlockKey[]): void {
  if (!Array.isArray(keys)) throw new TypeError('keys must be an array of block keys');
  if (keys.length > limits.keysPerCallMax) {
    const most = limits.keysPerCallMax;
    throw new RangeError(`keys has ${keys.length} entries; at most ${most} fit one call`);
  }
  for (let i = 0; i < keys.length; i += 1) {
    // The name is made only for a key that is refused: lookups of shared memory take less than it.
    if (typeof keys[i] !== 'string' || !isBlockKey(keys[i])) checkKey(keys[i], `keys[${i}]`);
  }
}

/**
 * True when the keys are as long as keys are, and as many as one call may have. To know this takes a
 * hundredth of the time of {@link checkKeys}: enough for whoever looks into the digits anyway.
 */
export function mayBeKeys(keys: readonly BlockKey[]): boolean {
  if (!Array.isArray(keys) || keys.length > limits.keysPerCallMax) return false;
  for (let i = 0; i < keys.length; i += 1) if (!mayBeKey(keys[i])) return false;
  return true;
}

function mayBeKey(key: unknown): boolean {
  return typeof key === 'string' && key.length === blockKeyLength;
}

/** Options of any call. */
export function checkOptions(options: (CallOptions & Partial<SaveOptions>) | undefined): void {
  if (options === undefined) return;
  const { deadlineMs, parent, fingerprint } = options;
  if (deadlineMs !== undefined && !(deadlineMs >= 0 && deadlineMs <= deadlineMsMax)) {
    throw new RangeError(`deadlineMs must be from 0 to ${deadlineMsMax}; got ${deadlineMs}`);
  }
  if (parent !== undefined) checkKey(parent, 'parent');
  if (fingerprint !== undefined) checkKey(fingerprint, 'fingerprint');
}

export function checkTip(tip: BlockKey): void {
  checkKey(tip, 'tip');
}

export function checkBlocks(blocks: readonly BlockToSave[]): void {
  if (!Array.isArray(blocks)) throw new TypeError('blocks must be an array');
  if (blocks.length > limits.keysPerCallMax) {
    const most = limits.keysPerCallMax;
    throw new RangeError(`blocks has ${blocks.length} entries; at most ${most} fit one call`);
  }
  blocks.forEach((block, index) => {
    // The names are made only for a block that is refused.
    if (!isBlockToSave(block)) refuseBlock(block, `blocks[${index}]`);
  });
}

/** The keys of what are blocks that can be stored, as far as {@link mayBeKeys} would say; undefined when one is none. */
export function keysOfBlocks(blocks: readonly BlockToSave[]): readonly BlockKey[] | undefined {
  if (!Array.isArray(blocks) || blocks.length > limits.keysPerCallMax) return undefined;
  const keys: BlockKey[] = [];
  for (let i = 0; i < blocks.length; i += 1) {
    const block: BlockToSave = blocks[i];
    if (!mayBeBlock(block) || block.payload.length > limits.payloadBytesMax) return undefined;
    keys.push(block.key);
  }
  return keys;
}

function mayBeBlock({ key, payload, tokens, position }: BlockToSave): boolean {
  return mayBeKey(key) && payload instanceof Uint8Array && isCount(tokens) && isCount(position);
}

function isBlockToSave(block: BlockToSave): boolean {
  return mayBeBlock(block) && isBlockKey(block.key);
}

function refuseBlock({ key, payload, tokens, position }: BlockToSave, name: string): void {
  checkKey(key, `${name}.key`);
  checkPayload(payload, `${name}.payload`);
  checkCount(tokens, `${name}.tokens`);
  checkCount(position, `${name}.position`);
}

export function checkTail(tail: TailToSave): void {
  checkTip(tail.tip);
  checkTokens(tail.tokens);
  checkPayload(tail.payload, 'payload');
  checkCount(tail.position, 'position');
}

/** Tokens of a tail or of a query for one. */
export function checkTokens(tokens: ArrayLike<number>): void {
  if (tokens.length > limits.blockTokensMax) {
    const most = limits.blockTokensMax;
    throw new RangeError(`tokens has ${tokens.length} entries; a tail has at most ${most}`);
  }
  for (let i = 0; i < tokens.length; i += 1) {
    if (tokens[i] !== (tokens[i] | 0)) {
      throw new RangeError(`tokens[${i}] is not a 32-bit integer: ${tokens[i]}`);
    }
  }
}

function checkKey(key: unknown, name: string): void {
  if (typeof key !== 'string') throw new TypeError(`${name} must be a string; got ${typeof key}`);
  if (!isBlockKey(key)) {
    throw new RangeError(
      `${name} must be 64 lower-case hex chars; got ${key.length} in ${JSON.stringify(key.slice(0, 80))}`,
    );
  }
}

function checkPayload(payload: unknown, name: string): void {
  if (!(payload instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
}

/** A count or an index in the range that the frames keep. */
function checkCount(count: number | undefined, name: string): void {
  if (isCount(count)) return;
  throw new RangeError(`${name} must be an integer from 0 to 4294967294; got ${count}`);
}

function isCount(count: number | undefined): boolean {
  return count === undefined || (Number.isInteger(count) && count >= 0 && count < 0xffffffff);
}
