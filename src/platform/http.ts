/** HTTP/1.1 requests to other machines. Connections are kept, shared and bounded per origin. */
export interface Http {
  /** Prepares for requests to one origin. Nothing is sent before the first request. */
  open(options: HttpOriginOptions): HttpOrigin;
}

export interface HttpOriginOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly origin: string;
  /** Connections at once; further requests wait for one. */
  readonly connectionsMax: number;
  /** Certificates in PEM that are trusted besides those of Node. */
  readonly certificates?: string | undefined;
  /** URL of a proxy through which connections are tunnelled (CONNECT). May hold a password. */
  readonly proxy?: string | undefined;
}

/** A server, and the connections to it. */
export interface HttpOrigin {
  /**
   * Sends the request and receives the answer, whatever its status. Rejects with what `receive`
   * threw, or with `StoreError`: `ABORTED` as soon as the signal fires; `UNAVAILABLE` when there is
   * no connection, the exchange is broken off or takes too long, or the body has another length
   * than was planned. After it has settled nothing is read from the request's body and nothing is
   * written to the memory of the answer's.
   */
  send(request: HttpRequest): Promise<HttpResponse>;

  /** Breaks off what is under way, with `UNAVAILABLE`, and closes all connections. */
  close(): Promise<void>;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  /** Path and query as they go over the wire: nothing in it is encoded, resolved or joined. */
  readonly path: string;
  /** Lower-case names. `content-length` is added for a body. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body's parts in order; they must not change until the call has settled. */
  readonly body?: readonly Uint8Array[] | undefined;
  /** Called once with the answer's head, before any byte of its body is kept. */
  readonly receive: (head: HttpHead) => HttpBodyPlan;
  /** The whole exchange, waiting for a connection included. */
  readonly deadlineMs: number;
  /** The longest pause between two signs of life of the server. */
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What comes before the body. */
export interface HttpHead {
  readonly status: number;
  /** Lower-case names; values of a name that came several times are joined by `, `. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Where a body goes.
 *
 * - `into`: it must have exactly the length of the memory, and lands there as it comes. With
 *   `isRestDropped` it may be longer; the connection is closed once the memory is full.
 * - `collect`: into new memory, at most so many bytes.
 */
export type HttpBodyPlan =
  | { readonly kind: 'into'; readonly bytes: Uint8Array; readonly isRestDropped?: boolean }
  | { readonly kind: 'collect'; readonly byteLengthMax: number };

export interface HttpResponse extends HttpHead {
  /** The memory of the plan, or what was collected. */
  readonly body: Uint8Array;
}
