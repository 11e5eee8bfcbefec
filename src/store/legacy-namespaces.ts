import { BoundedMap } from '../base/bounded-map.ts';
import { isStoreError, StoreError } from '../base/errors.ts';
import { SingleFlight } from '../base/single-flight.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import { legacyObjectPrefix } from '../format/object-keys.ts';
import type { ObjectStore } from '../objectstore/object-store.ts';
import type { Clock } from '../platform/clock.ts';
import { Call } from './call.ts';

/**
 * Whether objects of the v1 format are looked for. `auto`: in namespaces that held one when this
 * process first had to know.
 */
export type ReadLegacy = 'auto' | 'on' | 'off';

export interface LegacyNamespacesParts {
  readonly objects: ObjectStore;
  readonly keyPrefix: string;
  readonly readLegacy: ReadLegacy;
  readonly clock: Clock;
}

/**
 * Which namespaces hold objects of the v1 format. With `auto` one LIST of one key tells it, once for
 * each namespace in the life of the process: what comes later is not noticed.
 */
export class LegacyNamespaces {
  readonly #parts: LegacyNamespacesParts;
  readonly #known = new BoundedMap<Namespace, boolean>(limits.legacyNamespacesMax);
  readonly #lists = new SingleFlight<Namespace, boolean>();

  constructor(parts: LegacyNamespacesParts) {
    this.#parts = parts;
  }

  /** False when none is looked for anywhere. */
  get isOn(): boolean {
    return this.#parts.readLegacy !== 'off';
  }

  /** True when such objects are to be looked for in the namespace; rejects when the list fails. */
  async has(namespace: Namespace): Promise<boolean> {
    const { readLegacy } = this.#parts;
    if (readLegacy !== 'auto') return readLegacy === 'on';
    const known = this.#known.get(namespace);
    if (known !== undefined) return known;
    // What failed for those who came before may be mended by now: it is no answer to this caller.
    return (
      (await this.#share(namespace)) ?? (await this.#share(namespace)) ?? this.#list(namespace)
    );
  }

  /** The answer of the list under way, or of a new one; undefined when one that others began failed. */
  async #share(namespace: Namespace): Promise<boolean | undefined> {
    let isOwn = false;
    const boarding = this.#lists.board(namespace, () => {
      isOwn = true;
      return this.#list(namespace);
    });
    try {
      return await boarding.result;
    } catch (error) {
      if (isOwn || !isStoreError(error, 'UNAVAILABLE')) throw error;
      return undefined;
    } finally {
      boarding.leave();
    }
  }

  /** Of nobody's call, so that its answer serves all who come while it is under way. */
  async #list(namespace: Namespace): Promise<boolean> {
    const { objects, keyPrefix, clock } = this.#parts;
    const prefix = legacyObjectPrefix(keyPrefix, namespace);
    const listing = Call.run(clock, undefined, limits.legacyListMs, ({ signal }) =>
      objects.list(prefix, { limit: 1, signal }),
    );
    const { objects: found } = await listing.catch((cause: unknown) => {
      if (!isStoreError(cause, 'ABORTED')) throw cause;
      throw new StoreError('UNAVAILABLE', `list of ${prefix} took too long`, { cause });
    });
    const isAny = found.length > 0;
    this.#known.set(namespace, isAny);
    return isAny;
  }
}
