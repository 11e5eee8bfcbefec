import type { BlockToSave, SaveOptions } from '../blocks/kv-store.ts';
import type { BulkAttributes, BulkRecord } from '../protocol/http1-bulk.ts';
import type { WireCodec } from '../wire/wire-codec.ts';

/** A payload to send, with what its record says. */
export interface Outgoing extends Omit<BulkRecord, 'byteLength'> {
  readonly payload: Uint8Array;
}

/** What one request of a save says. */
export interface SaveBody {
  readonly outgoing: readonly Outgoing[];
  readonly attributes: BulkAttributes;
  /** The server stores payloads as they come, from the last to the first. */
  readonly isLastFirst?: boolean;
  /** Payloads go compressed where that gains something, last first; undefined: as they are. */
  readonly codec?: Pick<WireCodec, 'encode'> | undefined;
}

/** A save that may take several requests. */
export interface LongSave {
  readonly blocks: readonly BlockToSave[];
  readonly options: SaveOptions | undefined;
  /** For each block whether its payload is left out, because the server has it. */
  readonly isLeftOut: readonly boolean[];
  readonly isLastFirst: boolean;
  readonly codec: SaveBody['codec'];
}

const nothing: Outgoing['payload'] = new Uint8Array(0);

/** The server lost payloads that it had a moment ago; they are sent then. */
export class LeftOutMissing extends Error {}

export function outgoingOf(block: BlockToSave & { readonly isLeftOut?: boolean }): Outgoing {
  const isLeftOut = block.isLeftOut ?? false;
  return {
    key: block.key,
    payload: isLeftOut ? nothing : block.payload,
    tokens: block.tokens ?? 0,
    position: block.position,
    hasDecodedTokens: block.hasDecodedTokens ?? false,
    isLeftOut,
    tier: undefined,
  };
}

export function saveAttributes(options: SaveOptions | undefined): BulkAttributes {
  return {
    durable: options?.durable,
    parent: options?.parent,
    fingerprint: options?.fingerprint,
  };
}

/** Where each request of a save begins; all but the last hold about as much as one may. */
export function partStarts(
  { blocks, isLeftOut }: Pick<LongSave, 'blocks' | 'isLeftOut'>,
  bytesMax: number,
): readonly number[] {
  const starts = [0];
  let bytes = 0;
  blocks.forEach(({ payload }, index) => {
    if (isLeftOut[index]) return;
    if (bytes > 0 && bytes + payload.length > bytesMax) {
      starts.push(index);
      bytes = 0;
    }
    bytes += payload.length;
  });
  return starts;
}
