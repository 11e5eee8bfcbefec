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
/** What looking may cost of the prefill that it may save: the bound of "never slower". */
const lossShareMax = 0.02;
/** A load may take this many times what it is expected to, before it is given up. */
const patience = 4;
/** A lookup must be expected to take less than this share of the prefill that it may save. */
const lookupShareMax = 0.1;

/** Whether to restore, and how long to wait for it. */
export interface RestorePlan {
  readonly pays: boolean;
  /** Milliseconds after which prefilling would have been better. */
  readonly deadlineMs: number;
}

/**
 * Decides whether restoring is faster than computing, from what both have cost in this process.
 * Prefill is measured per token, restoring as a fixed part and a part per byte.
 */
export class Payback {
  #prefillMsPerToken: number;
  #isPrefillMeasured = false;
  #msPerByte = firstMsPerByte;
  #lookupMs = firstLookupMs;

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
    const most = this.prefillMs(tokens) * lossShareMax;
    const deadlineMs = Math.max(most, 2 * this.#lookupMs);
    return { pays: this.#lookupMs < this.prefillMs(tokens) * lookupShareMax, deadlineMs };
  }

  /** Whether to bring `bytes` to save the prefill of so many tokens. */
  planRestore(tokens: number, bytes: number): RestorePlan {
    const saved = this.prefillMs(tokens);
    const expected = firstFixedMs + bytes * this.#msPerByte;
    const deadlineMs = Math.min(saved / 2, Math.max(saved * lossShareMax, patience * expected));
    // What is expected to take longer than it may would be given up, and cost that time for nothing.
    return { pays: expected < deadlineMs, deadlineMs };
  }

  /** A prefill of so many tokens took this long. */
  notePrefill(tokens: number, ms: number): void {
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

  /** Bringing so many bytes took this long, or had brought no more when time ran out. */
  noteRestore(bytes: number, ms: number): void {
    const variableMs = Math.max(0, ms - firstFixedMs);
    this.#msPerByte = mix(this.#msPerByte, variableMs / Math.max(bytes, 1));
  }
}

function mix(before: number, newest: number): number {
  return before * (1 - newestWeight) + newest * newestWeight;
}
