import type { Namespace } from '../blocks/namespace.ts';
import { wrongToken } from './access.ts';
import type { Access, Grant, Need } from './access.ts';

/** What somebody wants to do, for the hook `authorize` of an HTTP server. */
export interface HttpAccess {
  readonly need: Need;
  /** Undefined for what concerns the whole store: metrics, stats, flush. */
  readonly namespace: Namespace | undefined;
  /** The Authorization header as it came. */
  readonly authorization: string | undefined;
  readonly peer: string;
}

/** Whose it is: the name of a token. */
export interface HttpPermit {
  readonly client: string;
}

/** Why it is not allowed. */
export interface HttpDenial {
  readonly status: 401 | 403 | 429;
  readonly reason: string;
}

/** The rules of a daemon's tokens, given as `Authorization: Bearer`. */
export function bearerRule(
  access: Access,
): (asked: HttpAccess) => HttpDenial | HttpPermit | undefined {
  return ({ authorization, need, namespace }) => {
    if (access.isOpen) return undefined;
    const grant = grantOf(access, authorization);
    if (grant === undefined) {
      const isGiven = bearerToken(authorization) !== undefined;
      const reason = isGiven
        ? wrongToken
        : 'this daemon asks for a token, as Authorization: Bearer';
      return { status: 401, reason };
    }
    const reason = grant.refusal(need, namespace);
    if (reason !== undefined) return { status: 403, reason };
    return grant.name === undefined ? undefined : { client: grant.name };
  };
}

function grantOf(access: Access, authorization: string | undefined): Grant | undefined {
  const token = bearerToken(authorization);
  if (token === undefined) return undefined;
  try {
    return access.present(token).grant;
  } catch {
    // That it is no token is what the answer says.
    return undefined;
  }
}

function bearerToken(authorization: string | undefined): string | undefined {
  return /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
}
