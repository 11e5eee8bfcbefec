/** What restoring costs before anything was measured: 20 ms and 300 MB/s, and a lookup of 2 ms. */
const firstFixedMs = 20;
const firstMsPerByte = 1 / 300_000;
const firstLookupMs = 2;
/**
 * A prefilled token before any prefill was measured, as a share of a decode step: about 1/8 on a CPU
 * (110 ms against 15 ms for a model of 0.5 B parameters), far less on a GPU.
 */
const prefillShareOnCpu = 1 / 8;
const prefillShareOnGpu = 1 / 50;
/** Weight of the newest measurement. */
const newestWeight = 0.3;
/** What the store may cost in vain, as a share of the prefills that it could save: "never slower". */
const lossShareMax = 0.02;
/** What it may cost beyond that before it has saved anything, so that it can be tried at all. */
const firstAllowanceMs = 500;
/** Most that a store which has saved much may cost in vain. */
const allowanceMostMs = 60_000;
/** A call may take this many times what it is expected to, before it is given up. */
const patience = 4;
/** A lookup must be expected to take less than this share of the prefill that it may save. */
const lookupShareMax = 0.1;
/** What a plan not to ask moves a measurement towards what was expected first. */
const forgiveness = 0.1;

/** Whether to restore, and how long to wait for it. */
export interface RestorePlan {
  readonly pays: boolean;
  /** Milliseconds after which prefilling would have been better. */
  readonly deadlineMs: number;
}

/**
 * Decides whether restoring is faster than computing, from what both have cost in this process.
 * Prefill is measured per token, restoring as a fixed part and a part per byte.
 *
 * What the store takes and does not save is waste. An allowance bounds it: a share of every prefill
 * and what restores have saved flow in, waste flows out, and no call may take longer than what is
 * there. So a store that hangs or lies costs little, and one that became fast is found again.
 */
export class Payback {
  #prefillMsPerToken: number;
  #isPrefillMeasured = false;
  #msPerByte = firstMsPerByte;
  #lookupMs = firstLookupMs;
  #allowanceMs = firstAllowanceMs;

  /** `decodeMs` is what one decode step of the engine took. */
  constructor(decodeMs: number, hasGpu: boolean) {
    this.#prefillMsPerToken = decodeMs * (hasGpu ? prefillShareOnGpu : prefillShareOnCpu);
  }

  /** What the prefill of so many tokens is expected to take, in milliseconds. */
  prefillMs(tokens: number): number {
    return tokens * this.#prefillMsPerToken;
  }

  /** Whether asking the store is worth it for so many tokens that would be prefilled otherwise. */
  planLookup(tokens: number): RestorePlan {
    const saved = this.prefillMs(tokens);
    const deadlineMs = this.#deadlineMs(saved, this.#lookupMs);
    const pays = this.#lookupMs < Math.min(deadlineMs, saved * lookupShareMax);
    if (!pays) this.#lookupMs = mix(this.#lookupMs, firstLookupMs, forgiveness);
    return { pays, deadlineMs };
  }

  /** Whether to bring `bytes` to save the prefill of so many tokens. */
  planRestore(tokens: number, bytes: number): RestorePlan {
    const saved = this.prefillMs(tokens);
    const expected = firstFixedMs + bytes * this.#msPerByte;
    const deadlineMs = Math.min(saved / 2, this.#deadlineMs(saved, expected));
    // What is expected to take longer than it may would be given up, and cost that time for nothing.
    const pays = expected < deadlineMs;
    if (!pays) this.#msPerByte = mix(this.#msPerByte, firstMsPerByte, forgiveness);
    return { pays, deadlineMs };
  }

  /** A prefill of so many tokens took this long. */
  notePrefill(tokens: number, ms: number): void {
    this.#allow(ms * lossShareMax);
    // Small batches cost more per token and would make restoring look better than it is.
    if (tokens < 64) return;
    const perToken = ms / tokens;
    this.#prefillMsPerToken = this.#isPrefillMeasured
      ? mix(this.#prefillMsPerToken, perToken)
      : perToken;
    this.#isPrefillMeasured = true;
  }

  /** Asking the store took this long, whether it answered or not. */
  noteLookup(ms: number): void {
    this.#lookupMs = mix(this.#lookupMs, ms);
  }

  /** Bringing so many bytes took this long. */
  noteRestore(bytes: number, ms: number): void {
    const variableMs = Math.max(0, ms - firstFixedMs);
    this.#msPerByte = mix(this.#msPerByte, variableMs / Math.max(bytes, 1));
  }

  /** So many bytes did not come in this time: that they come in twice the time is worth trying. */
  noteTimeout(bytes: number, ms: number): void {
    this.#msPerByte = Math.max(this.#msPerByte, (2 * ms) / Math.max(bytes, 1));
  }

  /** For a prompt all of it, from the question on, took this long, and saved so many tokens. */
  noteOutcome(savedTokens: number, ms: number): void {
    this.#allow(this.prefillMs(savedTokens) - ms);
  }

  /** How long something may take that is expected to take `expectedMs`. */
  #deadlineMs(savedMs: number, expectedMs: number): number {
    const share = savedMs * lossShareMax;
    return Math.min(share + this.#allowanceMs, Math.max(share, patience * expectedMs));
  }

  /** May fall below zero by the share of a prompt, whose prefill then brings it back. */
  #allow(ms: number): void {
    this.#allowanceMs = Math.min(this.#allowanceMs + ms, allowanceMostMs);
  }
}

function mix(before: number, newest: number, weight = newestWeight): number {
  return before * (1 - weight) + newest * weight;
}
