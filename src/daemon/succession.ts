import { join } from 'node:path';
import { hexFromBytes } from '../base/hex.ts';
import { storeDigestOf } from '../cache/cache-owner.ts';
import type { OwnerRecord } from '../cache/cache-owner.ts';
import type { Listener } from '../platform/endpoints.ts';
import type { Platform } from '../platform/platform.ts';
import type { Visits } from '../platform/visits.ts';

/** How long a store process waits for one that drains: it only has to stop and to close its files. */
const patienceMs = 3000;
/** Processes that are asked at the same time; there is room for eight in a cache directory. */
const asksMax = 64;
const nameBytes = 8;
/** A socket is made and listens in much less. */
const makingMs = 10_000;
/** Bytes of the digest of an object store in a name; those of other stores are not asked. */
const digestBytes = 8;

export interface SuccessionParts {
  readonly platform: Pick<Platform, 'files' | 'random' | 'clock'>;
  readonly visits: Visits;
  readonly cacheDirectory: string;
  /** Whose blocks the processes have. */
  readonly identity: OwnerRecord['storeIdentity'];
}

/**
 * How a store process that has lost its engine makes room for the next one: while it drains it keeps
 * its place in the cache directory, and with it what was accepted and is not uploaded. Whoever opens
 * a store visits it; a process that drains then gives up its uploads, which the next one goes on
 * with, and the visitor waits until it has let go.
 */
export class Succession {
  readonly #parts: SuccessionParts;
  readonly #prefix: string;
  #listener: Listener | undefined;

  constructor(parts: SuccessionParts) {
    this.#parts = parts;
    const digest = storeDigestOf(parts.identity).subarray(0, digestBytes);
    this.#prefix = `private-${hexFromBytes(digest)}-`;
  }

  /** Asks the others to let go, and waits for those that do. What the dead left is removed. */
  async ask(): Promise<void> {
    const { platform, visits, cacheDirectory } = this.#parts;
    const names = (await platform.files.list(cacheDirectory)).map(({ name }) => name);
    const others = names.filter((name) => name.startsWith(this.#prefix)).slice(0, asksMax);
    const visited = await Promise.allSettled(
      others.map(async (name) => {
        const path = join(cacheDirectory, name);
        if ((await visits.visit(path, patienceMs)) === 'nobody') await this.#removeDead(path);
      }),
    );
    // One that cannot be asked is no reason not to wait for the others.
    for (const result of visited) if (result.status === 'rejected') throw result.reason;
  }

  /** From now on others may ask; `onAsked` says whether they are to wait for the end of this process. */
  async listen(onAsked: () => boolean): Promise<void> {
    const { platform, visits, cacheDirectory } = this.#parts;
    const name = `${this.#prefix}${platform.random.hex(nameBytes)}.sock`;
    this.#listener = await visits.receive(join(cacheDirectory, name), onAsked);
  }

  /** The store is closed: whoever waits goes on. */
  async end(): Promise<void> {
    await this.#listener?.close();
    this.#listener = undefined;
  }

  /** Between its making and its listening a socket of the living does not answer either. */
  async #removeDead(path: string): Promise<void> {
    const { files, clock } = this.#parts.platform;
    const status = await files.status(path);
    const isOld = status !== undefined && clock.wallMs() - status.changedMs > makingMs;
    if (isOld) await files.remove(path);
  }
}
