import { parseBlockKey } from '../../src/blocks/block-key.ts';
import { parseNamespace } from '../../src/blocks/namespace.ts';
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
  const lines = goldenText('rust-bucket', 'expected.jsonl').trim().split('\n');
  return lines.flatMap((line) => objectsOf(JSON.parse(line) as ExpectedNamespace));
}

function objectsOf({ namespace: name, blocks, tail }: ExpectedNamespace): RustObject[] {
  const namespace = parseNamespace(name);
  // The daemon and the embedded library of the Rust version had different default prefixes.
  const prefix = name === 'daemonns' ? 'kv/puffer-shm' : 'kv/cabi';
  const objects = blocks.map((block) => {
    const key = legacyBlockObjectKey(prefix, namespace, parseBlockKey(block.hash));
    return readObject(key, block.bytes, block.blake3);
  });
  const tailKey = legacyRawTailObjectKey(prefix, namespace, parseBlockKey(tail.tip));
  return [...objects, readObject(tailKey, tail.bytes, tail.blake3)];
}

function readObject(objectKey: string, byteLength: number, blake3: string): RustObject {
  const body = goldenBytes('rust-bucket', ...objectKey.split('/'));
  const isEnveloped = Buffer.from(body.subarray(0, 4)).toString('latin1') === 'WBZ1';
  return { objectKey, body, isEnveloped, byteLength, blake3 };
}
