/**
 * What the caller should do next is what tells the codes apart; see docs/ERRORS.md. They stand in the
 * order of their numbers on the wire: new ones go to the end.
 *
 * - `UNAVAILABLE`: retry later, or go on without the store.
 * - `BUSY`: slow down; a stated limit is reached and nothing was taken.
 * - `CORRUPT`: treat as a miss; the bytes were set aside.
 * - `INCOMPATIBLE`: written by a newer or different version; upgrade.
 * - `TOO_LARGE`: the one thing given exceeds a limit; it will never fit.
 * - `INVALID`: the request or a setting is wrong; fix it.
 * - `CLOSED`: the store was closed.
 * - `ABORTED`: the caller's signal fired or the deadline passed.
 */
export const storeErrorCodes = [
  'UNAVAILABLE',
  'BUSY',
  'CORRUPT',
  'INCOMPATIBLE',
  'TOO_LARGE',
  'INVALID',
  'CLOSED',
  'ABORTED',
] as const;

/** One of {@link storeErrorCodes}. */
export type StoreErrorCode = (typeof storeErrorCodes)[number];

/** The one error class of the project. Misuse of a function throws `TypeError` or `RangeError`. */
export class StoreError extends Error {
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

/** True for a `StoreError`, of the given code when one is given. */
export function isStoreError(error: unknown, code?: StoreErrorCode): error is StoreError {
  return error instanceof StoreError && (code === undefined || error.code === code);
}

/**
 * True for what V8 throws when the system gives it no memory for an array. It is a `RangeError`, and no misuse: whoever
 * meets it tells others to slow down.
 */
export function isMemoryRefusal(error: unknown): error is RangeError {
  return error instanceof RangeError && error.message === 'Array buffer allocation failed';
}

/** What a caller is told then, where nothing knows how much it was for. */
export function noMemory(cause: unknown): StoreError {
  return new StoreError('BUSY', 'the system has no memory for the call', { cause });
}

/** The `code` of a Node system error (`ENOENT`, `EEXIST`, …), or undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The text of any thrown value, for putting into another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
