import { bytesFromHex } from '../../src/base/hex.ts';
import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { frameHeaderLength } from '../../src/format/frame.ts';
import type { Codec, Filter, FrameHeader, FrameKind } from '../../src/format/frame.ts';
import { goldenBytes, goldenText } from './golden.ts';

/** A golden frame, its fields as make-golden.py states them. */
export interface GoldenFrame {
  readonly name: string;
  /** The whole object: header, following keys, stored bytes. */
  readonly bytes: Uint8Array;
  readonly header: FrameHeader;
  readonly headerLength: number;
  readonly stored: Uint8Array;
  /** The payload that the stored bytes decode to. */
  readonly raw: Uint8Array;
}

interface Description {
  readonly file: string;
  readonly kind: FrameKind;
  readonly codec: Codec;
  readonly filter: Filter;
  readonly hasDecodedTokens: boolean;
  readonly tokens: number;
  readonly position: number | null;
  readonly rawLength: number;
  readonly storedLength: number;
  readonly rawCrc: number;
  readonly storedCrc: number;
  readonly key: string;
  readonly parent: string | null;
  readonly namespaceDigest: string;
  readonly fingerprint: string | null;
  readonly following: readonly string[];
  readonly raw: string;
}

/** All golden frames of the v2 format. */
export function goldenFrames(): GoldenFrame[] {
  const descriptions = JSON.parse(goldenText('frame-v2', 'frames.json')) as Description[];
  return descriptions.map(readFrame);
}

/** The golden frame of that name. */
export function goldenFrame(name: string): GoldenFrame {
  const found = goldenFrames().find((frame) => frame.name === name);
  if (found === undefined) throw new Error(`no golden frame ${name}`);
  return found;
}

function readFrame({ file, raw, ...fields }: Description): GoldenFrame {
  const bytes = goldenBytes('frame-v2', file);
  const headerLength = frameHeaderLength(fields.following.length);
  const header: FrameHeader = {
    ...fields,
    position: fields.position ?? undefined,
    key: parseBlockKey(fields.key),
    parent: fields.parent === null ? undefined : parseBlockKey(fields.parent),
    namespaceDigest: hexBytes(fields.namespaceDigest),
    fingerprint: fields.fingerprint ?? undefined,
    following: fields.following.map(parseBlockKey),
  };
  const stored = bytes.subarray(headerLength);
  return {
    name: file.replace(/\.frame$/, ''),
    bytes,
    header,
    headerLength,
    stored,
    raw: hexBytes(raw),
  };
}

function hexBytes(hex: string): Uint8Array {
  const bytes = bytesFromHex(hex);
  if (bytes === undefined) throw new Error(`not hex: ${hex.slice(0, 40)}`);
  return bytes;
}
