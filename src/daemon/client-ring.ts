import type { SaveRing, ServedStore } from '../blocks/served-store.ts';
import type { RingOffer } from '../protocol/session-messages.ts';

const none: RingOffer = { number: 0, byteLength: 0 };

/** The ring of one connection, which lasts as long as that does. */
export class ClientRing {
  readonly #store: ServedStore;
  #ring: SaveRing | undefined;
  #isOpening = false;
  #isOver = false;

  constructor(store: ServedStore) {
    this.#store = store;
  }

  /** A ring in place of the one that there was. */
  async open(): Promise<RingOffer> {
    if (this.#isOver || this.#isOpening) return none;
    this.#isOpening = true;
    try {
      await this.#ring?.close();
      this.#ring = await this.#store.openRing();
    } finally {
      this.#isOpening = false;
    }
    if (this.#isOver) await this.#ring?.close();
    if (this.#isOver || this.#ring === undefined) return none;
    return { number: this.#ring.number, byteLength: this.#ring.byteLength };
  }

  /** The connection has ended: what is in the ring is taken, and the ring goes. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.#ring?.close();
  }
}
