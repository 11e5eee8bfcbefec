import type { Clock } from '../platform/clock.ts';
import type { Tier } from '../blocks/kv-store.ts';
import type { PayloadNotice } from '../protocol/read-messages.ts';
import type { WireLink } from '../wire/wire-link.ts';

/** Measures one load over the link. What the daemon had to fetch itself says nothing of the link. */
export class LoadMeter {
  readonly #link: Pick<WireLink, 'note'>;
  readonly #clock: Clock;
  #callMs = 0;
  #firstMs: number | undefined;
  #lastMs = 0;
  #rawBytes = 0;
  #wireBytes = 0;
  #isFetched = false;
  #isAnswered = false;

  constructor(link: Pick<WireLink, 'note'>, clock: Clock) {
    this.#link = link;
    this.#clock = clock;
  }

  started(): void {
    this.#callMs = this.#clock.nowMs();
  }

  /** A payload begins to come. */
  began({
    length,
    tier,
    compressed,
  }: Pick<PayloadNotice, 'length' | 'compressed'> & { readonly tier?: Tier | undefined }): void {
    this.#firstMs ??= this.#clock.nowMs();
    this.#rawBytes += length;
    this.#wireBytes += compressed?.length ?? length;
    if (tier === 'object') this.#isFetched = true;
  }

  /** The payload that comes moves so many bytes less than it has. */
  shrank(bytes: number): void {
    this.#wireBytes -= bytes;
  }

  /** All has come. */
  answered(): void {
    this.#lastMs = this.#clock.nowMs();
    this.#isAnswered = true;
  }

  /** All that came is right. */
  ended(): void {
    if (!this.#isAnswered || this.#isFetched || this.#firstMs === undefined) return;
    this.#link.note('load', {
      rawBytes: this.#rawBytes,
      wireBytes: this.#wireBytes,
      linkMs: this.#lastMs - this.#firstMs,
      callMs: this.#clock.nowMs() - this.#callMs,
    });
  }
}
