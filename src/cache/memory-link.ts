import { join } from 'node:path';
import { blake3Hex } from '../base/blake3.ts';
import { crc32c } from '../base/crc32c.ts';
import { systemErrorCode } from '../base/errors.ts';
import { bytesFromHex } from '../base/hex.ts';
import type { Files } from '../platform/files.ts';
import type { Platform } from '../platform/platform.ts';

/**
 * What ties a store's shared memory to its place in the cache directory, so that whoever takes the
 * place over finds what was accepted in memory only, and nobody else takes it. The same text stands in
 * both, so that one of them is enough:
 *
 * ```text
 * <place>/memory-<name>        <name> is that of the directory of the shared memory
 * <shared memory>/place
 * ```
 *
 * The first is made before anything is accepted, and removed when nothing is pending there any more.
 */
export interface MemoryLink {
  /** The directory of the shared memory. */
  readonly directory: string;
  /** The place in the cache directory: `<cacheDirectory>/v1/<n>`. */
  readonly place: string;
  /** Of the object store, in hex: what is pending goes to no other. */
  readonly storeDigest: string;
  /** In hex; bound into the header of every extent, as that of a segment into its records. */
  readonly salt: string;
  /** The boot of the machine that the memory belongs to; empty where the system does not tell. */
  readonly bootId: string;
}

const formatVersion = 1;
const linkBytesMax = 64 * 1024;
const namePattern = /^memory-([A-Za-z0-9-]{1,64})$/;
const temporaryPattern = /^link-[0-9a-f]{16}\.tmp$/;
const placeFileName = 'place';

/** The name in a place of the link to the shared memory in that directory. */
export function linkNameOf(directory: string): string {
  return `memory-${directory.slice(directory.lastIndexOf('/') + 1)}`;
}

/** The last part of the directory that a file of a place with this name links to. */
export function memoryNameOf(fileName: string): string | undefined {
  return namePattern.exec(fileName)?.[1];
}

/** True for the names under which links are written first. */
export function isLinkTemporary(fileName: string): boolean {
  return temporaryPattern.test(fileName);
}

/** What the salt is in checksums of headers and of entries of rings. */
export function seedOf({ salt }: Pick<MemoryLink, 'salt'>): number {
  return crc32c(bytesFromHex(salt) ?? new Uint8Array(0));
}

export function encodeLink(link: MemoryLink): Uint8Array {
  const { directory, place, storeDigest, salt, bootId } = link;
  const text = `${JSON.stringify({ formatVersion, directory, place, storeDigest, salt, bootId })}\n`;
  return new TextEncoder().encode(`${text}${checksumOf(text)}\n`);
}

/** The link in a file's bytes; undefined when a byte of them is not as it was written. */
export function parseLink(bytes: Uint8Array): MemoryLink | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const [, checked, checksum] = /^([^\n]*\n)([0-9a-f]{64})\n$/.exec(text) ?? [];
    if (checked === undefined || checksumOf(checked) !== checksum) return undefined;
    const fields: unknown = JSON.parse(checked);
    return isLink(fields) ? fields : undefined;
  } catch {
    // No text: damaged, as one whose checksum does not hold.
    return undefined;
  }
}

/** Makes both files of the link. */
export async function writeLink({ files, random }: Platform, link: MemoryLink): Promise<void> {
  const bytes = encodeLink(link);
  for (const [directory, name] of [
    [link.directory, placeFileName],
    [link.place, linkNameOf(link.directory)],
  ]) {
    const temporary = join(directory, `link-${random.hex(8)}.tmp`);
    await writeWhole(files, temporary, bytes);
    await files.rename(temporary, join(directory, name));
  }
}

/** Removes the end of the link that is in the place: nobody follows it any more. */
export async function removeLink(files: Files, place: string, directory: string): Promise<void> {
  await files.remove(join(place, linkNameOf(directory)));
}

/** Where the end of the link lies that is in the directory of the shared memory. */
export function memoryEndOf(directory: string): string {
  return join(directory, placeFileName);
}

/** The text that ties a directory of shared memory to a place; undefined when there is none, or damaged. */
export function readLinkOfMemory(files: Files, directory: string): Promise<MemoryLink | undefined> {
  return readLink(files, memoryEndOf(directory));
}

/** The same by its other end. */
export function readLinkOfPlace(
  files: Files,
  place: string,
  fileName: string,
): Promise<MemoryLink | undefined> {
  return readLink(files, join(place, fileName));
}

async function readLink(files: Files, path: string): Promise<MemoryLink | undefined> {
  try {
    return parseLink(await files.readSmall(path, linkBytesMax));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'EFBIG' || code === 'EISDIR') return undefined;
    throw error;
  }
}

async function writeWhole(files: Files, path: string, bytes: Uint8Array): Promise<void> {
  const file = await files.open(path, 'create-new');
  try {
    await file.write([bytes], 0);
  } finally {
    await file.close();
  }
}

function checksumOf(text: string): string {
  return blake3Hex(new TextEncoder().encode(text));
}

function isLink(value: unknown): value is MemoryLink {
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as Partial<Record<keyof MemoryLink | 'formatVersion', unknown>>;
  const texts = [fields.directory, fields.place, fields.storeDigest, fields.salt, fields.bootId];
  return fields.formatVersion === formatVersion && texts.every((one) => typeof one === 'string');
}
