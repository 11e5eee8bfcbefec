import { blake3, blake3Hex } from '../base/blake3.ts';
import type { Host } from '../platform/platform.ts';

/**
 * Who owns a sub-directory of the cache directory, as written in its owner file. The file is made
 * under another name and then linked, so a reader sees all of it or nothing.
 */
export interface OwnerRecord {
  /** Boot of the machine on which the owner runs; empty where the system does not tell. */
  readonly bootId: string;
  readonly hostName: string;
  readonly processId: number;
  /** Name of the socket file in the same directory on which the owner listens while it lives. */
  readonly socketName: string;
  /** The object store whose blocks lie in the directory. */
  readonly storeIdentity: { readonly url: string; readonly keyPrefix: string };
}

const formatVersion = 1;

/** A longer owner file is not one of ours. The longest part, a URL, takes a few kibibytes at most. */
export const ownerFileBytesMax = 64 * 1024;

/** File that tells claimers that a sweep has begun; see `takeOverDirectory`. */
export const sweepMarkName = 'owners-swept';

/** Fifteen digits stay below 2^53; a longer run is not one of our names. */
const ownerNamePattern = /^owner-([1-9][0-9]{0,14})$/;
const socketNamePattern = /^s-[0-9a-f]+\.sock$/;
/**
 * The text of an owner file up to its checksum, and the checksum, which is that of this text. Every
 * version of the file ends so: only then is its version believed.
 */
const checkedPattern = /^([^]*),\n {2}"checksum": "([0-9a-f]{64})"\n\}\n$/;
const temporaryNamePattern = /^owner-[0-9a-f]+\.tmp$/;

/** Name of the owner file with this number, which counts from 1. */
export function ownerFileName(number: number): string {
  return `owner-${number}`;
}

/** Number of the owner file with this name, or undefined for any other name. */
export function ownerNumberOf(name: string): number | undefined {
  const digits = ownerNamePattern.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Name of a fresh socket file. */
export function socketFileName(randomHex: string): string {
  return `s-${randomHex}.sock`;
}

/** True for names that {@link socketFileName} makes. */
export function isSocketName(name: string): boolean {
  return socketNamePattern.test(name);
}

/** Name under which an owner file or a sweep mark is written first. */
export function temporaryFileName(randomHex: string): string {
  return `owner-${randomHex}.tmp`;
}

/** True for names that {@link temporaryFileName} makes. */
export function isTemporaryName(name: string): boolean {
  return temporaryNamePattern.test(name);
}

/** The record of this process. */
export function ownerRecord(
  host: Host,
  socketName: string,
  storeIdentity: OwnerRecord['storeIdentity'],
): OwnerRecord {
  const { bootId, hostName, processId } = host;
  const { url, keyPrefix } = storeIdentity;
  return { bootId, hostName, processId, socketName, storeIdentity: { url, keyPrefix } };
}

/** The bytes of an owner file. */
export function encodeOwner(owner: OwnerRecord): Uint8Array {
  return encodeOwnerFields({ formatVersion, ...owner });
}

/** The bytes of an owner file with these fields, behind which its checksum stands. */
export function encodeOwnerFields(fields: object): Uint8Array {
  const text = JSON.stringify(fields, undefined, 2).slice(0, -'\n}'.length);
  return new TextEncoder().encode(`${text},\n  "checksum": "${checksumOf(text)}"\n}\n`);
}

/** The owner in the bytes of an owner file, or why there is none to be had. */
export function parseOwner(bytes: Uint8Array): OwnerRecord | 'newer' | 'unreadable' {
  const fields = parseChecked(bytes);
  if (!isRecord(fields)) return 'unreadable';
  const version = fields['formatVersion'];
  if (Number.isSafeInteger(version) && Number(version) > formatVersion) return 'newer';
  return version === formatVersion && isOwner(fields) ? fields : 'unreadable';
}

/** True when both name the same objects of the same bucket. */
export function isSameStore(
  a: OwnerRecord['storeIdentity'],
  b: OwnerRecord['storeIdentity'],
): boolean {
  return a.url === b.url && a.keyPrefix === b.keyPrefix;
}

/** What segment files record of the object store that their payloads belong to. */
export function storeDigestOf(identity: OwnerRecord['storeIdentity']): Uint8Array {
  return blake3(new TextEncoder().encode(`${identity.url}\n${identity.keyPrefix}`));
}

function checksumOf(text: string): string {
  return blake3Hex(new TextEncoder().encode(text));
}

/** The value that an owner file holds; undefined when a byte of the file is not as it was written. */
function parseChecked(bytes: Uint8Array): unknown {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const [, checked, checksum] = checkedPattern.exec(text) ?? [];
    return checked !== undefined && checksumOf(checked) === checksum ? JSON.parse(text) : undefined;
  } catch {
    // Neither text nor JSON: the caller sees a value that is no record.
    return undefined;
  }
}

function isOwner(fields: object): fields is OwnerRecord {
  const { bootId, hostName, processId, socketName, storeIdentity } = fields as Partial<
    Record<keyof OwnerRecord, unknown>
  >;
  return (
    typeof bootId === 'string' &&
    typeof hostName === 'string' &&
    Number.isSafeInteger(processId) &&
    typeof socketName === 'string' &&
    // A name with a path in it would send the probe elsewhere.
    isSocketName(socketName) &&
    isRecord(storeIdentity) &&
    typeof storeIdentity['url'] === 'string' &&
    typeof storeIdentity['keyPrefix'] === 'string'
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
