import type { Command } from 'commander';
import { messageOf, StoreError } from '../base/errors.ts';
import { hexFromBytes } from '../base/hex.ts';
import type { ResolvedStoreConfig } from '../config/store-config.ts';
import { legacyObjectPrefix, namespaceObjectPrefix } from '../format/object-keys.ts';
import { parseObjectKey } from '../objectstore/object-key.ts';
import type { ObjectKey } from '../objectstore/object-store.ts';
import { describeObject, listBucket, request, withBucket } from './bucket.ts';
import type { Bucket, BucketObject } from './bucket.ts';
import { printJson, settingsInEffect, withJsonFlag, withStoreFlags } from './command-context.ts';
import type { CommandContext, OutputFlags, StoreFlags } from './command-context.ts';
import { verifyObject } from './frame-look.ts';
import type { FrameLook, LegacyPayload } from './frame-look.ts';
import { codecText } from './list-command.ts';
import { formatBytes, formatCount, formatTime } from './quantity.ts';
import type { Output } from './terminal.ts';
import { renderFacts } from './text-table.ts';

type InspectFlags = StoreFlags & OutputFlags;

/** An object, every byte of which was checked. */
interface InspectedObject {
  readonly object: BucketObject;
  readonly look: FrameLook;
}

/** Fewer digits match too much; more than these objects nobody reads. */
const digitsMin = 6;
const objectsMax = 16;

export function addInspectCommand(
  program: Command,
  context: CommandContext,
  finish: (exitCode: number) => void,
): void {
  const command = program
    .command('inspect')
    .argument(
      '<key>',
      `key of a block or tip of a tail (${digitsMin} digits will do), or an object key`,
    )
    .description('show what is stored under a key, and check every byte of it');
  withJsonFlag(withStoreFlags(command)).action(async (key: string, flags: InspectFlags) =>
    finish(await inspect(context, key, flags)),
  );
}

async function inspect(context: CommandContext, key: string, flags: InspectFlags): Promise<number> {
  const config = settingsInEffect(context, flags);
  const inspected = await withBucket(context.platform, config, async (bucket) => {
    const found: InspectedObject[] = [];
    // One after another: each may take a gibibyte of memory.
    for (const object of await findObjects(bucket, config, key)) {
      found.push({ object, look: await verifyObject(bucket, object) });
    }
    return found;
  });
  const { results } = context.terminal;
  if (flags.json === true) printJson(context, { objects: inspected.map(asJson) });
  else results.write(inspected.map((one) => describe(results, one)).join('\n'));
  return inspected.every(({ look }) => look.verdict === 'sound') ? 0 : 1;
}

/** @throws StoreError `INVALID` for what cannot be a key, `UNAVAILABLE` when nothing is there. */
async function findObjects(
  bucket: Bucket,
  config: ResolvedStoreConfig,
  key: string,
): Promise<readonly BucketObject[]> {
  if (key.includes('/')) {
    const objectKey = asObjectKey(key);
    const info = await request(bucket, (signal) => bucket.objects.head(objectKey, { signal }));
    if (info !== undefined) return [describeObject(bucket, info)];
    throw new StoreError('UNAVAILABLE', `there is no object ${key} in ${config.objectStore}`);
  }
  const digits = key.toLowerCase();
  if (!/^[0-9a-f]{1,64}$/.test(digits) || digits.length < digitsMin) {
    const accepted = `accepted: ${digitsMin} to 64 hex digits of a key, or an object key with its slashes`;
    throw new StoreError('INVALID', `${JSON.stringify(key)} is no key; ${accepted}`);
  }
  const root = `${namespaceObjectPrefix(config.keyPrefix, config.namespace)}v2`;
  const places = [`block/${digits.slice(0, 2)}/${digits}`, `tail/${digits}`, `rawtail/${digits}`];
  const found: BucketObject[] = [];
  for (const place of places) {
    found.push(...(await listBucket(bucket, `${root}/${place}`, objectsMax)).objects);
  }
  const legacyRoot = legacyObjectPrefix(config.keyPrefix, config.namespace);
  for (const place of [`block/b3=${digits}`, `sidecar/raw_tail/b3=${digits}`]) {
    found.push(...(await listBucket(bucket, `${legacyRoot}${place}`, objectsMax)).objects);
  }
  if (found.length > 0) return found.slice(0, objectsMax);
  const where = `namespace ${JSON.stringify(config.namespace)} of ${config.objectStore}`;
  throw new StoreError('UNAVAILABLE', `nothing is stored under ${key} in ${where} (--namespace)`);
}

function asObjectKey(text: string): ObjectKey {
  try {
    return parseObjectKey(text);
  } catch (cause) {
    throw new StoreError('INVALID', messageOf(cause), { cause });
  }
}

function describe(output: Output, { object, look }: InspectedObject): string {
  const { info, kind, namespace } = object;
  const isSound = look.verdict === 'sound';
  const soundText =
    look.legacyPayload === undefined
      ? 'sound: header, length and every checksum hold'
      : legacySoundText(look.legacyPayload);
  const verdict = isSound
    ? output.style('green', soundText)
    : output.style('red', `${look.verdict}: ${look.reason}`);
  const facts: (readonly [string, string])[] = [
    ['object', info.key],
    ['kind', kind],
    ['namespace', namespace ?? '(unknown)'],
    ['modified', formatTime(info.modifiedMs)],
    ['object length', exactBytes(info.byteLength)],
    ...headerFacts(look),
    ...legacyFacts(look),
    ['verdict', verdict],
  ];
  return renderFacts(facts);
}

function legacySoundText({ isMd5Checked }: LegacyPayload): string {
  return isMd5Checked
    ? "it decodes, and the bucket's MD5 holds; the v1 format has no other checksum"
    : 'it decodes; the v1 format has no checksum to compare';
}

function headerFacts({ header }: FrameLook): readonly (readonly [string, string])[] {
  if (header === undefined) return [];
  const { following } = header;
  const next = following.map((key, index): [string, string] => [`following ${index + 1}`, key]);
  return [
    ['key', header.key],
    ['parent', header.parent ?? '(none, or not known)'],
    ['fingerprint', header.fingerprint ?? '(not known)'],
    ['tokens', header.tokens === 0 ? '(not known)' : formatCount(header.tokens)],
    ['position', header.position === undefined ? '(not known)' : formatCount(header.position)],
    ['decoded tokens', header.hasDecodedTokens ? 'some were decoded one by one' : 'none'],
    ['codec', codecText(header)],
    ['payload', exactBytes(header.rawLength)],
    ['stored', exactBytes(header.storedLength)],
    ['payload CRC32C', hex32(header.rawCrc)],
    ['bound CRC32C', hex32(header.storedCrc)],
    ['namespace digest', hexFromBytes(header.namespaceDigest)],
    ['following keys', String(following.length)],
    ...next,
  ];
}

function legacyFacts({ legacyPayload }: FrameLook): readonly (readonly [string, string])[] {
  if (legacyPayload === undefined) return [];
  return [
    ['payload', exactBytes(legacyPayload.byteLength)],
    ['payload BLAKE3', legacyPayload.blake3],
  ];
}

function exactBytes(bytes: number): string {
  const exact = `${formatCount(bytes)} bytes`;
  return bytes < 1024 ? exact : `${exact} (${formatBytes(bytes)})`;
}

function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

function asJson({ object, look }: InspectedObject): unknown {
  const { info, kind, namespace } = object;
  const { header } = look;
  return {
    objectKey: info.key,
    kind,
    namespace,
    modifiedMs: info.modifiedMs,
    objectBytes: info.byteLength,
    verdict: look.verdict,
    reason: look.reason,
    legacyPayload: look.legacyPayload,
    header: header && { ...header, namespaceDigest: hexFromBytes(header.namespaceDigest) },
  };
}
