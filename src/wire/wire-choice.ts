import { limits } from '../blocks/limits.ts';

/** A transfer in one direction that has ended well. */
export interface WireTransfer {
  /** Bytes of its payloads, and those that travelled for them. */
  readonly rawBytes: number;
  readonly wireBytes: number;
  /** From its first byte to its last. */
  readonly linkMs: number;
  /** From the call to the end of the last payload's check. */
  readonly callMs: number;
}

/** What compression leaves of a payload before anything is known of those here: f16 (docs/decisions/0007). */
const ratioAtFirst = 0.85;
/** The part that a new transfer has in the ratio. */
const ratioShare = 0.25;
/** Compressed transfers in a row that were slower than raw ones before there is a pause. */
const slowerMax = 2;

/**
 * Whether compressing pays in one direction of one link (docs/decisions/0102). Raw transfers measure the link. With
 * its speed B, the ratio r of what was compressed and n payloads it pays where
 *
 * ```text
 * B < n (1 - r) wireThroughBytesPerSecond   what is gained on the link is more than the first payload waits
 * B < wireStageBytesPerSecond               threads keep up with the link
 * ```
 *
 * That is a forecast. Where two compressed transfers in a row come out slower than raw ones did, it pauses.
 */
export class WireChoice {
  /** Bytes a second: of the link, and of whole raw calls. The youngest last. */
  readonly #linkSpeeds: number[] = [];
  readonly #rawSpeeds: number[] = [];
  #ratio = ratioAtFirst;
  /** Compressed transfers since the link was measured. */
  #sinceMeasured = 0;
  #slower = 0;
  /** Raw transfers until the next attempt, and how many there were to be. */
  #pause = 0;
  #pauseLast = 0;

  /** The forecast for a transfer of so many payloads. */
  pays(payloads: number): boolean {
    if (this.#pause > 0 || this.#sinceMeasured >= limits.wireMeasureEvery) return false;
    const link = median(this.#linkSpeeds);
    const gain = payloads * (1 - this.#ratio) * limits.wireThroughBytesPerSecond;
    return link !== undefined && link < gain && link < limits.wireStageBytesPerSecond;
  }

  note(transfer: WireTransfer): void {
    const { rawBytes, wireBytes } = transfer;
    if (rawBytes < limits.wireMeasureBytesMin) return;
    if (wireBytes < rawBytes) this.#noteCompressed(transfer);
    else this.#noteRaw(transfer);
  }

  #noteRaw({ rawBytes, linkMs, callMs }: WireTransfer): void {
    keep(this.#linkSpeeds, speedOf(rawBytes, linkMs));
    keep(this.#rawSpeeds, speedOf(rawBytes, callMs));
    this.#sinceMeasured = 0;
    if (this.#pause > 0) this.#pause -= 1;
  }

  #noteCompressed({ rawBytes, wireBytes, linkMs, callMs }: WireTransfer): void {
    this.#sinceMeasured += 1;
    this.#ratio += ratioShare * (wireBytes / rawBytes - this.#ratio);
    // The link is no slower than what came over it.
    const link = speedOf(wireBytes, linkMs);
    if (link > (median(this.#linkSpeeds) ?? 0)) keep(this.#linkSpeeds, link);
    const raw = median(this.#rawSpeeds);
    if (raw === undefined || speedOf(rawBytes, callMs) >= raw) {
      this.#slower = 0;
      this.#pauseLast = 0;
      return;
    }
    this.#slower += 1;
    if (this.#slower < slowerMax) return;
    this.#slower = 0;
    const { wirePauseFirst, wirePauseMost } = limits;
    this.#pauseLast = Math.min(wirePauseMost, Math.max(wirePauseFirst, 2 * this.#pauseLast));
    this.#pause = this.#pauseLast;
  }
}

function keep(speeds: number[], speed: number): void {
  speeds.push(speed);
  if (speeds.length > limits.wireSamplesMax) speeds.shift();
}

/** The one in the middle, of two the faster one. */
function median(speeds: readonly number[]): number | undefined {
  return speeds.toSorted((a, b) => a - b).at(Math.floor(speeds.length / 2));
}

function speedOf(bytes: number, ms: number): number {
  // The clock may not have moved.
  return bytes / (Math.max(ms, 0.001) / 1000);
}
