import { systemErrorCode } from '../base/errors.ts';
import { SharedReader } from '../cache/shared-reader.ts';
import type { Platform } from '../platform/platform.ts';
import type { RemotePeer } from './remote-peer.ts';
import { announcementOf } from '../blocks/socket-path.ts';
import type { SharedAccess } from './shared-store.ts';

/** An announcement is the path of a directory. */
const announcementBytesMax = 4096;
/** Between two looks for shared memory that was not there. */
const lookAgainMs = 1000;

/**
 * Finds the shared memory of the daemon behind a socket, by the file beside the socket that names its
 * directory, and finds it anew when the daemon is another. It is used only while a connection to the
 * daemon stands, so that a dead one is noticed.
 */
export class AnnouncedMemory implements SharedAccess {
  readonly #platform: Platform;
  readonly #peer: Pick<RemotePeer, 'isConnected' | 'absences'>;
  readonly #announcement: string;
  #reader: SharedReader | undefined;
  /** Of the peer when the reader was found. */
  #absences = 0;
  #looking: Promise<void> | undefined;
  #lookedMs = -Infinity;
  #isClosed = false;

  constructor(
    platform: Platform,
    peer: Pick<RemotePeer, 'isConnected' | 'absences'>,
    socketPath: string,
  ) {
    this.#platform = platform;
    this.#peer = peer;
    this.#announcement = announcementOf(socketPath);
  }

  current(): SharedReader | undefined {
    if (!this.#peer.isConnected) {
      this.#drop();
      return undefined;
    }
    // A daemon that died and whose successor answers already has left its memory as it was.
    const isOfDaemon = this.#absences === this.#peer.absences;
    if (isOfDaemon && this.#reader?.isOpen === true) return this.#reader;
    this.#drop();
    // Meanwhile the socket serves, and it goes on to where there is nothing to be found.
    this.look().catch(() => undefined);
    return undefined;
  }

  /** Looks for the memory now, unless it is known or was looked for a moment ago. */
  async look(): Promise<void> {
    const { clock, sharedMemory } = this.#platform;
    if (sharedMemory === undefined || this.#isClosed) return;
    if (this.#looking === undefined && clock.nowMs() - this.#lookedMs < lookAgainMs) return;
    this.#lookedMs = clock.nowMs();
    this.#looking ??= this.#find().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  close(): void {
    this.#isClosed = true;
    this.#drop();
  }

  async #find(): Promise<void> {
    const { sharedMemory, files } = this.#platform;
    this.#absences = this.#peer.absences;
    try {
      const bytes = await files.readSmall(this.#announcement, announcementBytesMax);
      const directory = new TextDecoder().decode(bytes).trim();
      if (sharedMemory === undefined || this.#isClosed || !directory.startsWith('/')) return;
      this.#reader = SharedReader.open(sharedMemory, directory);
    } catch (error) {
      // No daemon announced any memory, or it stopped meanwhile: the socket serves.
      if (systemErrorCode(error) === undefined) throw error;
    }
  }

  #drop(): void {
    this.#reader?.close();
    this.#reader = undefined;
  }
}
