/**
 * What goes wrong with one request. `at` is a fraction in [0, 1) that says where in a body.
 *
 * - `refuse`: an error of the server, and nothing is done.
 * - `reset`: the connection breaks before anything is done.
 * - `lose-reply`: it is done, and then the connection breaks.
 * - `slow`: the first byte of the answer comes so late.
 * - `break-body`: the connection breaks in the middle of the answer's body.
 * - `end-body`: the body ends early, as if it had ended well.
 * - `shorten`: the body and its length are those of a shorter one, with the object's other facts.
 * - `claim-length`: the answer claims a length that its body does not have.
 * - `alter`: a bit of the body differs.
 * - `alter-received`: a bit of the request's body differs from what was sent.
 * - `stall`: the body stops in the middle, and the connection stays.
 * - `garble`: the answer is no HTTP.
 */
export type ServerFault =
  | {
      readonly kind: 'refuse';
      readonly status: number;
      readonly code: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'reset' | 'lose-reply' | 'garble' }
  | { readonly kind: 'slow'; readonly ms: number }
  | {
      readonly kind: 'break-body' | 'end-body' | 'shorten' | 'alter' | 'alter-received' | 'stall';
      readonly at: number;
    }
  | { readonly kind: 'claim-length'; readonly byteLength: number };

/** A request that may go wrong. */
export interface FaultableRequest {
  readonly method: string;
  readonly key: string;
  readonly query: URLSearchParams;
  /** How many requests came before it. */
  readonly index: number;
}

export type ServerFaultPicker = (request: FaultableRequest) => ServerFault | undefined;

/** Gives the faults one after another to requests of the method, then none. */
export function faultsInTurn(method: string, faults: readonly ServerFault[]): ServerFaultPicker {
  const left = [...faults];
  return (request) => (request.method === method ? left.shift() : undefined);
}
