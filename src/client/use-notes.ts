import type { BlockKey } from '../blocks/block-key.ts';
import type { KvStore } from '../blocks/kv-store.ts';
import { limits } from '../blocks/limits.ts';
import type { Namespace } from '../blocks/namespace.ts';
import type { Clock, ScheduledCall } from '../platform/clock.ts';

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
  /** Of which the tip alone names a chain: text that is made anew costs more to look up than all else. */
  readonly #usual: Namespace;
  /** By tip and namespace, the one used last at the end. */
  readonly #chains = new Map<string, UsedChain>();
  /** The first since they were told, which is not among them yet. */
  #first: UsedChain | undefined;
  #timer: ScheduledCall | undefined;
  #isTelling = false;
  /** A timer is set, or about to be. */
  #isDue = false;
  #isClosed = false;

  /** Most chains are of the namespace `usual`. */
  constructor(store: Pick<KvStore, 'contains'>, clock: Clock, usual: Namespace) {
    this.#store = store;
    this.#clock = clock;
    this.#usual = usual;
  }

  /** The caller does not change the keys any more. */
  note(namespace: Namespace, keys: readonly BlockKey[]): void {
    if (keys.length === 0 || this.#isClosed) return;
    if (this.#isTelling || this.#isDue) {
      this.#keepFirst();
      this.#keep({ namespace, keys });
      return;
    }
    // Behind the answer, as the timer is.
    this.#first = { namespace, keys };
    void this.#tellLater();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#first = undefined;
    this.#chains.clear();
  }

  #keepFirst(): void {
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) this.#keep(first);
  }

  #keep(chain: UsedChain): void {
    const { namespace, keys } = chain;
    const tip = keys[keys.length - 1];
    const id = namespace === this.#usual ? tip : `${tip}${namespace}`;
    this.#chains.delete(id);
    this.#chains.set(id, chain);
    if (this.#chains.size <= limits.notedChainsMax) return;
    const [oldest] = this.#chains.keys();
    this.#chains.delete(oldest);
  }

  async #tell(): Promise<void> {
    this.#isTelling = true;
    this.#isDue = false;
    this.#timer = undefined;
    const chains = [...this.#chains.values()];
    this.#chains.clear();
    for (const { namespace, keys } of chains) {
      if (this.#isClosed) return;
      try {
        await this.#store.contains(keys, { namespace, deadlineMs: limits.noteMs });
      } catch {
        // Away, or busy: a use that nobody hears of costs nothing but a place in an order.
      }
    }
    this.#isTelling = false;
    if (this.#chains.size > 0) await this.#tellLater();
  }

  /**
   * The answer goes first: after a rest it takes half the time of a save that is known to set a timer, and a third of the rest
   * to keep the chain.
   */
  async #tellLater(): Promise<void> {
    this.#isDue = true;
    // The first turn is that of the promise that answers, the second is after whoever awaits it.
    await Promise.resolve();
    await Promise.resolve();
    if (this.#isClosed) return;
    this.#keepFirst();
    this.#timer = this.#clock.schedule(limits.noteMs, () => void this.#tell());
  }
}
