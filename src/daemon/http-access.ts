import type { Namespace } from '../blocks/namespace.ts';

/** What somebody wants to do, for the hook `authorize` of an HTTP server. */
export interface HttpAccess {
  readonly verb: 'read' | 'write' | 'delete' | 'admin';
  /** Undefined for what concerns the whole store: metrics, stats, flush. */
  readonly namespace: Namespace | undefined;
  /** The Authorization header as it came. */
  readonly authorization: string | undefined;
  readonly peer: string;
}

/** Why it is not allowed. */
export interface HttpDenial {
  readonly status: 401 | 403 | 429;
  readonly reason: string;
}
