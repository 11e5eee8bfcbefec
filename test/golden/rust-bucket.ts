import { parseBlockKey } from '../../src/blocks/block-key.ts';
import type { BlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
import type { Namespace } from '../../src/blocks/namespace.ts';
import { legacyBlockObjectKey, legacyRawTailObjectKey } from '../../src/format/object-keys.ts';
import { goldenBytes, goldenText } from './golden.ts';

/** An object that the Rust WombatKV wrote, and what it must decode to. */
export interface RustObject {
  readonly objectKey: string;
  readonly body: Uint8Array;
  readonly isEnveloped: boolean;
  readonly byteLength: number;
  readonly blake3: string;
}

/** A namespace of the bucket: a chain of blocks and the raw tail of its tip. */
export interface RustNamespace {
  readonly namespace: Namespace;
  /** The default prefix of the part of the Rust version that wrote it. */
  readonly keyPrefix: string;
  readonly keys: readonly BlockKey[];
  /** In the order of the keys. */
  readonly blocks: readonly RustObject[];
  readonly tip: BlockKey;
  readonly tail: RustObject;
}

interface ExpectedNamespace {
  readonly namespace: string;
  readonly blocks: readonly ExpectedPayload[];
  readonly tail: { readonly tip: string; readonly bytes: number; readonly blake3: string };
}

interface ExpectedPayload {
  readonly hash: string;
  readonly bytes: number;
  readonly blake3: string;
}

/** All objects that expected.jsonl names, found through our own key functions. */
export function rustObjects(): RustObject[] {
  return rustNamespaces().flatMap(({ blocks, tail }) => [...blocks, tail]);
}

/** The same, by namespace. */
export function rustNamespaces(): RustNamespace[] {
  const lines = goldenText('rust-bucket', 'expected.jsonl').trim().split('\n');
  return lines.map((line) => readNamespace(JSON.parse(line) as ExpectedNamespace));
}

function readNamespace({ namespace: name, blocks, tail }: ExpectedNamespace): RustNamespace {
  const namespace = parseNamespace(name);
  // The daemon and the embedded library of the Rust version had different default prefixes.
  const keyPrefix = name === 'daemonns' ? 'kv/puffer-shm' : 'kv/cabi';
  const objects = blocks.map((block) => {
    const key = legacyBlockObjectKey(keyPrefix, namespace, parseBlockKey(block.hash));
    return readObject(key, block.bytes, block.blake3);
  });
  const tip = parseBlockKey(tail.tip);
  const tailKey = legacyRawTailObjectKey(keyPrefix, namespace, tip);
  return {
    ...{ namespace, keyPrefix, tip },
    keys: blocks.map(({ hash }) => parseBlockKey(hash)),
    blocks: objects,
    tail: readObject(tailKey, tail.bytes, tail.blake3),
  };
}

function readObject(objectKey: string, byteLength: number, blake3: string): RustObject {
  const body = goldenBytes('rust-bucket', ...objectKey.split('/'));
  const isEnveloped = Buffer.from(body.subarray(0, 4)).toString('latin1') === 'WBZ1';
  return { objectKey, body, isEnveloped, byteLength, blake3 };
}
