import type { BlockKey } from '../blocks/block-key.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';

/** Uses are told together, so long after the first of them. */
const noteMs = 1000;
/** Chains of that time that are told of: those used last. */
const chainsMax = 32;
/** A note that the daemon does not take by then is none. */
const noteDeadlineMs = 1000;

interface UsedChain {
  readonly namespace: Namespace;
  readonly keys: readonly BlockKey[];
}

/**
 * Tells a daemon what was used of its memory without a call, so that it evicts what nobody uses: by
 * asking for the blocks, which counts as a use. At most once a second, and never while somebody waits.
 */
export class UseNotes {
  readonly #store: Pick<KvStore, 'contains'>;
  readonly #clock: Clock;
  /** By tip and namespace, the one used last at the end. */
  readonly #chains = new Map<string, UsedChain>();
  #timer: ScheduledCall | undefined;
  #isTelling = false;
  #isClosed = false;

  constructor(store: Pick<KvStore, 'contains'>, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** The caller does not change the keys any more. */
  note(namespace: Namespace, keys: readonly BlockKey[]): void {
    const tip = keys.at(-1);
    if (tip === undefined || this.#isClosed) return;
    const id = `${tip}${namespace}`;
    this.#chains.delete(id);
    this.#chains.set(id, { namespace, keys });
    if (this.#chains.size > chainsMax) {
      const [oldest] = this.#chains.keys();
      this.#chains.delete(oldest);
    }
    if (!this.#isTelling) this.#timer ??= this.#clock.schedule(noteMs, () => void this.#tell());
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#chains.clear();
  }

  async #tell(): Promise<void> {
    this.#isTelling = true;
    this.#timer = undefined;
    const chains = [...this.#chains.values()];
    this.#chains.clear();
    for (const { namespace, keys } of chains) {
      if (this.#isClosed) return;
      try {
        await this.#store.contains(keys, { namespace, deadlineMs: noteDeadlineMs });
      } catch {
        // Away, or busy: a use that nobody hears of costs nothing but a place in an order.
      }
    }
    this.#isTelling = false;
    if (this.#chains.size > 0) this.#timer = this.#clock.schedule(noteMs, () => void this.#tell());
  }
}
