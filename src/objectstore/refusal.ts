/**
 * What a refusal means for whoever would ask again.
 *
 * - `final`: the same answer will come again: rights, a wrong setting, a missing bucket.
 * - `throttled`: too many requests; wait, longer than after other faults.
 * - `transient`: may pass: a broken connection, an error inside the server.
 */
export type RefusalKind = 'final' | 'throttled' | 'transient';

/** What a server said, as the `cause` of the `StoreError` that a call rejects with. */
export class Refusal extends Error {
  readonly kind: RefusalKind;
  /** How long the server asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: RefusalKind, message: string, retryAfterMs?: number) {
    super(message);
    this.name = 'Refusal';
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}
