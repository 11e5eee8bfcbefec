import { StoreError } from '../base/errors.ts';
import { limits } from '../blocks/limits.ts';
import type { FrameHeader } from '../protocol/frame.ts';
import {
  commonVersion,
  decodeHello,
  encodeWelcome,
  features,
} from '../protocol/session-messages.ts';
import type { WireDoor } from '../wire/wire-link.ts';
import type { Access, Credential, Grant } from './access.ts';
import type { ClientAccount } from './client-accounts.ts';
import type { DaemonService } from './daemon-service.ts';
import type { FrameSink } from './served-call.ts';

/** What clients of a Unix socket may do where no tokens are asked for: namespaces of what is shared are nobody's. */
const ofOpenHost = features.ringing | features.borrowing | features.borrowingTails;

/** Who is at the other end of a connection. */
export interface GreetedClient {
  /** Of one token only: another's connections are never taken for its own. */
  readonly id: string;
  readonly account: ClientAccount;
  readonly credential: Credential;
  /** Compression of payloads, where it was agreed. */
  readonly wire: WireDoor | undefined;
}

/**
 * Answers the first frame of a connection with `welcome`.
 *
 * @throws StoreError when the client is not let in; the connection ends with it.
 */
export function greet(
  header: FrameHeader,
  body: Uint8Array,
  door: {
    readonly service: DaemonService;
    readonly access: Access;
    readonly sink: FrameSink;
    readonly isLocal: boolean;
  },
): GreetedClient {
  if (header.type !== 'hello' || header.id !== 0) {
    throw new StoreError('INVALID', `a connection begins with hello; got ${header.type}`);
  }
  const hello = decodeHello(body);
  const version = commonVersion(hello);
  const credential = door.access.present(hello.token);
  const { accounts, agent, putDurable } = door.service;
  // On one host compressing takes longer than copying does.
  const wire = door.isLocal ? undefined : door.service.wire;
  const known =
    features.lending |
    (putDurable === false ? features.accepting : 0) |
    (door.isLocal && door.access.isOpen ? ofOpenHost : 0) |
    (wire === undefined ? 0 : features.compressing);
  const tenant = grantOf(credential, hello.token).name;
  const id = tenant === undefined ? hello.clientId : `${tenant} ${hello.clientId}`;
  const account = accounts.join(id, tenant);
  const welcome = encodeWelcome({
    version,
    features: hello.features & known,
    bodyBytesMax: limits.messageBytesMax,
    dataBytesMax: limits.pieceBytesMax,
    eagerBytesMax: limits.eagerBytesMax,
    callsMax: limits.callsPerClientMax,
    connectionsMax: limits.connectionsPerClientMax,
    agent,
  });
  door.sink.send('welcome', 0, welcome);
  const isCompressing = (hello.features & features.compressing) !== 0;
  return { id, account, credential, wire: isCompressing ? wire : undefined };
}

function grantOf(credential: Credential, token: string): Grant {
  try {
    return credential.grant;
  } catch (error) {
    if (token !== '') throw error;
    const message = 'this daemon asks for a token (WMBT_KV_TOKEN_FILE)';
    throw new StoreError('INVALID', message, { cause: error });
  }
}
