import { StoreError, systemErrorCode } from '../../base/errors.ts';
import type { AnonymousFile } from '../../platform/files.ts';
import type { Platform } from '../../platform/platform.ts';

/** A state file lives for seconds; one that was not written for so long has lost its process. */
const leftoverAgeMs = 3_600_000;
const namePattern = /^wombatkv-\d+-[0-9a-f]{16}\.state$/;

/** Bytes of the file that is kept: it holds a state of 2,700 tokens of a model of 0.5 B parameters. */
const keptBytes = 32 * 1024 * 1024;
const zerosBytes = 1024 * 1024;

/** A state file to write. `path` is for the engine, which opens it by its own means. */
export interface StateFile {
  readonly path: string;
  /** Writes the buffers one after another from the beginning. What lies behind them stays. */
  write(buffers: readonly Uint8Array[]): Promise<void>;
}

/** The file that is kept. */
interface KeptFile extends StateFile {
  readonly made: AnonymousFile;
}

type StatePlatform = Pick<Platform, 'clock' | 'files' | 'host' | 'random' | 'sharedMemory'>;

/**
 * Where state files live for the moment between engine and store: in memory when free space there is
 * at least twice the file, else in the temporary directory. Names are random, files mode 0600, and
 * whoever makes one removes it.
 */
export class StateFiles {
  readonly #platform: StatePlatform;

  /** The kept file while nobody uses it. */
  #kept: KeptFile | undefined;
  #isClosed = false;

  constructor(platform: StatePlatform) {
    this.#platform = platform;
  }

  /**
   * Makes an empty file where there is room for about that many bytes, and resolves to its path. The
   * engine would make it readable for everybody; one that is there keeps its mode.
   *
   * @throws StoreError `UNAVAILABLE` when no place has room.
   */
  async create(byteLength: number): Promise<string> {
    const { host, random } = this.#platform;
    const name = `wombatkv-${host.processId}-${random.hex(8)}.state`;
    const places = this.#places();
    let cause: unknown;
    for (const directory of places) {
      try {
        const path = `${directory}/${name}`;
        if (await this.#createIn(directory, path, byteLength)) return path;
      } catch (error) {
        if (systemErrorCode(error) === undefined) throw error;
        cause = error;
      }
    }
    const room = `${2 * byteLength} bytes free`;
    throw new StoreError(
      'UNAVAILABLE',
      `no room for a state file: neither ${places.join(' nor ')} has ${room}`,
      { cause },
    );
  }

  /** Removes a file that {@link create} made, if it is there. */
  async remove(path: string): Promise<void> {
    await this.#platform.files.remove(path);
  }

  /**
   * Makes the file that is kept, if memory has room for four of them. {@link close} gives it back;
   * so does the end of the process.
   */
  async keepOne(): Promise<void> {
    const { files, host } = this.#platform;
    const { memoryDirectory } = host;
    if (memoryDirectory === undefined) return;
    try {
      if ((await files.freeBytes(memoryDirectory)) < 4 * keptBytes) return;
      await this.#keep(await this.#fill(await files.openAnonymous(memoryDirectory)));
    } catch (error) {
      // Without it every file is a new one.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }

  /** Gives the file all its memory, so that writing it cannot fail later. */
  async #fill(made: AnonymousFile): Promise<KeptFile> {
    const { path, file } = made;
    try {
      const zeros = new Uint8Array(zerosBytes);
      for (let at = 0; at < keptBytes; at += zerosBytes) await file.write([zeros], at);
      const write = this.#mapped(path) ?? ((buffers) => file.write(buffers, 0));
      return { path, write, made };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Lends a file for a state of that many bytes; what is in it is to be replaced, whole. */
  async withFile(byteLength: number, use: (state: StateFile) => Promise<void>): Promise<void> {
    const kept = byteLength <= keptBytes ? this.#kept : undefined;
    if (kept === undefined) return this.#withNewFile(byteLength, use);
    this.#kept = undefined;
    try {
      await use(kept);
    } finally {
      await this.#keep(kept);
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#kept?.made.file.close();
    this.#kept = undefined;
  }

  async #keep(kept: KeptFile): Promise<void> {
    if (this.#isClosed) await kept.made.file.close();
    else this.#kept = kept;
  }

  /**
   * How to write the file through a mapping, which takes half the time, where native code maps files.
   * All its pages are there, and nobody else can make it shorter.
   */
  #mapped(path: string): StateFile['write'] | undefined {
    const { sharedMemory } = this.#platform;
    if (sharedMemory === undefined) return undefined;
    const mapping = sharedMemory.open(path, 'read-write');
    const memory = mapping.map();
    mapping.close();
    // The first touch of a mapped page costs more than writing to it.
    memory.fill(0);
    return (buffers) => {
      let at = 0;
      for (const buffer of buffers) {
        sharedMemory.copy(memory.subarray(at, at + buffer.length), buffer);
        at += buffer.length;
      }
      return Promise.resolve();
    };
  }

  async #withNewFile(byteLength: number, use: (state: StateFile) => Promise<void>): Promise<void> {
    const path = await this.create(byteLength);
    try {
      const file = await this.#platform.files.open(path, 'read-write');
      try {
        await use({ path, write: (buffers) => file.write(buffers, 0) });
      } finally {
        await file.close();
      }
    } finally {
      await this.remove(path);
    }
  }

  /**
   * Removes the files of processes that were killed: those of this user that nobody has written for
   * an hour. Resolves to how many; what cannot be looked at or removed is left.
   */
  async removeLeftovers(): Promise<number> {
    let removed = 0;
    for (const directory of this.#places()) {
      try {
        removed += await this.#removeLeftoversIn(directory);
      } catch (error) {
        if (systemErrorCode(error) === undefined) throw error;
      }
    }
    return removed;
  }

  async #removeLeftoversIn(directory: string): Promise<number> {
    const { clock, files } = this.#platform;
    let removed = 0;
    for (const { name } of await files.list(directory)) {
      if (!namePattern.test(name)) continue;
      const path = `${directory}/${name}`;
      const status = await files.status(path);
      if (status === undefined || clock.wallMs() - status.modifiedMs < leftoverAgeMs) continue;
      if (await files.remove(path)) removed += 1;
    }
    return removed;
  }

  #places(): readonly string[] {
    const { memoryDirectory, temporaryDirectory } = this.#platform.host;
    return memoryDirectory === undefined
      ? [temporaryDirectory]
      : [memoryDirectory, temporaryDirectory];
  }

  async #createIn(directory: string, path: string, byteLength: number): Promise<boolean> {
    const { files } = this.#platform;
    if ((await files.freeBytes(directory)) < 2 * byteLength) return false;
    const file = await files.open(path, 'create-new');
    await file.close();
    return true;
  }
}
