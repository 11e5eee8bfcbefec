import { dirname, join } from 'node:path';
import { blake3Hex, blake3Stream } from '../../base/blake3.ts';
import { StoreError, systemErrorCode } from '../../base/errors.ts';
import type { Files, FileStatus } from '../../platform/files.ts';
import type { Platform } from '../../platform/platform.ts';

/** Bytes read at a time while a model is hashed. */
const readBytes = 4 * 1024 * 1024;
/** Models remembered; the oldest are forgotten first. */
const rememberedMax = 256;
const memoryBytesMax = 1024 * 1024;
/** 64 hex digits and a line feed. */
const digestLineBytes = 65;
const shardPattern = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** A file whose hash is known, as long as it is still the same file with the same times. */
interface RememberedHash {
  readonly identity: string;
  readonly byteLength: number;
  readonly modifiedMs: number;
  readonly changedMs: number;
  readonly blake3: string;
}

/**
 * BLAKE3 of a model: of its file, or of the joined hex digests of its shards in order. Computed once
 * for a file and remembered by device, inode, size and times in `memoryPath`.
 *
 * @throws StoreError `UNAVAILABLE` when the file changes meanwhile, else the system's error.
 */
export async function hashModel(
  platform: Platform,
  modelPath: string,
  memoryPath: string,
): Promise<string> {
  const memory = new HashMemory(platform, memoryPath);
  await memory.read();
  const digests: string[] = [];
  for (const path of shardPaths(modelPath)) digests.push(await hashFile(platform, path, memory));
  await memory.write();
  if (digests.length === 1) return digests[0];
  const stream = blake3Stream();
  stream.update(new TextEncoder().encode(digests.join('')));
  return stream.digestHex();
}

/** Where hashes are remembered unless the caller says otherwise. */
export function defaultHashMemoryPath(homeDirectory: string): string {
  return join(homeDirectory, '.wombatkv', 'model-hashes.json');
}

/** What may be wrong with the file of remembered hashes; `unreadable` is no word about its bytes. */
export type HashMemoryFault = 'absent' | 'damaged' | 'unreadable';

/** Whether the file with remembered hashes is whole. Changes nothing. */
export async function auditHashMemory(
  files: Files,
  path: string,
): Promise<'sound' | HashMemoryFault> {
  const memory = await readMemory(files, path);
  return typeof memory === 'string' ? memory : 'sound';
}

/** The files of the model: all shards when the name is that of one. */
export function shardPaths(modelPath: string): readonly string[] {
  const match = shardPattern.exec(modelPath);
  if (match === null) return [modelPath];
  const [, stem, , count] = match;
  return Array.from(
    { length: Number(count) },
    (_, index) => `${stem}-${String(index + 1).padStart(5, '0')}-of-${count}.gguf`,
  );
}

async function hashFile(platform: Platform, path: string, memory: HashMemory): Promise<string> {
  const { files } = platform;
  const before = await statusOf(files, path);
  const known = memory.find(before);
  if (known !== undefined) return known;
  const file = await files.open(path, 'read');
  const stream = blake3Stream();
  try {
    const buffer = new Uint8Array(readBytes);
    for (let position = 0; position < before.byteLength;) {
      const read = await file.read(buffer, position);
      if (read === 0) break;
      stream.update(buffer.subarray(0, read));
      position += read;
    }
  } finally {
    await file.close();
  }
  const after = await statusOf(files, path);
  if (!isSame(before, after)) {
    throw new StoreError('UNAVAILABLE', `${path} changed while it was hashed`);
  }
  const blake3 = stream.digestHex();
  memory.add({ ...after, blake3 });
  return blake3;
}

/** Follows no link: a link to a model is resolved by whoever opens it, so its target is looked at. */
async function statusOf(files: Files, path: string): Promise<FileStatus> {
  const status = await files.status(await files.realPath(path));
  if (status === undefined) throw new StoreError('INVALID', `there is no model file ${path}`);
  return status;
}

function isSame(a: FileStatus, b: Omit<RememberedHash, 'blake3'>): boolean {
  return (
    a.identity === b.identity &&
    a.byteLength === b.byteLength &&
    a.modifiedMs === b.modifiedMs &&
    a.changedMs === b.changedMs
  );
}

/**
 * The remembered hashes: a small file, replaced whole, which may be lost at any time. Its first line
 * is the BLAKE3 digest of the rest, the rest is JSON: a changed digit in a digest would otherwise be
 * believed, and another model's payloads restored.
 */
class HashMemory {
  readonly #platform: Platform;
  readonly #path: string;
  #hashes: RememberedHash[] = [];
  #isChanged = false;

  constructor(platform: Platform, path: string) {
    this.#platform = platform;
    this.#path = path;
  }

  find(status: FileStatus): string | undefined {
    return this.#hashes.find((hash) => isSame(status, hash))?.blake3;
  }

  add(hash: RememberedHash): void {
    const { identity, byteLength, modifiedMs, changedMs, blake3 } = hash;
    const others = this.#hashes.filter((other) => other.identity !== identity);
    this.#hashes = [...others, { identity, byteLength, modifiedMs, changedMs, blake3 }];
    this.#hashes.splice(0, this.#hashes.length - rememberedMax);
    this.#isChanged = true;
  }

  async read(): Promise<void> {
    const hashes = await readMemory(this.#platform.files, this.#path);
    // Absent, damaged or unreadable: models are hashed again.
    if (typeof hashes !== 'string') this.#hashes = hashes;
  }

  async write(): Promise<void> {
    if (!this.#isChanged) return;
    const { files, random } = this.#platform;
    const temporary = `${this.#path}.${random.hex(8)}`;
    try {
      await files.makeDirectory(dirname(this.#path));
      const file = await files.open(temporary, 'create-new');
      try {
        await file.write([withChecksum(JSON.stringify(this.#hashes))], 0);
      } finally {
        await file.close();
      }
      await files.rename(temporary, this.#path);
    } catch (error) {
      ignoreSystemError(error);
      await files.remove(temporary).catch(ignoreSystemError);
    }
  }
}

/** The remembered hashes in the file, or why there are none. */
async function readMemory(files: Files, path: string): Promise<RememberedHash[] | HashMemoryFault> {
  try {
    const json = checkedText(await files.readSmall(path, memoryBytesMax));
    const parsed: unknown = json === undefined ? undefined : JSON.parse(json);
    return Array.isArray(parsed) ? parsed.filter(isRememberedHash) : 'damaged';
  } catch (error) {
    if (error instanceof SyntaxError) return 'damaged';
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'absent';
    // Longer than any that was written.
    return code === 'EFBIG' ? 'damaged' : 'unreadable';
  }
}

/** The text behind the first line, which is its digest. */
function withChecksum(text: string): Uint8Array {
  const rest = new TextEncoder().encode(text);
  return new TextEncoder().encode(`${blake3Hex(rest)}\n${text}`);
}

/** What {@link withChecksum} was given, or undefined when the bytes are not whole. */
function checkedText(bytes: Uint8Array): string | undefined {
  const rest = bytes.subarray(digestLineBytes);
  const line = new TextDecoder().decode(bytes.subarray(0, digestLineBytes));
  return line === `${blake3Hex(rest)}\n` ? new TextDecoder().decode(rest) : undefined;
}

/** A home that cannot be written costs hashing again next time. */
function ignoreSystemError(error: unknown): void {
  if (systemErrorCode(error) === undefined) throw error;
}

function isRememberedHash(value: unknown): value is RememberedHash {
  if (typeof value !== 'object' || value === null) return false;
  const numbers = ['byteLength', 'modifiedMs', 'changedMs'];
  const fields: Readonly<Record<string, unknown>> = { ...value };
  return (
    numbers.every((name) => typeof fields[name] === 'number') &&
    typeof fields['identity'] === 'string' &&
    typeof fields['blake3'] === 'string' &&
    /^[0-9a-f]{64}$/.test(fields['blake3'])
  );
}
